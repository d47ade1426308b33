"""The executor driven without a kernel, as libraries do."""

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest

import fanflow
from fanflow import Config, HighThroughputExecutor, python_app
from fanflow.errors import (
    BadStateException,
    ConfigurationError,
    ExecutorError,
    InvalidResourceSpecification,
    WaitInCallbackError,
)
from fanflow.model.jobs import JobState
from fanflow.pilot.errors import WorkerLost
from fanflow.providers import LocalProvider
from tests.leaks import wait_until

PATIENCE_S = 20.0


@pytest.fixture
def executor() -> Iterator[HighThroughputExecutor]:
    executor = HighThroughputExecutor(max_workers_per_node=2)
    executor.start()
    yield executor
    executor.shutdown()


def run_buffer(buffer: bytes, *args: object, **kwargs: object) -> tuple[object, ...]:
    return pickle.loads(buffer), args, kwargs


def fail(text: str) -> None:
    raise ValueError(text)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def test_calls_run_and_their_futures_have_numbers(executor: HighThroughputExecutor) -> None:
    futures = [executor.submit(pow, {}, 2, number) for number in range(500)]

    assert [future.result(PATIENCE_S) for future in futures] == [2**number for number in range(500)]
    assert len({future.parsl_executor_task_id for future in futures}) == 500
    assert executor.outstanding() == 0


def test_the_first_call_obtains_the_first_block_and_nothing_does_before() -> None:
    with HighThroughputExecutor(max_workers_per_node=1) as executor:
        executor.start()
        before = executor.status()

        assert executor.submit(abs, None, -3).result(PATIENCE_S) == 3

        assert before == {}
        assert executor.connected_blocks() == ["0"]


def test_blocks_are_obtained_and_given_back_by_hand(executor: HighThroughputExecutor) -> None:
    assert executor.initialize_scaling() == ["0"]
    assert executor.scale_out(1) == ["1"]
    wait_until(lambda: len(executor.connected_managers()) == 2, PATIENCE_S)

    (given_back,) = executor.scale_in(1)

    wait_until(lambda: len(executor.connected_managers()) == 1, PATIENCE_S)
    wait_until(lambda: executor.status()[given_back].terminal, PATIENCE_S)
    assert executor.status()[given_back].state is JobState.SCALED_IN
    assert sorted(executor.connected_blocks()) == ["0", "1"]


def test_an_exception_of_the_call_comes_back_as_itself(executor: HighThroughputExecutor) -> None:
    with pytest.raises(ValueError, match="boom"):
        executor.submit(fail, {}, "boom").result(PATIENCE_S)


def test_a_call_that_kills_its_worker_ends_with_the_cause_at_once(executor: HighThroughputExecutor) -> None:
    with pytest.raises(WorkerLost) as caught:
        executor.submit(die, {}).result(PATIENCE_S)

    assert "SIGKILL" in caught.value.detail
    assert executor.submit(abs, {}, -1).result(PATIENCE_S) == 1


def test_a_packed_call_is_run_by_the_function_that_is_named(executor: HighThroughputExecutor) -> None:
    function = f"{run_buffer.__module__}.{run_buffer.__qualname__}"
    context = {"task_executor": {"f": function, "a": (1,), "k": {"b": 2}}, "resource_spec": {}}

    future = executor.submit_payload(context, pickle.dumps("the call"))

    assert future.result(PATIENCE_S) == ("the call", (1,), {"b": 2})


def test_a_resource_specification_reaches_the_worker(executor: HighThroughputExecutor) -> None:
    future = executor.submit(variable, {"priority": 7}, "PARSL_PRIORITY")

    assert future.result(PATIENCE_S) == "7"


@pytest.mark.parametrize("spec", [{"cores": 2}, {"priority": "high"}, {"memory": -1}])
def test_a_resource_specification_that_means_nothing_here_is_refused_at_once(
    executor: HighThroughputExecutor, spec: dict[str, object]
) -> None:
    with pytest.raises(InvalidResourceSpecification, match=next(iter(spec))):
        executor.submit(abs, spec, 1)


def test_a_running_call_is_stopped_by_its_cancel(executor: HighThroughputExecutor) -> None:
    stuck = [executor.submit(time.sleep, {}, 60) for _ in range(2)]
    after = executor.submit(abs, {}, -1)

    assert all(future.cancel() for future in stuck)

    assert after.result(PATIENCE_S) == 1
    with pytest.raises(CancelledError):
        stuck[0].result(PATIENCE_S)


def test_a_shutdown_ends_calls_without_an_outcome() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    assert executor.submit(abs, {}, -1).result(PATIENCE_S) == 1
    futures = [executor.submit(time.sleep, {}, 60) for _ in range(3)]
    began = time.monotonic()

    executor.shutdown()
    executor.shutdown()

    assert not wait(futures, 5.0).not_done
    assert time.monotonic() - began < 8.0
    with pytest.raises(CancelledError):
        futures[0].result()


def test_a_call_after_the_shutdown_says_that_it_has_ended() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    executor.shutdown()

    with pytest.raises(ExecutorError, match=r"it has ended: start\(\) it again"):
        executor.submit(abs, None, -1)


def test_what_is_given_up_ends_everything(executor: HighThroughputExecutor) -> None:
    future = executor.submit(time.sleep, {}, 60)

    executor.set_bad_state_and_fail_all(RuntimeError("no more money"))

    with pytest.raises(BadStateException, match="no more money"):
        future.result(PATIENCE_S)
    with pytest.raises(BadStateException, match="no more money"):
        executor.submit(abs, {}, 1)
    assert executor.bad_state_is_set


def test_what_does_not_run_says_how_to_make_it_run() -> None:
    executor = HighThroughputExecutor()

    with pytest.raises(ExecutorError, match=r"start\(\)"):
        executor.submit(abs, {}, 1)
    with pytest.raises(ExecutorError, match=r"load\(\)"):
        executor.connected_managers()


def test_it_cannot_be_started_twice_nor_loaded_while_it_runs(executor: HighThroughputExecutor) -> None:
    with pytest.raises(ConfigurationError, match="started already"):
        executor.start()
    with pytest.raises(ConfigurationError, match="shut it down"):
        fanflow.load(Config(executors=[executor]))


def test_it_can_be_started_again_after_a_shutdown_with_other_options() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    for workers in (1, 2):
        executor.max_workers_per_node = workers
        executor.start()
        assert executor.submit(abs, {}, -1).result(PATIENCE_S) == 1
        assert executor.connected_managers()[0]["worker_count"] == workers
        executor.shutdown()


def test_two_of_them_do_not_mind_each_other() -> None:
    with HighThroughputExecutor("a", LocalProvider()) as one, HighThroughputExecutor("b") as other:
        one.start()
        other.start()

        futures = [(one if number % 2 else other).submit(abs, {}, -number) for number in range(100)]

        assert [future.result(PATIENCE_S) for future in futures] == list(range(100))


def test_one_that_is_run_by_a_kernel_says_so() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    with fanflow.load(Config(executors=[executor])):
        assert python_app(abs)(-2).result(timeout=PATIENCE_S) == 2

        with pytest.raises(ExecutorError, match="call an app"):
            executor.submit(abs, {}, 1)


def test_a_callback_that_asks_its_own_thread_is_told(executor: HighThroughputExecutor) -> None:
    raised: list[BaseException] = []
    asked = threading.Event()

    def ask(future: object) -> None:
        try:
            executor.connected_managers()
        except WaitInCallbackError as error:
            raised.append(error)
        asked.set()

    executor.submit(abs, {}, 1).add_done_callback(ask)

    assert asked.wait(PATIENCE_S)
    assert len(raised) == 1


def test_a_provider_that_cannot_be_built_leaves_nothing_behind(tmp_path: Path) -> None:
    provider = LocalProvider(worker_init="true")
    executor = HighThroughputExecutor(provider=provider)
    provider.max_blocks = "many"  # type: ignore[assignment]  # that is the mistake

    with pytest.raises(ConfigurationError, match="max_blocks"):
        executor.start()

    provider.max_blocks = 1
    executor.start()
    executor.shutdown()
