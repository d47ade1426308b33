"""What `explain()` tells of a task: what it waits for, where it is, and why it failed."""

import concurrent.futures
import threading

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, ThreadPoolExecutor, join_app
from fanflow.errors import DependencyError, JoinError
from tests.integration.kernels import failing, same, waiting
from tests.leaks import wait_until


def test_a_pending_task_names_what_it_waits_for(kernel: DataFlowKernel, released: threading.Event) -> None:
    first, second = waiting(released), waiting(released)
    foreign: concurrent.futures.Future[int] = concurrent.futures.Future()
    future = same([first, {"deep": second}], foreign)
    wait_until(lambda: second.task_status() == "launched", 30)

    said = future.explain()

    assert (said.task, said.app, said.state, said.attempts, said.error) == (2, "same", "pending", 0, None)
    assert said.waits_for[:2] == ("task 0 (waiting, launched)", "task 1 (waiting, launched)")
    assert said.waits_for[2] == repr(foreign)
    assert "task 2 (same) is pending" in str(said)
    assert "it waits for task 0 (waiting, launched), task 1" in str(said)
    foreign.set_result(0)


def test_a_long_list_is_cut_and_counted(kernel: DataFlowKernel, released: threading.Event) -> None:
    future = same([waiting(released) for _ in range(9)])

    assert len(future.explain().waits_for) == 9
    assert str(future.explain()).endswith("and 4 more")


def test_a_running_task_and_a_queued_one_name_their_executor(
    one_thread: DataFlowKernel, released: threading.Event
) -> None:
    running = waiting(released)
    wait_until(running.running, 30)
    queued = same(1)
    wait_until(lambda: queued.task_status() == "launched", 30)

    said, later = running.explain(), queued.explain()

    assert (said.executor, said.attempts, said.state) == ("threads", 1, "launched")
    assert said.queue == "running; the executor holds 2 attempts and runs up to 1 at a time"
    assert str(later.queue).startswith("queued")
    assert "attempt 1 is with executor 'threads', running" in str(said)
    assert said.seconds_in_state >= 0


def test_a_joining_task_names_what_it_joins(kernel: DataFlowKernel, released: threading.Event) -> None:
    @join_app
    def joining() -> list[AppFuture[str]]:
        return [waiting(released), same("done")]  # type: ignore[list-item]  # of different types

    future = joining()
    wait_until(lambda: len(future.explain().waits_for) == 1, 30)

    said = future.explain()

    assert said.state == "joining"
    assert said.waits_for == ("task 1 (waiting, launched)",)


def test_a_failed_task_tells_every_attempt() -> None:
    with fanflow.load(Config(executors=[ThreadPoolExecutor()], retries=2)):
        future = failing("broken")
        error = future.exception()

        said = future.explain()

    assert (said.state, said.attempts, said.error) == ("failed", 3, error)
    assert said.failures == ("ValueError: broken",) * 3
    assert str(said).splitlines()[1:] == [
        "attempt 1 failed: ValueError: broken",
        "attempt 2 failed: ValueError: broken",
        "attempt 3 failed: ValueError: broken",
        "cause: ValueError: broken",
    ]


def test_a_task_that_did_not_run_names_the_path_to_the_cause(kernel: DataFlowKernel) -> None:
    future = same(same(failing("broken")))
    error = future.exception()

    said = future.explain()

    assert isinstance(error, DependencyError)
    assert str(error) == "Dependency failure for task 2. The representative cause is via task 1 <- task 0"
    assert (said.state, said.attempts, said.path) == ("dep_fail", 0, ("task 1", "task 0"))
    assert str(said).splitlines()[1:] == [
        "the cause came through task 1 <- task 0",
        "cause: ValueError: broken",
    ]


def test_a_join_that_failed_names_the_path_too(kernel: DataFlowKernel) -> None:
    @join_app
    def joining() -> AppFuture[None]:
        return failing("broken")

    future = joining()

    assert isinstance(future.exception(), JoinError)
    assert future.explain().path == ("task 1",)
    assert str(future.explain()).endswith("cause: ValueError: broken")


def test_an_ended_task_says_so(kernel: DataFlowKernel) -> None:
    future = same(1)
    future.result()

    said = future.explain()

    assert (said.state, said.waits_for, said.failures, said.error, said.path) == (
        "exec_done",
        (),
        (),
        None,
        (),
    )
    assert "is exec_done" in str(said)


def test_a_cancelled_task_says_so(one_thread: DataFlowKernel, released: threading.Event) -> None:
    waiting(released)
    queued = same(1)
    queued.cancel()
    wait_until(lambda: queued.task.is_final, 30)

    assert "cancelled" in repr(queued)
    assert "CancelledError" in str(queued.explain())
