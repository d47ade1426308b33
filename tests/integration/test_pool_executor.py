import asyncio
import concurrent.futures
import itertools
import threading
import weakref
from collections.abc import Iterator

import pytest

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, PoolExecutor, ThreadPoolExecutor, python_app
from fanflow.apps.app import PythonApp
from fanflow.errors import DependencyError, OptionTypeError
from tests.leaks import wait_until


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with DataFlowKernel(Config(executors=[ThreadPoolExecutor(max_threads=2)])) as kernel:
        yield kernel


@pytest.fixture
def pool(kernel: DataFlowKernel) -> Iterator[PoolExecutor]:
    with PoolExecutor(dfk=kernel) as pool:
        yield pool


def doubled(number: int) -> int:
    return 2 * number


def waiting(released: threading.Event) -> str:
    released.wait(30)
    return "waited"


def own_config() -> Config:
    return Config(executors=[ThreadPoolExecutor("own", max_threads=1)])


# -- making one -----------------------------------------------------------------------------------


def test_it_takes_exactly_one_of_a_configuration_and_a_kernel(kernel: DataFlowKernel) -> None:
    with pytest.raises(ValueError, match="exactly one of config= and dfk="):
        PoolExecutor()
    with pytest.raises(ValueError, match="exactly one of config= and dfk="):
        PoolExecutor(own_config(), kernel)


def test_it_is_an_executor_of_the_standard_library(kernel: DataFlowKernel) -> None:
    assert isinstance(PoolExecutor(dfk=kernel), concurrent.futures.Executor)


def test_labels_are_checked_when_it_is_made(kernel: DataFlowKernel) -> None:
    with pytest.raises(OptionTypeError, match=r"did you mean executors=\['threads'\]\?"):
        PoolExecutor(dfk=kernel, executors="threads")  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(ValueError, match=r"PoolExecutor requested invalid executor 'gpu'.* has 'threads'"):
        PoolExecutor(dfk=kernel, executors=["gpu"])
    with pytest.raises(ValueError, match="has 'own'"):
        PoolExecutor(own_config(), executors=["gpu"])  # what it had started is ended again

    assert PoolExecutor(dfk=kernel, executors=["threads"]).submit(doubled, 1).result() == 2


def test_its_own_kernel_ends_with_it_and_is_not_the_loaded_one() -> None:
    with PoolExecutor(own_config()) as pool:
        future = pool.submit(threading.current_thread)
        assert future.result().name.startswith("ThreadPoolExecutor-own")
        with pytest.raises(fanflow.errors.NoDataFlowKernelError):
            fanflow.dfk()

    assert future.kernel.is_closed


def test_a_kernel_that_was_there_goes_on(kernel: DataFlowKernel) -> None:
    with PoolExecutor(dfk=kernel) as pool:
        assert pool.submit(doubled, 1).result() == 2

    assert not kernel.cleanup_called
    assert python_app(doubled, data_flow_kernel=kernel)(2).result() == 4


# -- submit ---------------------------------------------------------------------------------------


def test_a_call_gives_a_future_of_its_result(pool: PoolExecutor) -> None:
    future = pool.submit(doubled, number=4)

    assert isinstance(future, AppFuture)
    assert future.result() == 8


def test_futures_among_the_arguments_are_dependencies(pool: PoolExecutor) -> None:
    def fail() -> int:
        raise ValueError("broken")

    assert pool.submit(sum, [pool.submit(doubled, 1), pool.submit(doubled, 2)]).result() == 6
    with pytest.raises(DependencyError):
        pool.submit(doubled, pool.submit(fail)).result()  # type: ignore[arg-type]  # a future


def test_keywords_belong_to_the_function_whatever_their_names(pool: PoolExecutor) -> None:
    def echo(**kwargs: object) -> dict[str, object]:
        return kwargs

    given = {"self": 1, "fn": 2, "walltime": "long", "inputs": 3, "stdout": 4, "label": 5}

    assert pool.submit(echo, **given).result() == given


def test_a_wrong_call_fails_in_the_future_as_in_any_pool(pool: PoolExecutor) -> None:
    future = pool.submit(doubled, 1, 2)  # type: ignore[call-arg]  # that is the mistake

    assert isinstance(future.exception(), TypeError)


@pytest.mark.parametrize("wrong", [3, "text", python_app(doubled)], ids=lambda wrong: type(wrong).__name__)
def test_what_is_no_plain_function_is_refused(pool: PoolExecutor, wrong: object) -> None:
    with pytest.raises(OptionTypeError, match="fn takes a plain function; an app is called itself"):
        pool.submit(wrong, 1)  # type: ignore[arg-type]  # that is the mistake


def test_unhashable_functions_are_called_too(pool: PoolExecutor) -> None:
    class Adder:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, number: int) -> int:
            return number + 1

    assert pool.submit(Adder(), 1).result() == 2
    assert pool.get_app(Adder())(1).result() == 2


def test_functions_are_counted_once(pool: PoolExecutor) -> None:
    kept = [pool.submit(doubled, number) for number in range(3)]  # a function nobody holds is forgotten
    kept.append(pool.submit(abs, -1))
    app = pool.get_app(doubled)

    assert pool.app_count == 2
    assert [future.result() for future in kept] == [0, 2, 4, 1]
    assert pool.get_app(doubled) is app
    assert isinstance(app, PythonApp)
    assert app(3).result() == 6


def test_an_event_loop_can_use_it(pool: PoolExecutor) -> None:
    async def caller() -> int:
        return await asyncio.get_running_loop().run_in_executor(pool, doubled, 3)

    assert asyncio.run(caller()) == 6


# -- map ------------------------------------------------------------------------------------------


def test_map_gives_results_in_order(pool: PoolExecutor) -> None:
    assert list(pool.map(pow, [2, 3, 4], [2, 2, 2], chunksize=2)) == [4, 9, 16]
    assert list(pool.map(doubled, [])) == []


def test_map_submits_at_once_and_stops_at_a_failure(pool: PoolExecutor) -> None:
    called: list[int] = []

    def divided(number: int) -> float:
        called.append(number)
        return 6 / number

    results = pool.map(divided, [1, 0, 2])

    assert next(results) == 6
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("buffersize", [None, 1])
def test_map_has_a_time_limit(pool: PoolExecutor, released: threading.Event, buffersize: int | None) -> None:
    results = pool.map(waiting, [released], timeout=0.01, buffersize=buffersize)

    with pytest.raises(TimeoutError):
        next(results)


def test_a_buffer_bounds_what_is_submitted_ahead(pool: PoolExecutor) -> None:
    numbers = itertools.count()

    results = pool.map(doubled, numbers, buffersize=4)
    assert next(numbers) == 4  # submitted before anybody asks

    assert [next(results) for _ in range(4)] == [0, 2, 4, 6]
    assert next(numbers) == 9
    assert [next(results) for _ in range(3)] == [10, 12, 14]


def test_a_buffer_may_be_larger_than_what_there_is(pool: PoolExecutor) -> None:
    assert list(pool.map(doubled, range(3), buffersize=100)) == [0, 2, 4]
    assert list(pool.map(doubled, range(10), buffersize=1)) == [2 * number for number in range(10)]


@pytest.mark.parametrize(
    ("buffersize", "error"),
    [(0, ValueError), (-1, ValueError), ("2", TypeError), (2.0, TypeError), (True, TypeError)],
)
def test_a_buffer_has_a_size(pool: PoolExecutor, buffersize: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="buffersize"):
        pool.map(doubled, [1], buffersize=buffersize)


@pytest.mark.parametrize("buffersize", [None, 2])
def test_map_keeps_no_result_that_has_been_taken(pool: PoolExecutor, buffersize: int | None) -> None:
    class Result:
        pass

    def made(_: int) -> Result:
        return Result()

    for result in pool.map(made, range(6), buffersize=buffersize):
        watched = weakref.ref(result)
        del result
        wait_until(lambda: watched() is None, 5)  # noqa: B023 - called before the next round
        assert watched() is None


def test_leaving_a_map_cancels_what_has_not_started(
    kernel: DataFlowKernel, released: threading.Event
) -> None:
    def failing(number: int) -> int:
        if number:
            waiting(released)
            return number
        raise LookupError("first")

    with PoolExecutor(dfk=kernel) as pool:
        with pytest.raises(LookupError):
            list(pool.map(failing, range(50), buffersize=20))
        released.set()

    kernel.wait_for_current_tasks()
    assert kernel.task_state_counts[fanflow.model.states.States.exec_done] < 20


# -- shutdown -------------------------------------------------------------------------------------


def test_shutdown_waits_for_open_calls_and_takes_no_more(kernel: DataFlowKernel) -> None:
    pool = PoolExecutor(dfk=kernel)
    futures = [pool.submit(doubled, number) for number in range(100)]

    pool.shutdown()

    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(doubled, 1)
    pool.shutdown()


def test_shutdown_can_cancel_what_has_not_started(released: threading.Event) -> None:
    pool = PoolExecutor(own_config())
    begun = threading.Event()

    def begin() -> str:
        begun.set()
        return waiting(released)

    running = pool.submit(begin)
    assert begun.wait(30)
    queued = [pool.submit(doubled, number) for number in range(5)]

    pool.shutdown(wait=False, cancel_futures=True)

    assert all(future.cancelled() for future in queued)
    assert not running.done()
    released.set()
    assert running.result() == "waited"
    pool.shutdown()


@pytest.mark.parametrize("owns", [True, False])
def test_shutdown_need_not_wait(kernel: DataFlowKernel, released: threading.Event, owns: bool) -> None:
    pool = PoolExecutor(own_config()) if owns else PoolExecutor(dfk=kernel)
    futures = [pool.submit(waiting, released) for _ in range(3)]

    pool.shutdown(wait=False)

    assert not any(future.done() for future in futures)
    released.set()
    assert [future.result(timeout=30) for future in futures] == ["waited"] * 3
    pool.shutdown()


def test_calls_of_others_on_the_same_kernel_are_left_alone(
    kernel: DataFlowKernel, released: threading.Event
) -> None:
    other = python_app(waiting, data_flow_kernel=kernel)(released)

    with PoolExecutor(dfk=kernel) as pool:
        assert pool.submit(doubled, 1).result() == 2

    assert not other.done()
    released.set()
    assert other.result() == "waited"
