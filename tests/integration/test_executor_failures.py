"""Executors that cannot begin, or fail: with the reason, and nothing left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest

import fanflow
from fanflow import Config, HighThroughputExecutor, python_app
from fanflow.errors import BadStateException, ConfigurationError, ExecutorError
from fanflow.model.jobs import JobState
from fanflow.pilot.manager_selector import ManagerSelector
from fanflow.providers import LocalProvider
from fanflow.spi.executor import BuildContext, Executor
from tests.leaks import wait_until

PATIENCE_S = 20.0


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary ones; its path is short enough for sockets."""
    directory = tempfile.mkdtemp(prefix="t", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", directory)
    yield Path(directory)
    shutil.rmtree(directory)


@python_app
def square(number: int) -> int:
    return number * number


@python_app
def nap(seconds: float) -> None:
    time.sleep(seconds)


def is_fork_server(process: psutil.Process) -> bool:
    return "fanflow.pilot.fork_server" in " ".join(process.cmdline())


class Unpicklable(ManagerSelector):
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def sort_managers(self, ready_managers, manager_list):  # type: ignore[no-untyped-def]  # as users write it
        return list(manager_list)


class Unstartable:
    """A specification of an executor that cannot start."""

    label = "unstartable"

    def build(self, context: BuildContext) -> Executor:
        executor = HighThroughputExecutor("unstartable").build(context)

        def start(events: object, loop: object) -> None:
            raise OSError("no more processes")

        executor.start = start  # type: ignore[method-assign]  # so it fails where the system would
        return executor


class Unbuildable:
    """A specification that is wrong."""

    label = "unbuildable"

    def build(self, context: BuildContext) -> Executor:
        raise ConfigurationError("that is wrong")


@pytest.mark.parametrize(("second", "error"), [(Unstartable(), OSError), (Unbuildable(), ConfigurationError)])
def test_a_load_that_fails_leaves_nothing_of_its_other_executors(
    second: Unstartable | Unbuildable, error: type[Exception], temporary: Path
) -> None:
    first = HighThroughputExecutor(max_workers_per_node=1)

    with pytest.raises(error):
        fanflow.load(Config(executors=[first, second]))

    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "executor",
    [
        HighThroughputExecutor(manager_selector=Unpicklable()),
        HighThroughputExecutor(launch_cmd="sleep 10"),
        HighThroughputExecutor(launch_cmd="{nobody} process_worker_pool.py"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_started(
    executor: HighThroughputExecutor, temporary: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"manager_selector|launch_cmd"):
        executor.start()

    assert list(temporary.iterdir()) == []
    with pytest.raises(ExecutorError, match=r"start\(\)"):
        executor.submit(abs, {}, 1)


@pytest.mark.parametrize("runs_in_kernel", [False, True])
def test_one_whose_processes_cannot_be_started_leaves_nothing_behind(
    runs_in_kernel: bool, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    monkeypatch.setattr(sys, "executable", "/there/is/no/python")

    with pytest.raises(FileNotFoundError):
        fanflow.load(Config(executors=[executor])) if runs_in_kernel else executor.start()

    assert list(temporary.iterdir()) == []
    monkeypatch.undo()
    executor.start()
    assert executor.submit(abs, {}, -1).result(PATIENCE_S) == 1
    executor.shutdown()


def test_one_that_cannot_be_added_leaves_nothing_behind(temporary: Path) -> None:
    kernel = fanflow.load(Config(executors=[HighThroughputExecutor("one", max_workers_per_node=1)]))
    kernel.cleanup()

    with pytest.raises(fanflow.errors.NoDataFlowKernelError):
        kernel.add_executors([HighThroughputExecutor("other", max_workers_per_node=1)])

    assert list(temporary.iterdir()) == []


def test_a_full_disk_fails_a_block_with_the_reason_and_not_the_kernel(tmp_path: Path) -> None:
    provider = LocalProvider(worker_init="true", init_blocks=0)
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=provider, block_error_handler=True)
    with fanflow.load(Config(executors=[executor], strategy_period=0.1)):
        Path(executor.run_dir, executor.label).write_text("in the way")

        with pytest.raises(BadStateException, match="NotADirectoryError"):
            square(1).result(timeout=PATIENCE_S)


def test_one_that_has_given_up_gives_its_blocks_back_and_takes_no_new_ones() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    running = executor.submit(time.sleep, {}, 60)
    wait_until(lambda: bool(executor.connected_managers()), PATIENCE_S)

    executor.set_bad_state_and_fail_all(RuntimeError("no more money"))

    with pytest.raises(BadStateException, match="no more money"):
        running.result(PATIENCE_S)
    wait_until(lambda: all(status.terminal for status in executor.status().values()), PATIENCE_S)
    assert [status.state for status in executor.status().values()] == [JobState.SCALED_IN]
    with pytest.raises(BadStateException, match="no more money"):
        executor.scale_out(1)
    executor.shutdown()


def test_a_manager_that_hears_nothing_is_killed_when_its_block_is_given_back() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    executor.submit(abs, {}, -1).result(PATIENCE_S)
    os.kill(cast("int", executor.connected_managers()[0]["process_id"]), signal.SIGSTOP)
    assert executor.blocks_to_job_id == {"0": "parsl.HighThroughputExecutor.block-0"}
    assert executor.job_ids_to_block == {"parsl.HighThroughputExecutor.block-0": "0"}

    executor.set_bad_state_and_fail_all(RuntimeError("enough"))
    for _ in range(3):
        executor.poll_facade()

    wait_until(lambda: executor.status()["0"].terminal, PATIENCE_S)
    assert executor.status()["0"].state is JobState.SCALED_IN
    executor.shutdown()


@pytest.mark.parametrize("worker_init", ["", "true"])
def test_one_whose_fork_server_dies_gives_up_and_leaves_nothing_behind(
    worker_init: str, temporary: Path
) -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=LocalProvider(worker_init=worker_init))
    with fanflow.load(Config(executors=[executor])):
        square(1).result(timeout=PATIENCE_S)
        running = nap(60.0)
        (server,) = [one for one in psutil.Process().children() if is_fork_server(one)]

        server.kill()

        with pytest.raises(BadStateException, match="fork server"):
            running.result(timeout=PATIENCE_S)
        wait_until(lambda: executor.status()["0"].terminal, PATIENCE_S)
        assert executor.status()["0"].state is JobState.SCALED_IN

    assert list(temporary.iterdir()) == []


def test_it_gives_up_once_and_not_when_it_has_ended() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    future = executor.submit(time.sleep, {}, 60)

    for reason in ("first", "second"):
        executor.set_bad_state_and_fail_all(RuntimeError(reason))

    with pytest.raises(BadStateException, match="first"):
        future.result(PATIENCE_S)
    executor.shutdown()
    assert str(executor.executor_exception) == "first"


KILLED = """
import sys, time
from fanflow import Config, HighThroughputExecutor, load, python_app
from fanflow.providers import LocalProvider

provider = LocalProvider(worker_init=sys.argv[1])
grace = dict(heartbeat_period=0.5, heartbeat_threshold=2, address_probe_timeout=3)
pool = HighThroughputExecutor(max_workers_per_node=1, provider=provider, **grace)
load(Config(executors=[pool]))
future = python_app(time.sleep)(600)
while not (pool.connected_blocks() or sys.argv[1] == "sleep 2"):
    time.sleep(0.05)
print("ready", flush=True)
time.sleep(600)
"""


def marked(mark: str) -> list[psutil.Process]:
    """Processes that were started by the program that was started with this mark, and run."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("worker_init", ["true", "sleep 2"])
def test_blocks_from_scripts_end_within_the_grace_when_the_program_is_killed(
    worker_init: str, temporary: Path
) -> None:
    mark = uuid.uuid4().hex
    environment = {**os.environ, "MARK": mark, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", KILLED, worker_init]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        before = len(marked(mark))

        program.kill()

    wait_until(lambda: not marked(mark), PATIENCE_S)
    left = marked(mark)
    for process in left:
        process.kill()
    assert before >= 2
    assert left == []
    wait_until(lambda: not list(temporary.iterdir()), PATIENCE_S)
    assert list(temporary.iterdir()) == []
