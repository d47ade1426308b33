"""What the rows of the pilot engine run on: a kernel with one local manager and two workers."""

import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import fanflow
from benchmarks.clocks import TreeClock
from fanflow import AppFuture, Config, HighThroughputExecutor, python_app

WORKERS = 2
RETRIES = 2
MICRO = 1e6
WARM_TASKS = 2_000


@python_app(executors=["unix"])
def noop() -> None:
    pass


@python_app(executors=["tcp"])
def noop_over_tcp() -> None:
    pass


Noop = Callable[[], AppFuture[None]]


def unix_sockets() -> HighThroughputExecutor:
    """As users have it on this machine."""
    return HighThroughputExecutor("unix", max_workers_per_node=WORKERS)


def encrypted_tcp() -> HighThroughputExecutor:
    """As it is for managers on other hosts, but with one on this host: a port that is asked for is used."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return HighThroughputExecutor("tcp", max_workers_per_node=WORKERS, worker_port=port)


def config() -> Config:
    """The default configuration, and retries."""
    return Config(executors=[unix_sockets()], retries=RETRIES)


@contextmanager
def engine_loaded() -> Generator[None]:
    """A kernel on the engine, whose workers know the no-op task and how short it is."""
    with fanflow.load(config()):
        warm_up(noop)
        yield
    fanflow.clear()


@contextmanager
def both_loaded() -> Generator[None]:
    """A kernel on two engines, one over Unix sockets and one over encrypted TCP."""
    with fanflow.load(Config(executors=[unix_sockets(), encrypted_tcp()], retries=RETRIES)):
        warm_up(noop)
        warm_up(noop_over_tcp)
        yield
    fanflow.clear()


def warm_up(task: Noop) -> None:
    for _ in range(3):
        run_one_by_one(WARM_TASKS, task)


def run_one_by_one(count: int, task: Noop = noop) -> None:
    """From the first call until every future is resolved; each call is one task."""
    futures = [task() for _ in range(count)]
    for future in futures:
        future.result()


class Cost:
    """What one run of many tasks took."""

    def __init__(self, count: int, clock: TreeClock, task: Noop = noop) -> None:
        own, others, wall = clock.own(), clock.others(), time.perf_counter()
        run_one_by_one(count, task)
        self.rate = count / (time.perf_counter() - wall)
        self.client_us = (clock.own() - own) / count * MICRO
        self.others_us = (clock.others() - others) / count * MICRO
        """Of interchange, manager, workers and the zygote together."""
