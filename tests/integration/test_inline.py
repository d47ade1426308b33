import concurrent.futures
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanflow
from fanflow import (
    AppFuture,
    Config,
    DataFlowKernel,
    InlineExecutor,
    ThreadPoolExecutor,
    bash_app,
    join_app,
    python_app,
)
from fanflow.errors import DependencyError, JoinError
from tests.leaks import wait_until

SOURCE = Path(fanflow.__file__).parents[1]


@pytest.fixture(params=["configured", "variable"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFlowKernel]:
    """Runs a test with the executor in the configuration, and with the environment variable in its place."""
    if request.param == "variable":
        monkeypatch.setenv("FANFLOW_INLINE", "1")
        config = Config(executors=[ThreadPoolExecutor("pool", max_threads=2)])
    else:
        config = Config(executors=[InlineExecutor("pool")])
    with fanflow.load(config) as kernel:
        yield kernel


@python_app
def ident(*_: object) -> int:
    return threading.get_ident()


@python_app
def added(first: int, second: int = 1) -> int:
    return first + second


@python_app
def failing(text: str) -> int:
    raise ValueError(text)


def test_an_app_runs_in_the_thread_that_calls_it_before_the_call_returns(kernel: DataFlowKernel) -> None:
    future = ident()

    assert future.done()
    assert future.result() == threading.get_ident()


def test_several_threads_may_call_apps(kernel: DataFlowKernel) -> None:
    def call(number: int) -> int:
        return added(added(number), 0).result(timeout=30)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(40))) == list(range(1, 41))


def test_apps_named_for_a_label_run_inline_too(kernel: DataFlowKernel) -> None:
    assert python_app(ident.func, executors=["pool"])().result() == threading.get_ident()


def test_dependants_run_there_as_well(kernel: DataFlowKernel) -> None:
    total = added(added(1), added(2))

    assert total.done()
    assert total.result() == 5
    assert ident(total).result() == threading.get_ident()


def test_join_bodies_and_what_they_call_run_there(kernel: DataFlowKernel) -> None:
    bodies: list[int] = []

    @join_app
    def fibonacci(number: int) -> AppFuture[int]:
        bodies.append(threading.get_ident())
        return added(number, 0) if number < 2 else added(fibonacci(number - 1), fibonacci(number - 2))

    future = fibonacci(6)

    assert future.result(timeout=30) == 8
    assert set(bodies) == {threading.get_ident()}


def test_a_join_of_several_has_the_list_of_results(kernel: DataFlowKernel) -> None:
    @join_app
    def several() -> list[AppFuture[int]]:
        return [added(number) for number in range(3)]

    assert several().result(timeout=30) == [1, 2, 3]


def test_an_exception_is_in_the_future_and_not_at_the_call(kernel: DataFlowKernel) -> None:
    @join_app
    def joining() -> AppFuture[int]:
        return failing("joined")

    failed, dependent, joined = failing("broken"), added(failing("needed")), joining()

    assert isinstance(failed.exception(), ValueError)
    assert isinstance(dependent.exception(), DependencyError)
    assert isinstance(joined.exception(), JoinError)
    assert added(1).result() == 2


TRACED = """
import sys, fanflow

@fanflow.python_app
def added(first, second):
    return first + second

seen = []
with fanflow.load():
    sys.settrace(lambda frame, event, argument: seen.append(frame.f_code.co_name))
    added(1, 2).result()
    sys.settrace(None)
print("added" in seen)
"""


def test_a_tracer_sees_the_function() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TRACED],
        env={**os.environ, "FANFLOW_INLINE": "1", "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (ended.stdout, ended.stderr) == ("True\n", "")


def test_a_task_that_waits_for_a_future_from_outside_runs_when_it_is_done(kernel: DataFlowKernel) -> None:
    foreign: concurrent.futures.Future[int] = concurrent.futures.Future()

    future = added(foreign, 2)  # type: ignore[arg-type]  # a future
    assert not future.done()
    foreign.set_result(1)

    assert future.result(timeout=30) == 3


def test_commands_run_inline_too(kernel: DataFlowKernel) -> None:
    @bash_app
    def shell(command: str) -> str:
        return command

    future = shell("exit 3")

    assert future.done()
    assert getattr(future.exception(), "exitcode", None) == 3


def test_lifted_operations_work(kernel: DataFlowKernel) -> None:
    @python_app
    def table() -> dict[str, list[int]]:
        return {"a": [1, 2]}

    assert table()["a"][1].result(timeout=30) == 2


def test_what_is_left_when_the_kernel_ends_is_ended_too() -> None:
    never: concurrent.futures.Future[int] = concurrent.futures.Future()
    with fanflow.load(Config(executors=[InlineExecutor()])):
        future = added(never)  # type: ignore[arg-type]  # a future

    wait_until(future.done, 10)
    assert future.exception(timeout=0) is not None
    never.set_result(1)


def test_the_variable_set_to_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "0"):
        monkeypatch.setenv("FANFLOW_INLINE", value)
        with fanflow.load(Config(executors=[ThreadPoolExecutor()])):
            assert ident().result() != threading.get_ident()
