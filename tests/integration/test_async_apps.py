import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fanflow import AppFuture, DataFlowKernel, PoolExecutor, join_app, python_app
from fanflow.errors import AppTimeout, DependencyError

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


@python_app
async def added(first: int, second: int = 1) -> int:
    await asyncio.sleep(0)
    return first + second


def test_a_coroutine_is_run_to_its_end(kernel: DataFlowKernel) -> None:
    assert added(1).result() == 2
    assert added(added(1), second=added(2)).result() == 5


def test_a_wrong_call_raises_in_the_caller(kernel: DataFlowKernel) -> None:
    with pytest.raises(TypeError, match=r"added\(\) missing a required argument: 'first'"):
        added()


def test_every_attempt_has_a_loop_of_its_own_that_is_closed(kernel: DataFlowKernel) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    @python_app
    async def own() -> bool:
        loops.append(asyncio.get_running_loop())
        return asyncio.get_running_loop().is_running()

    assert all(own().result() for _ in range(5))

    assert len(set(map(id, loops))) == 5
    assert all(loop.is_closed() for loop in loops)


def test_coroutines_inside_run_at_the_same_time(one_thread: DataFlowKernel) -> None:
    @python_app
    async def together() -> list[int]:
        barrier = asyncio.Barrier(3)

        async def one(number: int) -> int:
            await barrier.wait()
            return number

        return list(await asyncio.gather(*(one(number) for number in range(3))))

    assert together().result() == [0, 1, 2]


def test_context_variables_set_by_one_task_are_not_seen_by_the_next(one_thread: DataFlowKernel) -> None:
    @python_app
    async def paint(colour: str) -> str:
        before = COLOUR.get()
        COLOUR.set(colour)
        await asyncio.sleep(0)
        return f"{before} -> {COLOUR.get()}"

    assert [paint(colour).result() for colour in ("red", "blue")] == ["none -> red", "none -> blue"]


def test_an_exception_is_the_result(kernel: DataFlowKernel) -> None:
    error = LookupError("nothing there")

    @python_app
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    assert fail().exception() is error
    with pytest.raises(DependencyError):
        added(fail()).result()  # type: ignore[arg-type]  # a future


def test_tasks_that_a_coroutine_leaves_behind_are_cancelled(kernel: DataFlowKernel) -> None:
    ended = threading.Event()

    @python_app
    async def leaving() -> str:
        async def forgotten() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.create_task(forgotten())
        await asyncio.sleep(0)
        return task.get_name()

    assert leaving().result()
    assert ended.is_set()


def test_a_coroutine_that_waits_ends_with_its_walltime_and_cleans_up(one_thread: DataFlowKernel) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            steps.append("released")

    @python_app
    async def stuck() -> None:
        async with resource():
            await asyncio.Event().wait()

    began = time.monotonic()
    future = stuck(walltime=0.1)

    with pytest.raises(AppTimeout, match=r"^App stuck exceeded walltime: 0\.1 seconds$"):
        future.result()
    assert time.monotonic() - began < 0.6
    assert steps == ["released"]
    assert added(1).result() == 2


def test_a_coroutine_that_never_waits_ends_soon_after_its_walltime(one_thread: DataFlowKernel) -> None:
    @python_app
    async def spinning() -> None:
        while True:
            pass

    began = time.monotonic()

    with pytest.raises(AppTimeout, match="spinning"):
        spinning(walltime=0.1).result()
    assert time.monotonic() - began < 2.1
    assert added(1).result() == 2


def test_a_timeout_of_the_coroutines_own_is_its_own_failure(kernel: DataFlowKernel) -> None:
    @python_app
    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    error = impatient(walltime=30).exception()

    assert type(error) is TimeoutError


def test_special_keywords_reach_a_coroutine_that_takes_them(kernel: DataFlowKernel) -> None:
    @python_app
    async def named(walltime: float, **more: object) -> tuple[float, list[str]]:
        return walltime, sorted(more)

    assert named(walltime=30, stdout="o", label="x").result() == (30, ["label", "stdout"])


def test_a_join_app_may_be_a_coroutine(kernel: DataFlowKernel) -> None:
    @join_app
    async def both(number: int) -> list[AppFuture[int]]:
        first = added(number)
        await first
        return [first, added(first)]

    assert both(1).result() == [2, 3]


def test_an_object_whose_call_is_a_coroutine_is_run(kernel: DataFlowKernel) -> None:
    class Adder:
        async def __call__(self, number: int) -> int:
            return number + 1

    assert python_app(Adder())(1).result() == 2


def test_a_pool_runs_coroutines_too(kernel: DataFlowKernel) -> None:
    with PoolExecutor(dfk=kernel) as pool:
        assert pool.submit(added.func, 1).result() == 2


def test_results_are_awaited_where_the_caller_has_a_loop(kernel: DataFlowKernel) -> None:
    async def caller() -> list[int]:
        one = await added(1)
        two, three = await asyncio.gather(added(one), asyncio.wrap_future(added(2)))
        return [one, two, three]

    assert asyncio.run(caller()) == [2, 3, 3]
