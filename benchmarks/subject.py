"""What is measured: a loaded kernel on the threads executor, and the smallest apps there are."""

import concurrent.futures
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import fanflow
from fanflow import Config, ThreadPoolExecutor, python_app

THREADS = 2


@contextmanager
def loaded(*, max_pending: int | None = None) -> Generator[None, None, None]:
    """A kernel as users have it: default logging, two worker threads."""
    executors = [ThreadPoolExecutor(max_threads=THREADS)]
    config = (
        Config(executors=executors)
        if max_pending is None
        else Config(executors=executors, max_pending=max_pending)
    )
    with fanflow.load(config):
        yield
    fanflow.clear()


@python_app
def noop() -> None:
    pass


@python_app
def step(previous: int) -> int:
    return previous + 1


@python_app
def take(value: object) -> None:
    pass


@python_app
def count_inputs(inputs: list[int]) -> int:
    return len(inputs)


@python_app
def count_arguments(*values: int) -> int:
    return len(values)


@python_app
def fails_after(gate: object) -> int:
    raise ValueError("the root of the chain fails")


def bare_noop() -> None:
    pass


def run_kept(count: int) -> None:
    """From the first call until every future is resolved; the futures stay in a list until then."""
    futures = [noop() for _ in range(count)]
    for future in futures:
        future.result()


def repeat(times: int, work: Callable[[int], None], count: int) -> None:
    for _ in range(times):
        work(count)


def run_dropped(count: int) -> None:
    """The same with no future kept."""
    for _ in range(count):
        noop()
    fanflow.wait_for_current_tasks()


def run_bare(pool: concurrent.futures.ThreadPoolExecutor, count: int) -> None:
    """The same work on the standard library's executor."""
    futures = [pool.submit(bare_noop) for _ in range(count)]
    for future in futures:
        future.result()


def wall_seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU of all threads of this process, user and system."""
    began = time.process_time()
    work()
    return time.process_time() - began
