import asyncio
import concurrent.futures
import copy
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, File, ThreadPoolExecutor, join_app, python_app
from fanflow.config.defaults import PARSL, select_defaults
from fanflow.errors import DependencyError, JoinError, WaitInCallbackError
from tests.leaks import wait_until


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=2)])) as kernel:
        yield kernel


@pytest.fixture
def one_thread() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=1)])) as kernel:
        yield kernel


@pytest.fixture
def parsl_kernel() -> Iterator[DataFlowKernel]:
    before = select_defaults(PARSL)
    try:
        with fanflow.load(Config()) as kernel:
            yield kernel
    finally:
        select_defaults(before)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Lets tasks of `waiting` end; set at the end of the test in any case."""
    released = threading.Event()
    yield released
    released.set()


@dataclass
class Point:
    x: int
    name: str = "point"


@python_app
def same(value: object, *others: object) -> object:
    return value


@python_app
def waiting(released: threading.Event, *others: object) -> str:
    released.wait(30)
    return "waited"


@python_app
def failing(text: str) -> None:
    raise ValueError(text)


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


# -- lifting --------------------------------------------------------------------------------------


def test_an_item_of_a_result_is_a_task_of_its_own(kernel: DataFlowKernel, released: threading.Event) -> None:
    chain = same({"points": [{"x": 3}]})["points"][0]["x"]

    assert isinstance(chain, AppFuture)
    assert chain.result() == 3
    assert same(chain).result() == 3
    assert same([1, 2, 3])[1:].result() == [2, 3]


def test_a_missing_item_is_the_failure_of_that_task(kernel: DataFlowKernel) -> None:
    future = same({"a": 1})

    with pytest.raises(KeyError, match="absent"):
        future["absent"].result()
    with pytest.raises(TypeError):
        same(3)[0].result()
    with pytest.raises(DependencyError):
        failing("x")[0].result()
    assert future["a"].result() == 1


def test_the_key_may_be_a_future(kernel: DataFlowKernel) -> None:
    assert same(["a", "b"])[same(1)].result() == "b"


def test_an_attribute_is_an_error_that_says_what_to_write(kernel: DataFlowKernel) -> None:
    future = same(Point(3))

    with pytest.raises(AttributeError, match=r"no attribute 'x'.*write future\.result\(\)\.x"):
        _ = future.x
    assert not hasattr(future, "resutl")
    assert same(0).tid == future.tid + 1


def test_existing_programs_lift_attributes(parsl_kernel: DataFlowKernel) -> None:
    assert same(Point(3)).x.result() == 3
    assert same([Point(3)])[0].name.upper.result()() == "POINT"
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        same(Point(3)).absent.result()
    with pytest.raises(AttributeError, match="'_hidden'"):
        _ = same(Point(3))._hidden


def test_a_future_has_no_length_and_no_arithmetic(kernel: DataFlowKernel) -> None:
    future = same([1])

    for use in (len, lambda it: it + 1, lambda it: it < 3, lambda it: it()):
        with pytest.raises(TypeError):
            use(future)
    assert same(0).tid == future.tid + 1


def test_a_lifted_result_of_an_ended_kernel_is_a_plain_value() -> None:
    with fanflow.load(Config(executors=[ThreadPoolExecutor()])):
        future = same({"a": [1]})
        future.result()

    assert future.result() == {"a": [1]}
    assert future["a"][0].result() == 1
    assert isinstance(future["b"].exception(), KeyError)


def test_a_future_cannot_be_copied_into_a_second_one(kernel: DataFlowKernel) -> None:
    future = same(3)
    future.result()

    with pytest.raises(TypeError):
        copy.deepcopy(future)


# -- explain --------------------------------------------------------------------------------------


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


# -- the future of a file --------------------------------------------------------------------------


def test_the_future_of_a_file_works_with_the_standard_functions(kernel: DataFlowKernel) -> None:
    @python_app
    def nothing(outputs: list[File]) -> None:
        time.perf_counter()

    outputs = nothing(outputs=[File("a"), File("b")]).outputs

    done, _ = concurrent.futures.wait(outputs, timeout=30)
    assert done == set(outputs)
    assert [file.path for file in fanflow.gather(outputs).result()] == ["a", "b"]
