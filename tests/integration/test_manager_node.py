"""What a manager makes of its node and of the end of its time; the test plays the interchange."""

import importlib.metadata
import os
import platform
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fanflow.pilot import wire
from fanflow.pilot.access import Access
from fanflow.pilot.manager import ManagerConfig, read_config, write_config
from fanflow.pilot.worker_plan import WorkerOptions
from tests.integration.manager_stand import ManagerStand, manager
from tests.integration.manager_tasks import (
    cores_of_this,
    kill_self,
    nothing,
    pause,
    pause_and_tell,
    variables,
)
from tests.leaks import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="managers need Linux")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ManagerStand]:
    with manager(tmp_path) as running:
        yield running


def loss_of(outcome: object) -> wire.Loss:
    assert isinstance(outcome, wire.Loss), outcome
    return outcome


def registered(stand: ManagerStand) -> wire.Register:
    assert stand.registered is not None
    return stand.registered


def test_workers_are_planned_on_the_node(tmp_path: Path) -> None:
    options = {"cores_per_worker": 0.5, "max_workers_per_node": 3, "available_accelerators": ["a", "b", "c"]}
    cores = len(os.sched_getaffinity(0))

    with manager(tmp_path, slots=0, options=options) as stand:
        node = registered(stand).node
        names = ("PARSL_WORKER_RANK", "PARSL_WORKER_COUNT", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
        seen = stand.results(stand.submit(variables, [names] * 60))

    expected = min(3, 2 * cores)
    assert registered(stand).slots == expected
    assert node is not None
    assert node.plan.startswith(f"{expected} worker")
    for rank, count, cuda, rocr in seen:  # type: ignore[attr-defined]
        assert count == str(expected)
        assert cuda == rocr == "abc"[int(rank)]


def test_bound_workers_run_on_their_cores_from_birth_and_after_a_death(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    options = {"cores_per_worker": len(cores), "cpu_affinity": f"list:{cores[-1]}"}

    with manager(tmp_path, slots=0, options=options) as stand:
        before = stand.run(cores_of_this)
        stand.run(kill_self)
        after = stand.run(cores_of_this)
        threads = stand.run(variables, "OMP_NUM_THREADS", "GOMP_CPU_AFFINITY")

    assert before == after == [cores[-1]]
    assert threads == ["1", str(cores[-1])]


def test_a_manager_describes_its_node(stand: ManagerStand) -> None:
    node = registered(stand).node

    assert node is not None
    assert node.python == platform.python_version()
    assert node.cpu_count == os.cpu_count()
    assert node.os == "Linux"
    assert node.total_memory == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert abs(node.started - time.time()) < 60
    assert node.drains == 0
    assert node.plan.startswith("2 workers")


def test_packages_are_told_when_somebody_asks(stand: ManagerStand) -> None:
    assert len(wire.encode(registered(stand))) < 1000

    stand.say(wire.Ask(5, "packages"))
    stand.say(wire.Ask(6, "packages"))
    stand.wait_until(lambda: len(stand.answers) == 2)

    assert [answer.number for answer in stand.answers] == [5, 6]
    for answer in stand.answers:
        assert answer.facts[0]["msgspec"] == importlib.metadata.version("msgspec")
        assert answer.facts[0]["fanflow"] == importlib.metadata.version("fanflow")


def test_logs_lie_below_block_and_manager_for_their_owner_only(tmp_path: Path) -> None:
    with manager(tmp_path, slots=2) as stand:
        stand.results(stand.submit(pause, [(0.01,)] * 20))
        uid = registered(stand).uid

    files = {str(path.relative_to(tmp_path / "logs")) for path in tmp_path.glob("logs/*/*/*")}
    assert files == {f"block-b0/{uid}/{name}.log" for name in ("manager", "worker_0", "worker_1")}
    for path in [tmp_path / "logs", *(tmp_path / "logs").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_block_may_be_named_on_the_command_line(tmp_path: Path) -> None:
    path = str(tmp_path / "manager.json")
    config = ManagerConfig(
        access=Access(addresses=["tcp://192.0.2.1:5"]),
        log_directory="logs",
        options=WorkerOptions(available_accelerators=["0"]),
        drain_s=1.5,
    )

    write_config(path, config)

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    read = read_config([path, "--block", "17"])
    assert (read.block, read.drain_s, read.options) == ("17", 1.5, config.options)
    assert read_config([path]).block == ""


def test_a_manager_drains_when_its_time_is_over(tmp_path: Path) -> None:
    with manager(tmp_path, drain_s=1.0) as stand:
        node = registered(stand).node
        assert node is not None
        assert node.drains == pytest.approx(node.started + 1.0)
        running = stand.submit(pause_and_tell, [(str(tmp_path), 2.0)] * 2)
        wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 5)
        waiting = stand.submit(pause, [(2.0,)] * 10)

        stand.wait_until(lambda: stand.left is not None)

        assert stand.drains
        assert stand.results(running) == [None, None]
        assert sorted(stand.returned) == waiting
        assert stand.left is not None
        assert not stand.left.is_failure
        assert stand.process.wait(10) == 0


def test_a_manager_whose_block_ends_soon_starts_nothing_that_could_not_finish(tmp_path: Path) -> None:
    with manager(tmp_path, lasts_s=30) as stand:
        assert stand.run(pause, 0.01, walltime_ms=20_000) == 0.01

        late = stand.submit(pause, [(0.01,)] * 3, walltime_ms=29_999)
        stand.wait_until(lambda: stand.left is not None)

        assert stand.drains
        assert stand.returned == late
        assert stand.process.wait(10) == 0


def test_what_runs_may_finish_within_the_grace_after_sigterm(tmp_path: Path) -> None:
    with manager(tmp_path, grace_s=1.0) as stand:
        short, long = stand.submit(pause_and_tell, [(str(tmp_path), 0.5), (str(tmp_path), 60)])
        wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 5)
        waiting = stand.submit(pause, [(1.0,)])

        stand.process.send_signal(signal.SIGTERM)
        stand.wait_until(lambda: stand.left is not None)

        assert stand.outcomes[short] is None
        loss = loss_of(stand.outcomes[long])
        assert (loss.cause, loss.blames_task) == ("manager", False)
        assert stand.returned == waiting


def test_a_worker_that_a_batch_system_ends_with_its_manager_blames_no_task(tmp_path: Path) -> None:
    with manager(tmp_path, grace_s=5.0) as stand:
        running = stand.submit(pause_and_tell, [(str(tmp_path), 60)] * 2)
        wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 5)
        workers = [int(path.name.removeprefix("started-")) for path in tmp_path.glob("started-*")]

        for pid in (stand.process.pid, *workers):
            os.kill(pid, signal.SIGTERM)

        losses = [loss_of(outcome) for outcome in stand.results(running)]
        assert [loss.blames_task for loss in losses] == [False, False]


def test_a_worker_that_is_ended_alone_blames_its_task(stand: ManagerStand, tmp_path: Path) -> None:
    (running,) = stand.submit(pause_and_tell, [(str(tmp_path), 60)])
    wait_until(lambda: any(tmp_path.glob("started-*")), 5)
    (path,) = tmp_path.glob("started-*")

    os.kill(int(path.name.removeprefix("started-")), signal.SIGTERM)

    assert loss_of(stand.results([running])[0]).blames_task
    assert stand.run(nothing) is None
