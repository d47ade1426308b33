"""The adapter around pools that pickle although they need not, and around a pool that stays its maker's."""

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from fanflow.executors.adapter import ExecutorAdapter
from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance


def two_threads() -> Executor:
    return ThreadPoolExecutor(2)


class TestThreadsThatPickle(ExecutorConformance):
    enforces_walltime = False

    def make_spec(self) -> ExecutorSpec:
        return ExecutorAdapter(two_threads, label="pickling", serialize=True)


class TestGivenThreads(ExecutorConformance):
    """A pool that stays its maker's."""

    in_process = True
    enforces_walltime = False

    @pytest.fixture(autouse=True)
    def pool(self) -> Iterator[None]:
        with ThreadPoolExecutor(2) as self.given:
            both_run = threading.Barrier(2)
            list(self.given.map(lambda _: both_run.wait(), range(2)))  # the pool's threads are no leak
            yield

    def make_spec(self) -> ExecutorSpec:
        return ExecutorAdapter(self.given, label="given")
