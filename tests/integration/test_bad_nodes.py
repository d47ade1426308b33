"""Nodes on which no worker can live: the client hears why, in bounded time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fanflow
from fanflow import Config, python_app
from fanflow.ids import ExecutorLabel
from fanflow.pilot import manager, wire
from fanflow.pilot.running import Engine
from fanflow.pilot.worker_plan import WorkerOptions
from fanflow.spi.executor import BuildContext, Executor
from tests.integration.engines import PassiveSource
from tests.integration.manager_stand import DEADLINE, ManagerStand

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="managers need Linux")

MakeConfig = Callable[[Engine], manager.ManagerConfig]


class StubbornBlocks(PassiveSource):
    """Starts a manager, and another whenever one has ended."""

    planned = 1

    def __init__(self, make_config: MakeConfig) -> None:
        self._make_config = make_config
        self._ends = False
        self.started = 0
        self.statuses: list[int] = []

    def begin(self, engine: Engine) -> None:
        self._engine = engine
        self._start()

    def _start(self) -> None:
        self.started += 1
        config = manager.encode_config(self._make_config(self._engine))
        self._engine.fork_server.start("fanflow.pilot.manager", config, self._on_end)

    def _on_end(self, status: int) -> None:
        self.statuses.append(status)
        if not self._ends:
            self._start()

    def end(self) -> None:
        self._ends = True


class BadNodes:
    """Specification of an engine on nodes of this kind."""

    label = "engine"

    def __init__(self, make_config: MakeConfig) -> None:
        self.blocks = StubbornBlocks(make_config)

    def build(self, context: BuildContext) -> Executor:
        return Engine(ExecutorLabel(self.label), "a-run", self.blocks)


@python_app
def add(a: int) -> int:
    return a + 1


def error_on(nodes: BadNodes) -> str:
    """What a task ends with on such nodes."""
    with fanflow.load(Config(executors=[nodes])):
        future = add(1)
        error = future.exception(timeout=20)
    assert error is not None
    return str(error)


def test_workers_that_cannot_write_their_logs_are_reported_and_not_started_for_ever(tmp_path: Path) -> None:
    uid = "0123456789ab"
    log = tmp_path / "logs" / "block-7" / uid / "worker_0.log"
    log.mkdir(parents=True)  # a directory in the place of the file

    def config(engine: Engine) -> manager.ManagerConfig:
        logs = str(tmp_path / "logs")
        access = engine.admit("7")
        return manager.ManagerConfig(access=access, block="7", slots=1, log_directory=logs, uid=uid)

    nodes = BadNodes(config)
    began = time.monotonic()

    text = error_on(nodes)

    assert time.monotonic() - began < 10
    assert "before they are ready" in text
    assert "IsADirectoryError" in text
    assert "worker_0.log" in text
    assert uid in text
    assert nodes.blocks.started <= 4
    assert set(nodes.blocks.statuses) <= {1, -9}


def test_a_node_without_room_says_which_option_asks_for_too_much(tmp_path: Path) -> None:
    options = WorkerOptions(cores_per_worker=10_000)
    nodes = BadNodes(
        lambda engine: manager.ManagerConfig(
            access=engine.admit("0"), options=options, log_directory=str(tmp_path)
        )
    )

    text = error_on(nodes)

    assert "cores_per_worker=10000" in text
    assert "no worker has room" in text


def test_a_log_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    nodes = BadNodes(
        lambda engine: manager.ManagerConfig(
            access=engine.admit("0"), slots=1, log_directory=str(tmp_path / "logs")
        )
    )

    assert str(tmp_path / "logs") in error_on(nodes)


def test_cores_that_a_node_does_not_have_are_named(tmp_path: Path) -> None:
    options = {"cpu_affinity": "list:9998:9999", "max_workers_per_node": 1}
    stand = ManagerStand(tmp_path, slots=0, options=options)
    try:
        assert stand.router.poll(DEADLINE * 1000)
        identity, header = stand.router.recv_multipart()
        register = wire.decode_from_manager(header)
        assert isinstance(register, wire.Register)
        stand.router.send_multipart([identity, wire.encode(wire.Refused(register.trouble))])

        assert "cpu_affinity='list:9998:9999'" in register.trouble
        assert "cores 9998 cannot be used" in register.trouble
        assert stand.process.wait(10) == 1
    finally:
        stand.close()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "usage:"),
        (["missing.json"], "cannot read its configuration missing.json: No such file"),
        (["broken.json"], "broken.json is not a configuration"),
        (["partial.json"], "missing required field"),
        (["partial.json", "--block"], "usage:"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_a_readable_error(
    tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "partial.json").write_text("{}")

    done = subprocess.run(
        [sys.executable, "-m", "fanflow.pilot.manager", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
