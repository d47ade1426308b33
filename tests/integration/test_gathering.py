import asyncio
import concurrent.futures
import gc
import itertools
import threading
import weakref
from collections.abc import Iterator

import pytest

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, ThreadPoolExecutor, bash_app, python_app
from fanflow.apps.gathering import Partial
from fanflow.errors import DependencyError


@pytest.fixture(autouse=True)
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=2)])) as kernel:
        yield kernel


@python_app
def doubled(number: int) -> int:
    return 2 * number


@python_app
def failing(text: str) -> int:
    raise ValueError(text)


@python_app
def waiting(released: threading.Event) -> int:
    released.wait(30)
    return -1


def future_of(value: int) -> concurrent.futures.Future[int]:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.set_result(value)
    return future


# -- map ------------------------------------------------------------------------------------------


def test_map_calls_once_per_item_in_order() -> None:
    futures = fanflow.map(doubled, range(5))

    assert [future.tid for future in futures] == [0, 1, 2, 3, 4]
    assert [future.result() for future in futures] == [0, 2, 4, 6, 8]


def test_map_takes_iterables_in_step_until_the_shortest_ends() -> None:
    futures = fanflow.map(pow, [2, 3, 4], itertools.count(1))

    assert [future.result() for future in futures] == [2, 9, 64]


def test_map_takes_a_plain_function_and_any_kind_of_app() -> None:
    assert [future.result() for future in fanflow.map(str, [1, 2])] == ["1", "2"]
    assert [future.result() for future in fanflow.map(bash_app(str), ["true", "exit 0"])] == [0, 0]
    assert fanflow.map(doubled, []) == []


def test_map_without_anything_to_call_with_is_an_error() -> None:
    with pytest.raises(TypeError, match="needs at least one iterable"):
        fanflow.map(doubled)


def test_map_refuses_a_call_that_does_not_fit() -> None:
    with pytest.raises(TypeError, match=r"doubled\(\) too many positional arguments"):
        fanflow.map(doubled, [1], [2])


# -- wait -----------------------------------------------------------------------------------------


def test_wait_tells_the_done_from_the_others(released: threading.Event) -> None:
    done, not_done = doubled(1), waiting(released)
    failed = failing("x")
    concurrent.futures.wait([done, failed])

    waited = fanflow.wait([done, not_done, failed, done], timeout=0.01)

    assert waited == ({done, failed}, {not_done})
    assert (waited.done, waited.not_done) == waited
    released.set()
    assert fanflow.wait([not_done]).not_done == set()


@pytest.mark.parametrize(
    ("return_when", "others"),
    [(concurrent.futures.FIRST_COMPLETED, [doubled]), (concurrent.futures.FIRST_EXCEPTION, [failing])],
)
def test_wait_can_return_early(
    released: threading.Event, return_when: str, others: list[fanflow.App[[object], int]]
) -> None:
    open_one = waiting(released)
    futures = [app(1) for app in others]

    waited = fanflow.wait([open_one, *futures], return_when=return_when)

    assert waited.done == set(futures)


def test_wait_takes_a_generator_and_futures_from_outside() -> None:
    futures = [doubled(1), future_of(3)]

    assert fanflow.wait(iter(futures)).done == set(futures)


# -- gather ---------------------------------------------------------------------------------------


def test_gather_has_the_results_in_order() -> None:
    futures = [doubled(number) for number in range(50)]

    assert fanflow.gather(futures).result() == [2 * number for number in range(50)]
    assert fanflow.gather(*futures[:2]).result() == [0, 2]
    assert fanflow.gather(future for future in futures[:2]).result() == [0, 2]


def test_gather_of_nothing_is_done() -> None:
    assert fanflow.gather().result() == []
    assert fanflow.gather([]).result() == []
    assert fanflow.gather([], return_partial=True).result() == Partial([], {})


def test_gather_counts_a_future_as_often_as_it_is_given() -> None:
    future = doubled(1)

    assert fanflow.gather(future, future, future).result() == [2, 2, 2]


def test_gather_fails_with_the_first_failure_and_leaves_the_others_running(released: threading.Event) -> None:
    open_one = waiting(released)

    gathered = fanflow.gather(open_one, failing("first"))

    with pytest.raises(ValueError, match="first"):
        gathered.result()
    assert not open_one.done()
    released.set()
    assert open_one.result() == -1


def test_a_partial_result_has_what_succeeded_and_what_failed() -> None:
    failed = failing("one")

    partial = fanflow.gather([doubled(1), failed, doubled(3)], return_partial=True).result()

    assert partial.results == [2, None, 6]
    assert partial.failures == {1: failed.exception()}


def test_a_cancelled_future_is_a_failure() -> None:
    cancelled: concurrent.futures.Future[int] = concurrent.futures.Future()
    cancelled.cancel()

    with pytest.raises(concurrent.futures.CancelledError):
        fanflow.gather(cancelled).result()
    partial = fanflow.gather(future_of(1), cancelled, return_partial=True).result()
    assert partial.results == [1, None]
    assert isinstance(partial.failures[1], concurrent.futures.CancelledError)


def test_what_is_gathered_can_be_gathered_again_and_passed_on() -> None:
    @python_app
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    gathered = fanflow.gather(doubled(1), doubled(2))

    assert fanflow.gather(gathered, gathered).result() == [[2, 4], [2, 4]]
    assert total(gathered).result() == 6  # type: ignore[arg-type]  # a future
    with pytest.raises(DependencyError):
        total(fanflow.gather(failing("x"))).result()  # type: ignore[arg-type]  # a future


def test_cancelling_what_is_gathered_leaves_the_tasks_alone(released: threading.Event) -> None:
    future = waiting(released)
    gathered = fanflow.gather(future)

    assert gathered.cancel()
    released.set()

    assert future.result() == -1
    assert gathered.cancelled()


def test_gather_refuses_what_is_no_future() -> None:
    with pytest.raises(TypeError, match=r"gather\(3\): takes futures, or one iterable of them"):
        fanflow.gather(3)  # type: ignore[call-overload]  # that is the mistake


def test_what_is_gathered_keeps_its_results_and_nothing_else() -> None:
    class Result:
        pass

    futures = [python_app(Result)() for _ in range(3)]
    gathered = fanflow.gather(futures)
    kept = [weakref.ref(result) for result in gathered.result()]
    watched = weakref.ref(futures[0])

    del futures
    gc.collect()
    assert watched() is None
    assert all(result() is not None for result in kept)
    del gathered
    gc.collect()

    assert [result() for result in kept] == [None, None, None]


def test_gathering_many_threads_worth_of_ends_is_exact() -> None:
    futures = [concurrent.futures.Future[int]() for _ in range(400)]
    gathered = fanflow.gather(futures)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: pair[1].set_result(pair[0]), enumerate(futures)))

    assert gathered.result(timeout=30) == list(range(400))


# -- as_completed ---------------------------------------------------------------------------------


def test_futures_come_in_the_order_in_which_they_end(released: threading.Event) -> None:
    slow, fast = waiting(released), doubled(1)
    order = iter(fanflow.as_completed([slow, fast, slow]))

    assert next(order) is fast
    released.set()
    assert next(order) is slow
    assert list(order) == []


def test_an_endless_generator_is_read_as_far_as_the_limit() -> None:
    drawn: list[AppFuture[int]] = []

    def calls() -> Iterator[AppFuture[int]]:
        for number in itertools.count():
            drawn.append(doubled(number))
            yield drawn[-1]

    results = [future.result() for future in itertools.islice(fanflow.as_completed(calls(), limit=3), 20)]

    assert min(results) == 0
    assert len(set(results)) == 20
    assert len(drawn) <= 22


def test_no_more_are_open_than_the_limit(released: threading.Event) -> None:
    drawn: list[AppFuture[int]] = []

    def calls() -> Iterator[AppFuture[int]]:
        for _ in range(10):
            drawn.append(waiting(released))
            yield drawn[-1]

    order = fanflow.as_completed(calls(), timeout=0.05, limit=4)
    with pytest.raises(TimeoutError, match="4 futures are not done"):
        next(iter(order))

    assert len(drawn) == 4


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(limit: int) -> None:
    with pytest.raises(ValueError, match="limit must be at least 1"):
        fanflow.as_completed([doubled(1)], limit=limit)


def test_what_is_done_comes_even_when_the_time_is_over(released: threading.Event) -> None:
    done, open_one = future_of(1), waiting(released)

    order = iter(fanflow.as_completed([done, open_one], timeout=0))

    assert next(order) is done
    with pytest.raises(TimeoutError, match="1 futures are not done"):
        next(order)


def test_an_error_of_the_generator_is_the_callers() -> None:
    def calls() -> Iterator[AppFuture[int]]:
        yield doubled(1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(fanflow.as_completed(calls(), limit=1))


def test_ended_futures_are_not_kept() -> None:
    seen: list[weakref.ref[object]] = []

    def calls() -> Iterator[AppFuture[int]]:
        for number in range(20):
            future = doubled(number)
            seen.append(weakref.ref(future))
            yield future

    for future in fanflow.as_completed(calls(), limit=2):
        future.result()
        del future
        gc.collect()
        alive = sum(one() is not None for one in seen)
        assert alive <= 6  # those that are open, and what the kernel thread has in its hands


def test_async_for_takes_them_as_well(released: threading.Event) -> None:
    async def consume() -> list[int]:
        slow, results = waiting(released), []
        async for future in fanflow.as_completed([slow, doubled(1), doubled(2)]):
            results.append(future.result())
            if len(results) == 2:
                released.set()
        return results

    results = asyncio.run(consume())

    assert sorted(results[:2]) == [2, 4]
    assert results[2] == -1


def test_async_for_has_the_same_limits(released: threading.Event) -> None:
    drawn: list[AppFuture[int]] = []

    def calls() -> Iterator[AppFuture[int]]:
        for _ in itertools.count():
            drawn.append(waiting(released))
            yield drawn[-1]

    async def consume() -> None:
        async for _ in fanflow.as_completed(calls(), timeout=0.05, limit=3):
            pytest.fail("none can end")

    with pytest.raises(TimeoutError, match="3 futures are not done"):
        asyncio.run(consume())
    assert len(drawn) == 3


def test_async_for_gives_what_is_done_even_when_the_time_is_over() -> None:
    async def consume() -> list[int]:
        futures = [future_of(1), future_of(2)]
        return [future.result() async for future in fanflow.as_completed(futures, timeout=0)]

    assert sorted(asyncio.run(consume())) == [1, 2]


def test_the_loop_goes_on_while_async_for_waits(released: threading.Event) -> None:
    async def consume() -> int:
        async def release() -> None:
            released.set()

        task = asyncio.create_task(release())
        results = [future.result() async for future in fanflow.as_completed([waiting(released)])]
        await task
        return results[0]

    assert asyncio.run(consume()) == -1
