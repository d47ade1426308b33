"""Managers that find their interchange over TCP: which address wins, and what is said when none does."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import fanflow
from fanflow import Config, DataFlowKernel, HighThroughputExecutor, python_app
from fanflow.errors import BadStateException
from fanflow.launchers import WrappedLauncher
from fanflow.pilot import wire
from fanflow.pilot.access import Access
from fanflow.pilot.keys import load_pair, make_key_directory, make_pair, write_pair
from fanflow.providers import LocalProvider
from tests.integration.engines import TwoWorkers, TwoWorkersOverTcp, engine_of
from tests.leaks import wait_until
from tests.security.peers import access_of, log_of, manager_of, peer, uids

CLOSED = "tcp://127.0.0.1:1"
"""Nothing listens there."""


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkersOverTcp()])) as kernel:
        yield kernel


@python_app
def add(a: int, b: int = 1) -> int:
    return a + b


@python_app
def note_and_wait(ledger: str, number: int, gate: str) -> int:
    with open(ledger, "a") as file:
        file.write(f"{number}\n")
    while not os.path.exists(gate):
        time.sleep(0.01)
    return number


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"


def access_to(addresses: list[str], directory: Path, probe_timeout_s: float = 2.0) -> Access:
    """With keys of a run that is nowhere."""
    make_key_directory(str(directory / "keys"))
    file = write_pair(str(directory / "keys"), "block_0", make_pair())
    return Access(
        addresses=addresses, server_key=make_pair().public, key_file=file, probe_timeout_s=probe_timeout_s
    )


def test_the_first_address_that_shakes_hands_wins(kernel: DataFlowKernel, tmp_path: Path) -> None:
    engine = engine_of(kernel)
    access = access_of(engine, "more")
    with silent_server() as silent:
        wrong = [CLOSED, silent, "tcp://no-such-host.invalid:54000", "tcp://[::1]:1"]
        access = msgspec.structs.replace(access, addresses=[*wrong, *access.addresses])

        with manager_of(access, tmp_path / "node", "more"):
            wait_until(lambda: len(uids(engine)) == 2, 10)

            assert len(uids(engine)) == 2
    assert f"the interchange answers at {access.addresses[-1]}" in log_of(tmp_path)


def test_a_name_of_the_host_will_do(kernel: DataFlowKernel, tmp_path: Path) -> None:
    engine = engine_of(kernel)
    access = access_of(engine, "named")
    access = msgspec.structs.replace(
        access, addresses=[access.addresses[0].replace("127.0.0.1", "localhost")]
    )

    with manager_of(access, tmp_path / "node", "named"):
        wait_until(lambda: len(uids(engine)) == 2, 10)

        assert len(uids(engine)) == 2


def test_a_manager_that_reaches_nobody_ends_in_time_and_names_each_address(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with silent_server() as silent:
        access = access_to([CLOSED, silent, "tcp://no-such-host.invalid:54000"], tmp_path)
        start = time.monotonic()

        with manager_of(access, tmp_path / "node") as manager:
            status = manager.wait(15)

    log = log_of(tmp_path)
    assert status == 1
    assert time.monotonic() - start < 2 + 6
    assert f"cannot be reached at {CLOSED}: refused: nothing listens there" in log
    assert "name not known" in log
    assert f"cannot be reached at {silent}: " in log
    said = capfd.readouterr().err
    assert f"{CLOSED}: refused" in said
    assert f"{silent}: something listens there, but it does not speak as an interchange does" in said
    assert str(tmp_path / "node" / "logs") in said


def test_a_successor_lets_the_same_keys_in_on_the_same_port_and_runs_nothing_again(
    kernel: DataFlowKernel, tmp_path: Path
) -> None:
    engine = engine_of(kernel)
    kept, gone = access_of(engine, "kept"), access_of(engine, "gone")
    gone_pair = load_pair(gone.key_file)
    engine.mailbox.post(lambda: engine.revoke("gone"))
    ledger, gate = tmp_path / "ledger", tmp_path / "gate"
    running = [note_and_wait(str(ledger), number, str(gate)) for number in range(2)]
    wait_until(lambda: ledger.exists() and len(ledger.read_text().split()) == 2, 20)
    first = engine.fork_server.pids[1]

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: first not in engine.fork_server.pids.values() and bool(uids(engine)), 20)
    gate.touch()

    assert [future.result(timeout=20) for future in running] == [0, 1]
    assert sorted(ledger.read_text().split()) == ["0", "1"]
    assert [add(number).result(timeout=20) for number in range(10)] == list(range(1, 11))
    with peer(kept.addresses[0], kept.server_key, load_pair(kept.key_file)) as connection:
        assert connection.has_shaken_hands()
    with peer(kept.addresses[0], kept.server_key, gone_pair) as connection:
        assert not connection.has_shaken_hands()


@pytest.mark.parametrize(
    ("sabotage", "words"),
    [
        ("chmod -R go+rX {runs};", ["has mode 0755, so others may read or change keys there"]),
        (
            "find {runs} -name '*.json' -exec sed -i 's#tcp://[^\"]*#tcp://127.0.0.1:1#g' {{}} +;",
            ["tcp://127.0.0.1:1: refused: nothing listens there", "see ", "/block-0/"],
        ),
    ],
    ids=["keys that others can read", "a wrong address"],
)
def test_an_executor_whose_managers_reach_nobody_fails_with_their_reasons(
    sabotage: str, words: list[str], tmp_path: Path
) -> None:
    launcher = WrappedLauncher(prepend=sabotage.format(runs=tmp_path / "runs"))
    executor = HighThroughputExecutor(
        max_workers_per_node=1, address="127.0.0.1", provider=LocalProvider(launcher=launcher)
    )

    with fanflow.load(Config(executors=[executor], run_dir=str(tmp_path / "runs"))):
        future = add(1)

        with pytest.raises(BadStateException) as caught:
            future.result(timeout=30)

    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("spec", [TwoWorkers(), TwoWorkersOverTcp()], ids=["unix", "tcp"])
def test_a_manager_of_other_versions_is_refused_by_name_and_the_others_go_on(
    spec: TwoWorkers | TwoWorkersOverTcp, caplog: pytest.LogCaptureFixture
) -> None:
    with fanflow.load(Config(executors=[spec])) as kernel:
        engine = engine_of(kernel)
        assert add(1).result(timeout=20) == 2
        access = access_of(engine, "other")
        pair = load_pair(access.key_file) if access.key_file else None
        with peer(access.addresses[0], access.server_key, pair) as connection:
            answers = [
                connection.register(block="other", **{name: version}, is_draining=False)
                for name, version in (("python", "2.7"), ("fanflow", "0.0"), ("cloudpickle", "0.1.1"))
            ]
            results = [add(number).result(timeout=20) for number in range(100)]
            has_tasks = connection.dealer.poll(0)

    reasons = [answer.reason for answer in answers if isinstance(answer, wire.Refused)]
    assert len(reasons) == 3
    assert "it runs Python 2.7, this run Python" in reasons[0]
    assert "it has fanflow 0.0, this run fanflow" in reasons[1]
    assert "it has cloudpickle 0.1.1, this run cloudpickle" in reasons[2]
    assert results == list(range(1, 101))
    assert not has_tasks
    assert "of block other on elsewhere was refused: it runs Python 2.7" in caplog.text
