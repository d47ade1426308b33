"""Tasks that need more memory than they may, with a real manager; the test plays the interchange."""

import contextlib
import glob
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fanflow.pilot import wire
from fanflow.pilot.control_groups import own_directory
from tests.integration.manager_stand import ManagerStand, manager
from tests.integration.manager_tasks import (
    double,
    grow,
    grow_in_child,
    hold,
    hold_and_call_c,
    hold_and_read_deaf,
    hold_and_spin,
    hold_in_deaf_child,
    nothing,
    pause,
)
from tests.leaks import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="managers need Linux")

MIB = 1 << 20
LIMIT = 150 * MIB


def can_make_groups() -> bool:
    """Whether this process may make control groups of version 1 for memory."""
    directory = own_directory("memory")
    if not directory:
        return False
    probe = f"{directory}/fanflow-probe-{uuid.uuid4().hex}"
    try:
        os.mkdir(probe)
        with open(f"{probe}/memory.limit_in_bytes", "w") as file:
            file.write(str(LIMIT))
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(probe)
    return True


needs_groups = pytest.mark.skipif(not can_make_groups(), reason="no writable control group for memory here")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ManagerStand]:
    with manager(tmp_path) as running:
        yield running


def loss_of(outcome: object) -> wire.Loss:
    assert isinstance(outcome, wire.Loss), outcome
    return outcome


def groups_of(stand: ManagerStand) -> list[str]:
    return glob.glob(f"{own_directory('memory')}/fanflow-{zygote_of(stand)}-*")


def zygote_of(stand: ManagerStand) -> int:
    (zygote,) = [child.pid for child in stand.descendants() if child.ppid() == stand.process.pid]
    return zygote


def test_the_loss_says_limit_and_peak(stand: ManagerStand) -> None:
    loss = loss_of(stand.run(hold, 400, memory_bytes=LIMIT))

    assert loss.cause == "memory"
    assert loss.blames_task
    found = re.search(r"limit is (\d+) MiB, its peak was (\d+) MiB", loss.detail)
    assert found is not None, loss.detail
    assert int(found[1]) == 150
    assert 140 <= int(found[2]) <= 420


@needs_groups
def test_a_moment_above_the_limit_is_enough(stand: ManagerStand) -> None:
    losses = [
        loss_of(outcome) for outcome in stand.results(stand.submit(grow, [(400,)] * 4, memory_bytes=LIMIT))
    ]

    assert [loss.cause for loss in losses] == ["memory"] * 4


@needs_groups
def test_a_child_above_the_limit_ends_its_task(stand: ManagerStand) -> None:
    outcomes = stand.results(stand.submit(grow_in_child, [(400,)] * 4, memory_bytes=LIMIT))

    assert [loss_of(outcome).cause for outcome in outcomes] == ["memory"] * 4


@needs_groups
def test_the_limit_is_that_of_each_task(stand: ManagerStand) -> None:
    stand.results(stand.submit(nothing, [()] * 50, memory_bytes=LIMIT))

    assert stand.results(stand.submit(grow, [(400,)] * 4)) == [400 * MIB] * 4
    assert stand.results(stand.submit(grow, [(400,)] * 2, memory_bytes=4 * LIMIT)) == [400 * MIB] * 2
    assert loss_of(stand.run(grow, 400, memory_bytes=LIMIT)).cause == "memory"


@pytest.fixture
def polling_stand(tmp_path: Path) -> Iterator[ManagerStand]:
    with manager(tmp_path, polls_memory=True) as running:
        yield running


@pytest.mark.parametrize(
    "function", [hold, hold_and_spin, hold_and_call_c, hold_and_read_deaf, hold_in_deaf_child]
)
def test_without_groups_a_task_that_hangs_with_too_much_ends_within_two_seconds(
    polling_stand: ManagerStand, function: Callable[[int], None]
) -> None:
    began = time.monotonic()

    loss = loss_of(polling_stand.run(function, 400, memory_bytes=LIMIT))

    assert time.monotonic() - began < 2
    assert loss.cause == "memory"
    assert "its limit is 150 MiB, its peak was" in loss.detail
    assert polling_stand.results(polling_stand.submit(double, [(2,)] * 20)) == [4] * 20


def test_short_tasks_with_and_without_limits_all_end(stand: ManagerStand) -> None:
    numbers = [
        number
        for _ in range(50)
        for limit in (0, LIMIT, 2 * LIMIT)
        for number in stand.submit(double, [(limit,)] * 5, memory_bytes=limit)
    ]

    outcomes = stand.results(numbers)

    assert outcomes == [2 * limit for _ in range(50) for limit in (0, LIMIT, 2 * LIMIT) for _ in range(5)]


def test_others_go_on_while_a_task_runs_out_of_memory(stand: ManagerStand) -> None:
    bad = stand.submit(hold, [(400,)], memory_bytes=LIMIT)
    good = stand.submit(pause, [(0.01,)] * 50)

    assert stand.results(good) == [0.01] * 50
    assert loss_of(stand.results(bad)[0]).cause == "memory"


@pytest.fixture
def job_group() -> Iterator[str]:
    """A control group such as a batch system makes for a job."""
    directory = f"{own_directory('memory')}/job-{uuid.uuid4().hex}"
    os.mkdir(directory)
    yield directory
    wait_until(lambda: not Path(directory, "cgroup.procs").read_text(), 5)
    os.rmdir(directory)


@needs_groups
def test_a_worker_that_is_ended_because_its_job_has_no_memory_is_known_by_its_cause(
    tmp_path: Path, job_group: str
) -> None:
    Path(job_group, "memory.limit_in_bytes").write_text(str(300 * MIB))
    prefix = ["sh", "-c", f'echo $$ > {job_group}/cgroup.procs; exec "$@"', "sh"]

    with manager(tmp_path, slots=1, prefix=prefix) as stand:
        loss = loss_of(stand.run(hold, 600))

        assert loss.cause == "memory"
        assert re.search(r"this job ran out of memory; its peak was \d+ MiB", loss.detail)
        assert stand.run(double, 4) == 8


@needs_groups
def test_no_group_is_left_behind(tmp_path: Path) -> None:
    with manager(tmp_path) as stand:
        stand.results(stand.submit(grow, [(400,), (1,), (400,)], memory_bytes=LIMIT))
        stand.run(pause, 0.01, memory_bytes=LIMIT)
        held = groups_of(stand)

    assert held
    wait_until(lambda: not any(map(os.path.exists, held)), 5)
    assert not any(map(os.path.exists, held))


@needs_groups
@pytest.mark.parametrize("victim", ["manager", "zygote"])
def test_no_group_is_left_behind_by_what_was_killed(tmp_path: Path, victim: str) -> None:
    with manager(tmp_path) as stand:
        stand.results(stand.submit(pause, [(0.1,)] * 2, memory_bytes=LIMIT))
        stand.submit(pause, [(60,)], memory_bytes=LIMIT)
        held = groups_of(stand)

        os.kill(stand.process.pid if victim == "manager" else zygote_of(stand), signal.SIGKILL)

        assert held
        wait_until(lambda: not any(map(os.path.exists, held)), 5)
        assert not any(map(os.path.exists, held))
