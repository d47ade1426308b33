"""What the rows of the pilot engine run on: a kernel with one local manager and two workers."""

import time
from collections.abc import Generator
from contextlib import contextmanager

import fanflow
from benchmarks.clocks import TreeClock
from benchmarks.subject import noop
from fanflow import Config
from tests.integration.engines import TwoWorkers

WORKERS = 2
RETRIES = 2
MICRO = 1e6
WARM_TASKS = 2_000


def config() -> Config:
    """As users have it, and with retries."""
    return Config(executors=[TwoWorkers()], retries=RETRIES)


@contextmanager
def engine_loaded() -> Generator[None]:
    """A kernel on the engine, whose workers know the no-op task and how short it is."""
    with fanflow.load(config()):
        for _ in range(3):
            run_one_by_one(WARM_TASKS)
        yield
    fanflow.clear()


def run_one_by_one(count: int) -> None:
    """From the first call until every future is resolved; each call is one task."""
    futures = [noop() for _ in range(count)]
    for future in futures:
        future.result()


class Cost:
    """What one run of many tasks took."""

    def __init__(self, count: int, clock: TreeClock) -> None:
        own, others, wall = clock.own(), clock.others(), time.perf_counter()
        run_one_by_one(count)
        self.rate = count / (time.perf_counter() - wall)
        self.client_us = (clock.own() - own) / count * MICRO
        self.others_us = (clock.others() - others) / count * MICRO
        """Of interchange, manager, workers and the zygote together."""
