"""Cancelling: decided at once, and never both run and cancelled."""

import asyncio
import concurrent.futures
import threading
from concurrent.futures import CancelledError, Future

import pytest

import fanflow
from fanflow import DataFlowKernel, python_app
from fanflow.errors import DependencyError
from fanflow.model.attempts import Returned
from fanflow.testing import ScriptedExecutorSpec
from tests.integration.kernels import PATIENCE_S, Door, give, loaded, waiting


def states(kernel: fanflow.DataFlowKernel) -> dict[str, int]:
    kernel.wait_for_current_tasks()
    return {state.name: number for state, number in kernel.task_state_counts.items() if number}


def test_a_task_that_waits_for_others_is_cancelled(kernel: fanflow.DataFlowKernel) -> None:
    never: Future[object] = Future()
    waiting = give(never)

    assert waiting.cancel()

    assert waiting.cancelled()
    assert waiting.done()
    assert not waiting.running()
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE_S)
    never.set_result(1)
    assert states(kernel) == {"cancelled": 1}
    assert waiting.task_status() == "cancelled"


def test_a_queued_task_is_cancelled_and_never_runs() -> None:
    ran = threading.Event()
    with loaded(threads=1) as kernel, Door() as door:
        running = python_app(door.pass_through)(1)
        door.wait_for(1)
        queued = python_app(ran.set)()

        assert queued.cancel()

        door.open()
        assert running.result(PATIENCE_S) == 1
        assert states(kernel) == {"exec_done": 1, "cancelled": 1}
        assert not ran.is_set()


def test_a_running_thread_is_not_cancelled(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        running = python_app(door.pass_through)(1)
        door.wait_for(1)

        assert running.running()
        assert not running.cancel()

        door.open()
        assert running.result(PATIENCE_S) == 1
    assert not running.cancel()


def test_cancelling_twice_is_true_twice_and_after_the_end_false(kernel: fanflow.DataFlowKernel) -> None:
    waiting, done = give(Future()), give(1)
    done.result(PATIENCE_S)

    assert waiting.cancel()
    assert waiting.cancel()
    assert not done.cancel()
    assert not done.cancelled()


def test_what_depends_on_a_cancelled_task_fails_and_others_go_on(kernel: fanflow.DataFlowKernel) -> None:
    waiting = give(Future())
    after, other = give([waiting]), give(2)

    waiting.cancel()

    assert isinstance(after.exception(PATIENCE_S), DependencyError)
    assert isinstance(after.exception().__cause__, CancelledError)  # type: ignore[union-attr]
    assert other.result(PATIENCE_S) == 2


def test_a_retry_that_is_queued_is_cancelled_and_never_starts() -> None:
    spec = ScriptedExecutorSpec("scripted")
    with loaded(executors=[spec], retries=5) as kernel:
        task = give(1)
        (first,) = spec.executor.wait_for_launches(1)
        spec.executor.fail(first.attempt, ValueError("again"))
        _, second = spec.executor.wait_for_launches(2)

        assert task.cancel()

        assert spec.executor.wait_for_cancels(1) == [second.attempt]
        assert states(kernel) == {"cancelled": 1}
        assert not second.latch.claim()


def test_an_attempt_that_can_be_killed_is_killed_and_its_late_result_dropped() -> None:
    spec = ScriptedExecutorSpec("scripted", kills=True)
    with loaded(executors=[spec]) as kernel:
        task = give(1)
        (launch,) = spec.executor.wait_for_launches(1)
        spec.executor.begin(launch.attempt)

        assert task.cancel()

        assert spec.executor.wait_for_cancels(1) == [launch.attempt]
        spec.executor.report([Returned(launch.attempt, "late")])
        assert states(kernel) == {"cancelled": 1}
        with pytest.raises(CancelledError):
            task.result(PATIENCE_S)


def test_a_done_callback_may_cancel(kernel: fanflow.DataFlowKernel) -> None:
    waiting = give(Future())
    told: Future[bool] = Future()

    give(1).add_done_callback(lambda _: told.set_result(waiting.cancel()))

    assert told.result(PATIENCE_S)
    assert waiting.cancelled()


def test_callbacks_of_a_cancelled_future_are_called_once(kernel: fanflow.DataFlowKernel) -> None:
    waiting = give(Future())
    calls: list[bool] = []
    waiting.add_done_callback(lambda future: calls.append(future.cancelled()))

    waiting.cancel()
    kernel.wait_for_current_tasks()
    kernel.wait_for_current_tasks()

    assert calls == [True]


def test_2000_tasks_that_are_cancelled_while_they_start_either_run_or_are_cancelled() -> None:
    ran: set[int] = set()
    futures: list[fanflow.AppFuture[object]] = []
    with loaded(threads=4) as kernel:
        app = python_app(ran.add)
        answers: dict[int, bool] = {}

        def cancel_all() -> None:
            done = 0
            while done < 2000:
                for number in range(done, len(futures)):
                    answers[number] = futures[number].cancel()
                    done = number + 1

        canceller = threading.Thread(target=cancel_all)
        canceller.start()
        for number in range(2000):
            futures.append(app(number))  # type: ignore[arg-type]  # noqa: PERF401 - read meanwhile
        canceller.join(PATIENCE_S)
        concurrent.futures.wait(futures, PATIENCE_S)
        counts = states(kernel)

    assert len(answers) == 2000
    for number, future in enumerate(futures):
        assert future.cancelled() == answers[number]
        assert future.cancelled() != (number in ran), f"task {number} both ran and was cancelled, or neither"
    assert counts.get("cancelled", 0) == sum(answers.values())
    assert sum(counts.values()) == 2000


def test_the_standard_library_waits_for_futures_that_end_meanwhile() -> None:
    with loaded(threads=4):
        for _ in range(20):
            futures = [give(number) for number in range(50)]
            assert len(concurrent.futures.wait(futures, PATIENCE_S).done) == 50

            futures = [give(number) for number in range(50)]
            assert concurrent.futures.wait(futures, PATIENCE_S, "FIRST_COMPLETED").done

            futures = [give(number) for number in range(50)]
            ended = list(concurrent.futures.as_completed(futures, PATIENCE_S))
            assert sorted(future.result() for future in ended) == list(range(50))


def test_many_threads_wait_for_the_same_futures() -> None:
    with loaded(threads=4):
        futures = [give(number) for number in range(300)]
        sums: list[int] = []

        def add_up() -> None:
            sums.append(sum(future.result(PATIENCE_S) for future in futures))  # type: ignore[misc]

        threads = [threading.Thread(target=add_up) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

    assert sums == [sum(range(300))] * 8


def test_a_first_exception_ends_the_wait_for_it(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        waiting = python_app(door.pass_through)()

        def fail() -> None:
            raise ValueError("boom")

        failing = python_app(fail)()
        done, not_done = concurrent.futures.wait([waiting, failing], PATIENCE_S, "FIRST_EXCEPTION")

    assert done == {failing}
    assert not_done == {waiting}


def test_a_timeout_leaves_the_task_alone(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        task = python_app(door.pass_through)(1)
        with pytest.raises(TimeoutError):
            task.result(0.01)
        with pytest.raises(TimeoutError):
            task.exception(0)
        door.open()
        assert task.result(PATIENCE_S) == 1


def test_a_future_is_awaited_in_any_loop(kernel: fanflow.DataFlowKernel) -> None:
    async def add() -> int:
        first, second = give(1), give(2)
        return sum(await asyncio.gather(first, second)) + await give(3)

    sums: list[int] = []
    threads = [threading.Thread(target=lambda: sums.append(asyncio.run(add()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert sums == [6, 6]


def test_awaiting_raises_what_the_task_raised(kernel: fanflow.DataFlowKernel) -> None:
    def fail() -> None:
        raise KeyError("k")

    async def wait_for(future: "Future[object]") -> object:
        return await future  # type: ignore[misc]

    with pytest.raises(KeyError, match="k"):
        asyncio.run(wait_for(python_app(fail)()))
    waiting = give(Future())
    waiting.cancel()
    with pytest.raises(CancelledError):
        asyncio.run(wait_for(waiting))


def test_a_cancelled_await_leaves_the_task_running(kernel: fanflow.DataFlowKernel) -> None:
    async def give_up(future: "Future[object]") -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)  # type: ignore[arg-type]

    with Door() as door:
        task = python_app(door.pass_through)(1)
        asyncio.run(give_up(task))

        assert not task.cancelled()
        door.open()
        assert task.result(PATIENCE_S) == 1


def test_wrap_future_gives_a_future_of_asyncio(kernel: fanflow.DataFlowKernel) -> None:
    async def wrapped() -> object:
        return await asyncio.wrap_future(give(1))

    assert asyncio.run(wrapped()) == 1


def test_the_status_says_cancelled_at_once(kernel: DataFlowKernel, released: threading.Event) -> None:
    waiting(released)
    waiting(released)
    queued = waiting(released)

    assert queued.cancel()

    assert queued.task_status() == "cancelled"
