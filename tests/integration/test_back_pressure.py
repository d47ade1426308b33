"""`max_pending`: submission waits while too many tasks are open."""

import asyncio
import threading
from concurrent.futures import Future

import fanflow
from fanflow import join_app, python_app
from fanflow.errors import NoDataFlowKernelError
from tests.integration.kernels import PATIENCE_S, Door, give, loaded


def test_a_long_generator_of_calls_runs_with_few_tasks_open() -> None:
    most = 0
    with loaded(max_pending=50) as kernel:
        done = 0
        for future in fanflow.as_completed((give(number) for number in range(3000)), limit=200):
            done += 1
            most = max(most, len(kernel.kernel.core.tasks))
            future.result()

    assert done == 3000
    assert most <= 50


def test_a_caller_waits_until_a_task_has_ended() -> None:
    with loaded(threads=1, max_pending=2) as kernel, Door() as door:
        futures = [python_app(door.pass_through)(1), give(2)]
        submitted = threading.Event()

        def submit() -> None:
            futures.append(give(3))
            submitted.set()

        caller = threading.Thread(target=submit)
        caller.start()
        door.wait_for(1)
        assert not submitted.wait(0.05)
        assert kernel.task_count == 2

        door.open()
        assert submitted.wait(PATIENCE_S)
        assert [future.result(PATIENCE_S) for future in futures] == [1, 2, 3]
        caller.join(PATIENCE_S)


def test_many_callers_get_through_one_after_the_other() -> None:
    with loaded(max_pending=3) as kernel:

        def submit() -> None:
            for number in range(100):
                give(number)

        callers = [threading.Thread(target=submit) for _ in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE_S)
            assert not caller.is_alive()
        kernel.wait_for_current_tasks()

        assert kernel.task_count == 600


def test_failures_and_cancellations_make_room_too() -> None:
    def fail() -> None:
        raise ValueError("boom")

    with loaded(max_pending=2) as kernel:
        for _ in range(20):
            waiting = give(Future())
            after = give(waiting)
            waiting.cancel()
            python_app(fail)()
            assert after.exception(PATIENCE_S)
        kernel.wait_for_current_tasks()

        assert kernel.task_count == 60


def test_a_join_body_a_callback_and_an_asyncio_loop_do_not_wait() -> None:
    with loaded(max_pending=1):

        @join_app
        def spread() -> "list[Future[object]]":
            return [give(number) for number in range(20)]

        assert spread().result(PATIENCE_S) == list(range(20))

        told: Future[list[Future[object]]] = Future()
        with Door() as door:
            task = python_app(door.pass_through)()
            task.add_done_callback(lambda _: told.set_result([give(number) for number in range(20)]))
        assert [future.result(PATIENCE_S) for future in told.result(PATIENCE_S)] == list(range(20))

        async def call() -> list[object]:
            return list(await asyncio.gather(*[give(number) for number in range(20)]))

        assert asyncio.run(call()) == list(range(20))


def test_a_caller_that_waits_is_refused_when_the_kernel_ends() -> None:
    with loaded(threads=1, max_pending=1) as kernel, Door() as door:
        python_app(door.pass_through)(1)
        door.wait_for(1)
        ends: list[object] = []

        def submit() -> None:
            try:
                ends.append(give(2).exception(PATIENCE_S))
            except NoDataFlowKernelError as error:
                ends.append(error)

        caller = threading.Thread(target=submit)
        caller.start()
        cleaning = threading.Thread(target=kernel.cleanup)
        cleaning.start()
        caller.join(PATIENCE_S)
        door.open()
        cleaning.join(PATIENCE_S)

    assert isinstance(ends[0], NoDataFlowKernelError)
