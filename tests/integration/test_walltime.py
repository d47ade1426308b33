"""Walltimes of Python apps in threads."""

import threading
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

import fanflow
from fanflow import Config, DataFlowKernel, ThreadPoolExecutor, python_app
from fanflow.errors import AppTimeout
from tests.integration.kernels import every, none_of_them


@pytest.mark.parametrize("walltime", [0, -1, float("nan")])
def test_a_walltime_is_more_than_nothing(kernel: DataFlowKernel, walltime: float) -> None:
    with pytest.raises(ValueError, match="walltime must be more than 0 seconds"):
        every(walltime=walltime)


def spin(walltime: float | None = None) -> None:
    while True:
        pass


def test_a_loop_ends_with_its_walltime(one_thread: DataFlowKernel) -> None:
    began = time.monotonic()

    future = python_app(spin)(walltime=0.2)

    with pytest.raises(AppTimeout, match=r"^App spin exceeded walltime: 0.2 seconds$"):
        future.result()
    assert 0.2 <= time.monotonic() - began < 0.9
    assert none_of_them(2).result() == 2


def test_a_walltime_in_the_signature_holds(one_thread: DataFlowKernel) -> None:
    @python_app
    def slow(walltime: float = 0.05) -> None:
        spin()

    with pytest.raises(AppTimeout, match=r"0\.05 seconds"):
        slow().result()


def test_a_call_that_cannot_be_interrupted_ends_its_future_and_frees_its_thread_later(
    one_thread: DataFlowKernel,
) -> None:
    released, began = threading.Lock(), time.monotonic()

    @python_app
    def blocked() -> None:
        with released:  # the interpreter is not asked again before the lock is there
            pass

    with released:
        future = blocked(walltime=0.1)
        with pytest.raises(AppTimeout, match=r"0\.1 seconds"):
            future.result()
        assert time.monotonic() - began < 2.1

    assert [none_of_them(number).result() for number in range(20)] == list(range(20))


def test_a_task_may_catch_its_timeout_and_still_end_well(one_thread: DataFlowKernel) -> None:
    @python_app
    def caught() -> str:
        try:
            spin()
        except AppTimeout:
            return "cleaned up"
        return "never"

    assert caught(walltime=0.05).result() == "cleaned up"


def test_a_timeout_is_retried_like_any_failure() -> None:
    tries: list[int] = []

    @python_app
    def slow_at_first() -> int:
        tries.append(1)
        if len(tries) == 1:
            spin()
        return len(tries)

    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=1)], retries=1)):
        assert slow_at_first(walltime=0.2).result() == 2


@pytest.mark.parametrize("walltime", [1e12, float("inf")])
def test_a_walltime_beyond_all_clocks_is_no_limit_and_harms_no_other(
    one_thread: DataFlowKernel, walltime: float
) -> None:
    assert none_of_them(1, walltime=walltime).result() == 1
    with pytest.raises(AppTimeout):
        python_app(spin)(walltime=0.05).result()


def test_any_real_number_is_a_walltime(kernel: DataFlowKernel) -> None:
    for kind in (int, float, np.int64, np.float32):
        assert none_of_them(1, walltime=cast("Callable[[int], object]", kind)(5)).result() == 1


def test_a_timeout_never_hits_the_next_task(kernel: DataFlowKernel) -> None:
    """Tasks end around their walltimes, and tasks without one run in between on the same threads."""

    @python_app
    def busy(seconds: float) -> str:
        ends_at = time.perf_counter() + seconds
        while time.perf_counter() < ends_at:
            pass
        return "done"

    limited = []
    unlimited = []
    for index in range(300):
        limited.append(busy(0.0005, walltime=0.0001 * (1 + index % 10)))
        unlimited.append(busy(0.0001))

    assert {future.result() for future in unlimited} == {"done"}
    errors = [future.exception() for future in limited]
    assert {type(error) for error in errors} <= {type(None), AppTimeout}
    assert kernel.task_count == 600
