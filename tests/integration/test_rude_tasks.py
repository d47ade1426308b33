"""What a task does to its worker harms no other task; the worker is put in order, or replaced."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import psutil
import pytest

import fanflow
from fanflow import Config, DataFlowKernel
from fanflow.errors import NestedAppError, TaskExitedError
from fanflow.pilot.errors import WorkerLost
from tests.integration import rude_tasks
from tests.integration.engines import TwoWorkers
from tests.leaks import wait_until

PATIENCE_S = 20.0


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    """One worker, so that each task runs where the one before it ran."""
    with fanflow.load(Config(executors=[TwoWorkers(slots=1)])) as kernel:
        yield kernel


@pytest.fixture(autouse=True)
def healthy(kernel: DataFlowKernel, request: pytest.FixtureRequest) -> Iterator[None]:
    """What tasks find before and after is the same."""
    before = rude_tasks.health().result(PATIENCE_S)
    yield
    after = [rude_tasks.health() for _ in range(20)]
    assert [future.result(PATIENCE_S) for future in after] == [before] * 20


def test_all_descriptors_closed() -> None:
    error = rude_tasks.close_descriptors().exception(PATIENCE_S)

    assert isinstance(error, WorkerLost)
    assert "closed" in "\n".join(error.__notes__)


def test_all_descriptors_closed_with_the_standard_ones() -> None:
    error = rude_tasks.close_descriptors(0).exception(PATIENCE_S)

    assert isinstance(error, WorkerLost)
    assert "closed" in "\n".join(error.__notes__)


def test_garbage_in_all_descriptors() -> None:
    error = rude_tasks.write_garbage().exception(PATIENCE_S)

    assert isinstance(error, WorkerLost)
    assert "wrote into its connection" in "\n".join(error.__notes__)


@pytest.mark.parametrize(
    ("rude", "says"),
    [
        (rude_tasks.change_directory, "/"),
        (rude_tasks.change_signals, "changed"),
        (rude_tasks.limit_resources, "limited"),
        (rude_tasks.replace_stdout, "replaced"),
        (rude_tasks.close_stdout, "closed"),
        (rude_tasks.close_standard_descriptors, "closed"),
        (rude_tasks.lower_recursion_limit, "lowered"),
        (rude_tasks.raise_at_exit, "registered"),
        (rude_tasks.hang_at_exit, "registered"),
        (rude_tasks.leave_alarm, "set"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_a_task_changes_ends_with_it(rude: Callable[[], Future[str]], says: str) -> None:
    assert rude().result(PATIENCE_S) == says


def test_tasks_right_behind_a_rude_one_find_all_in_order() -> None:
    before = rude_tasks.health().result(PATIENCE_S)
    apps = [rude_tasks.change_directory, rude_tasks.change_signals, rude_tasks.replace_stdout,
            rude_tasks.limit_resources, rude_tasks.leave_alarm]  # fmt: skip

    futures: list[Future[object]] = []
    for _ in range(20):
        for app in apps:
            app()
            futures.append(rude_tasks.health())

    assert [future.result(PATIENCE_S) for future in futures] == [before] * 100


def test_an_alarm_that_a_task_leaves_rings_for_nobody() -> None:
    rude_tasks.leave_alarm().result(PATIENCE_S)

    assert rude_tasks.sleep(0.4).result(PATIENCE_S) == 0.4


@pytest.mark.parametrize("names", [("abs", "min", "sorted"), ("len",), ("isinstance", "print", "range")])
def test_deleted_builtins_are_missed_by_nobody_else(names: tuple[str, ...]) -> None:
    future = rude_tasks.delete_builtins(*names)

    error = future.exception(PATIENCE_S)
    assert error is None or isinstance(error, WorkerLost)


@pytest.mark.parametrize("app", [rude_tasks.fork_and_return, rude_tasks.fork_and_raise])
def test_a_forked_child_that_comes_back_does_not_speak_for_its_worker(app: Callable[[], Future[int]]) -> None:
    for _ in range(5):
        assert app().result(PATIENCE_S) > 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_works_in_a_task(method: str) -> None:
    assert rude_tasks.use_multiprocessing(method).result(PATIENCE_S) == [0, 1, 4, 9, 16]


def test_a_process_that_a_task_leaves_ends_with_the_kernel(kernel: DataFlowKernel) -> None:
    pid = rude_tasks.leave_process().result(PATIENCE_S)
    assert rude_tasks.sleep(0).result(PATIENCE_S) == 0
    assert psutil.pid_exists(pid)


def test_a_thread_that_a_task_leaves_does_not_keep_its_worker() -> None:
    assert rude_tasks.leave_thread().result(PATIENCE_S) == "started"


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_what_would_end_the_worker_ends_the_task_alone(name: str) -> None:
    error = rude_tasks.raise_exit(name).exception(PATIENCE_S)

    assert isinstance(error, TaskExitedError)
    assert name in str(error)


def test_sys_exit_ends_the_task_alone() -> None:
    assert isinstance(rude_tasks.exit_at_once(0).exception(PATIENCE_S), TaskExitedError)


def test_a_zygote_takes_no_orders_from_tasks() -> None:
    assert rude_tasks.kill_parent().result(PATIENCE_S) is None


def test_an_app_called_in_a_task_names_join_app() -> None:
    error = rude_tasks.call_app().exception(PATIENCE_S)

    assert isinstance(error, NestedAppError)
    assert "@join_app" in str(error)


def test_what_tasks_leave_behind_does_not_outlive_the_kernel() -> None:
    began = time.monotonic()
    with fanflow.DataFlowKernel(Config(executors=[TwoWorkers(slots=1)])) as other:
        pid = other.submit(rude_tasks.leave_process.func, ()).result(PATIENCE_S)
        other.submit(rude_tasks.leave_thread.func, ()).result(PATIENCE_S)
        other.submit(rude_tasks.hang_at_exit.func, ()).result(PATIENCE_S)

    wait_until(lambda: not psutil.pid_exists(pid), 5)
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - began < 10
