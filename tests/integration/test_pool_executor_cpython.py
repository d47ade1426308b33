"""The tests that CPython has for its own executors, run on ours."""

import importlib
import unittest
from collections.abc import Iterator
from types import ModuleType

import pytest

from fanflow import Config, PoolExecutor, ThreadPoolExecutor

PACKAGE = "test.test_concurrent_futures"

DO_NOT_APPLY = {
    "test_max_workers_negative": "a pool takes a configuration or a kernel, not max_workers",
    "test_interpreter_shutdown": "the script that it starts imports the executor from concurrent.futures",
    "test_submit_after_interpreter_shutdown": "as test_interpreter_shutdown",
    "test_hang_gh83386": "as test_interpreter_shutdown",
    "test_hang_gh94440": "about processes that fail while they start",
    "test_cancel_futures": "expects that some calls run already when shutdown is called at once",
    "test_map_buffersize_when_executor_is_gc": "a map goes on until its pool is shut down, dropped or not",
}
"""Tests of the mixed-in classes that cannot hold here, and why."""

SLOW = {
    "test_map_timeout",
    "test_duplicate_futures",
    "test_20369",
    "test_free_reference",
    "test_free_reference_yielded_future",
    "test_first_completed",
    "test_first_completed_some_already_completed",
    "test_first_exception",
    "test_first_exception_some_already_complete",
    "test_first_exception_one_already_failed",
    "test_timeout",
    "test_zero_timeout",
}
"""Tests that sleep for a second or more."""


def modules() -> Iterator[ModuleType]:
    """One module up to Python 3.11, a package since then."""
    for name in ("", ".executor", ".test_shutdown", ".test_wait", ".test_as_completed"):
        try:
            yield importlib.import_module(PACKAGE + name)
        except ModuleNotFoundError:
            continue


FOUND = list(modules())
if not FOUND:
    pytest.skip(f"this Python comes without {PACKAGE}", allow_module_level=True)


def mixin(name: str) -> type:
    """A class of tests that are meant for any executor."""
    found = next(vars(module)[name] for module in FOUND if name in vars(module))
    assert isinstance(found, type)
    adapted: dict[str, object] = {}
    for test in [test for test in dir(found) if test.startswith("test_")]:
        if test in DO_NOT_APPLY:
            adapted[test] = unittest.skip(DO_NOT_APPLY[test])(getattr(found, test))
        elif test in SLOW:
            adapted[test] = pytest.mark.slow(getattr(found, test))
    return type(name, (found,), adapted)


class SizedPool(PoolExecutor):
    """Made as those of the standard library are."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(Config(executors=[ThreadPoolExecutor(max_threads=max_workers)]))


class OnOurPool(unittest.TestCase):
    """What the mixed-in classes expect of a test case."""

    executor_type = SizedPool
    worker_count = 5

    def setUp(self) -> None:
        self.executor = self.executor_type(max_workers=self.worker_count)

    def tearDown(self) -> None:
        self.executor.shutdown(wait=True)


class TestExecutor(mixin("ExecutorTest"), OnOurPool):  # type: ignore[misc]  # made at run time
    pass


class TestShutdown(mixin("ExecutorShutdownTest"), OnOurPool):  # type: ignore[misc]  # made at run time
    pass


class TestWait(mixin("WaitTests"), OnOurPool):  # type: ignore[misc]  # made at run time
    pass


class TestAsCompleted(mixin("AsCompletedTests"), OnOurPool):  # type: ignore[misc]  # made at run time
    pass
