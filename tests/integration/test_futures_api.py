import asyncio
import concurrent.futures
import copy
import threading

import pytest

import fanflow
from fanflow import AppFuture, DataFlowKernel, join_app
from fanflow.codec.pickling import find_unpicklable
from fanflow.errors import DependencyError, WaitInCallbackError
from tests.integration.kernels import failing, same, waiting
from tests.leaks import wait_until


class Box:
    """Of a type that nobody looks into."""

    def __init__(self, inside: object) -> None:
        self.inside = inside


# -- a future of the standard library -------------------------------------------------------------


def test_it_is_a_future_of_the_standard_library(kernel: DataFlowKernel) -> None:
    future = same(3)

    assert isinstance(future, concurrent.futures.Future)
    assert future.result(timeout=30) == 3
    assert future.exception() is None
    assert (future.done(), future.running(), future.cancelled()) == (True, False, False)


def test_waiting_has_a_limit(kernel: DataFlowKernel, released: threading.Event) -> None:
    future = waiting(released)

    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    assert not future.done()


def test_the_standard_functions_take_it(kernel: DataFlowKernel, released: threading.Event) -> None:
    open_one, others = waiting(released), [same(number) for number in range(3)]

    done, not_done = concurrent.futures.wait([open_one, *others[:1]], return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({others[0]}, {open_one})
    order = concurrent.futures.as_completed([open_one, *others])  # type: ignore[type-var]  # typeshed wants fields
    assert [next(order) in others for _ in others] == [True, True, True]
    released.set()

    assert next(order) is open_one


def test_callbacks_are_called_once_with_the_future(kernel: DataFlowKernel, released: threading.Event) -> None:
    seen: list[object] = []
    called = threading.Event()
    future = waiting(released)
    future.add_done_callback(seen.append)
    future.add_done_callback(lambda _: called.set())

    released.set()
    assert called.wait(30)
    future.add_done_callback(seen.append)

    assert seen == [future, future]


def test_a_callback_that_waits_is_told_so(kernel: DataFlowKernel, released: threading.Event) -> None:
    errors: list[BaseException | None] = []
    called = threading.Event()
    never = waiting(released)
    gathered = fanflow.gather(never)

    def wait(_: object) -> None:
        for wait in (never.result, never.exception, gathered.result, lambda: fanflow.wait([never])):
            try:
                wait()
            except WaitInCallbackError as error:
                errors.append(error)
        called.set()

    held = threading.Event()
    trigger = waiting(held)
    trigger.add_done_callback(wait)
    held.set()

    assert called.wait(30)
    assert len(errors) == 4
    assert "waiting" in str(errors[0])


def test_it_is_awaited_on_any_loop(kernel: DataFlowKernel) -> None:
    future, failed = same(3), failing("broken")

    async def await_both() -> object:
        with pytest.raises(ValueError, match="broken"):
            await failed
        return await future

    assert asyncio.run(await_both()) == 3
    assert asyncio.run(await_both()) == 3


def test_a_cancelled_await_leaves_the_task_alone(kernel: DataFlowKernel, released: threading.Event) -> None:
    future = waiting(released)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)

    asyncio.run(give_up())
    assert not future.cancelled()
    released.set()

    assert future.result() == "waited"


def test_a_queued_task_can_be_cancelled_and_a_running_one_cannot(
    one_thread: DataFlowKernel, released: threading.Event
) -> None:
    running = waiting(released)
    wait_until(running.running, 30)
    queued = same(1)

    assert (running.cancel(), queued.cancel()) == (False, True)
    assert (running.running(), queued.cancelled()) == (True, True)
    with pytest.raises(concurrent.futures.CancelledError):
        queued.result()
    released.set()
    assert running.result() == "waited"


# -- what existing programs know -----------------------------------------------------------------


def test_it_knows_its_task(kernel: DataFlowKernel) -> None:
    first, second = same(1), same(2)
    second.result()

    assert (first.tid, second.tid) == (0, 1)
    assert second.task_status() == "exec_done"
    assert second.task_record["func_name"] == "same"
    assert second.task_record["id"] == 1
    assert (second.stdout, second.stderr, second.outputs) == (None, None, [])


def test_the_status_names_where_the_task_is(one_thread: DataFlowKernel, released: threading.Event) -> None:
    @join_app
    def joining() -> AppFuture[str]:
        return blocker

    blocker = waiting(released)
    dependent, joined = same(blocker), joining()
    wait_until(lambda: joined.task_status() == "joining", 30)

    assert (blocker.task_status(), dependent.task_status()) == ("launched", "pending")
    released.set()
    assert (joined.result(), dependent.result()) == ("waited", "waited")
    bad = failing("x")
    after = same(bad)
    with pytest.raises(DependencyError):
        after.result()
    assert [future.task_status() for future in (dependent, joined, bad, after)] == [
        "exec_done",
        "exec_done",
        "failed",
        "dep_fail",
    ]


def test_the_text_shows_task_app_and_state(kernel: DataFlowKernel, released: threading.Event) -> None:
    future = waiting(released)
    assert repr(future).startswith("<AppFuture of task 0 (waiting) ")

    released.set()
    future.result()

    assert repr(future) == "<AppFuture of task 0 (waiting) exec_done>"


def test_a_future_cannot_be_copied_into_a_second_one(kernel: DataFlowKernel) -> None:
    future = same(3)
    future.result()

    with pytest.raises(TypeError, match="a future stays in its process"):
        copy.deepcopy(future)


def test_a_future_in_an_argument_of_an_unknown_type_is_named_when_it_cannot_be_sent(
    kernel: DataFlowKernel,
) -> None:
    path, reason = find_unpicklable(Box(same(3)), "args[0]")

    assert path == "args[0].inside"
    assert reason.startswith("TypeError: a future stays in its process; fanflow waits for those that are arg")


def test_asyncio_wait_is_refused_instead_of_hanging(
    kernel: DataFlowKernel, released: threading.Event
) -> None:
    future = waiting(released)

    async def main() -> None:
        with pytest.raises(TypeError, match=r"asyncio\.wrap_future"):
            await asyncio.wait([future])  # type: ignore[type-var]
        released.set()
        done, _ = await asyncio.wait([asyncio.wrap_future(future)])
        assert [one.result() for one in done] == ["waited"]

    asyncio.run(main())
