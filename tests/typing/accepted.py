"""Programs that both checkers must accept, with the types that they must see."""

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import assert_type, reveal_type

import fanflow
from fanflow import (
    AUTO_LOGNAME,
    App,
    AppFuture,
    Config,
    DataFlowKernel,
    File,
    PoolExecutor,
    ThreadPoolExecutor,
    bash_app,
    join_app,
    python_app,
)
from fanflow.apps.gathering import GatheredFuture, Partial


@python_app
def area(width: float, height: float = 1.0, *, unit: str = "m") -> float:
    return width * height


@python_app()
def empty_options(text: str) -> list[str]:
    return text.split()


@python_app(executors=["threads"], cache=True, ignore_for_cache=["seed"])
def with_options(size: int, seed: int) -> dict[str, int]:
    return {"size": size, "seed": seed}


@python_app
async def fetched(url: str) -> bytes:
    await asyncio.sleep(0)
    return url.encode()


@python_app(executors="all")
async def fetched_with_options(url: str) -> bytes:
    return url.encode()


@bash_app
def line(text: str, stdout: object = None) -> str:
    return f"echo {text}"


@bash_app(cache=True)
def vector(text: str) -> list[str]:
    return ["echo", text]


@join_app
def one_inside(width: float) -> AppFuture[float]:
    return area(width)


@join_app
def many_inside(count: int) -> list[AppFuture[float]]:
    return [area(float(index)) for index in range(count)]


@join_app(cache=False)
def many_with_options(count: int) -> list[AppFuture[float]]:
    return [area(float(index)) for index in range(count)]


def plain(number: int) -> str:
    return str(number)


class Model:
    """Apps may be attributes."""

    fit = staticmethod(python_app(plain))


def parameters_are_kept_for_the_editor() -> None:
    reveal_type(area)  # R: width height unit -> float
    reveal_type(with_options)  # R: size seed -> dict[str, int]
    reveal_type(many_inside)  # R: count -> list[float]
    reveal_type(fetched)  # R: url -> bytes
    reveal_type(line)  # R: text stdout -> int


def results_have_the_type_of_the_function() -> None:
    assert_type(area(1.0), AppFuture[float])
    assert_type(area(1.0, unit="ft").result(), float)
    assert_type(empty_options("a b").result(timeout=1), list[str])
    assert_type(with_options(1, seed=2).result(), dict[str, int])
    assert_type(python_app(plain)(1).result(), str)
    assert_type(python_app(plain, cache=True)(1), AppFuture[str])
    assert_type(Model.fit(1).result(), str)


def coroutines_are_awaited_by_the_task() -> None:
    assert_type(fetched("x"), AppFuture[bytes])
    assert_type(fetched_with_options("x").result(), bytes)


def commands_give_their_exit_status() -> None:
    assert_type(line("x"), AppFuture[int])
    assert_type(vector("x").result(), int)


def joins_give_what_they_join() -> None:
    assert_type(one_inside(1.0), AppFuture[float])
    assert_type(many_inside(3), AppFuture[list[float]])
    assert_type(many_with_options(3).result()[0], float)


def futures_stand_for_values() -> None:
    width = area(1.0)
    assert_type(area(width), AppFuture[float])
    assert_type(area(width, height=area(2.0), unit="ft").result(), float)
    assert_type(many_inside(with_options(1, 2)["size"]), AppFuture[list[float]])


def special_keywords_go_with_every_call() -> None:
    made = line("x", stdout=AUTO_LOGNAME, outputs=[File("x.txt")], walltime=3, label="first")
    assert_type(made, AppFuture[int])
    assert_type(made.outputs[0].result(), File)
    assert_type(area(1.0, inputs=[made.outputs[0]]), AppFuture[float])
    number: int = made.tid
    assert number >= 0
    assert_type(made.task_status(), str)
    assert_type(made["key"], AppFuture[object])


async def futures_are_awaited() -> None:
    assert_type(await area(1.0), float)
    assert_type(await fanflow.gather([area(1.0)]), list[float])
    async for future in fanflow.as_completed([area(1.0)]):
        assert_type(future.result(), float)
    assert_type(await asyncio.wrap_future(area(1.0)), float)


def many_at_once() -> None:
    areas = [area(1.0), area(2.0)]
    assert_type(fanflow.map(area, [1.0, 2.0]), list[AppFuture[float]])
    assert_type(fanflow.map(plain, range(3)), list[AppFuture[str]])
    assert_type(fanflow.gather(areas), GatheredFuture[list[float]])
    assert_type(fanflow.gather(*areas).result(), list[float])
    assert_type(fanflow.gather(areas, return_partial=True), GatheredFuture[Partial[float]])
    assert_type(fanflow.gather(*areas, return_partial=True).result().results, list[float | None])
    for future in fanflow.as_completed((area(1.0) for _ in range(3)), timeout=1.0, limit=2):
        assert_type(future.result(), float)
    waited = fanflow.wait(areas, timeout=1.0, return_when=concurrent.futures.FIRST_COMPLETED)
    assert_type([future.result() for future in waited.done | waited.not_done], list[float])
    done, _ = fanflow.wait(areas)
    assert_type([future.result() for future in done], list[float])
    assert_type(area(fanflow.gather(areas)), AppFuture[float])


def futures_are_those_of_the_standard_library() -> None:
    standard: concurrent.futures.Future[float] = area(1.0)
    assert_type(standard.result(), float)
    assert_type(concurrent.futures.wait([area(1.0)]).done.pop().result(), float)


def pools_are_those_of_the_standard_library() -> None:
    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=2)])) as kernel:
        assert_type(kernel, DataFlowKernel)
        pool: concurrent.futures.Executor = PoolExecutor(dfk=kernel)
        pool.shutdown()
        own = PoolExecutor(dfk=kernel, executors=["threads"])
        assert_type(own.submit(plain, 1), AppFuture[str])
        assert_type(own.map(plain, range(3)), Iterator[str])
        assert_type(own.get_app(plain)(1).result(), str)


def apps_are_passed_on(app: App[[float], float]) -> AppFuture[float]:
    return app(1.0)
