"""Items and attributes of results that are not there yet."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, ThreadPoolExecutor
from fanflow.config.defaults import PARSL, select_defaults
from fanflow.errors import DependencyError
from tests.integration.kernels import failing, same


@pytest.fixture
def parsl_kernel() -> Iterator[DataFlowKernel]:
    before = select_defaults(PARSL)
    try:
        with fanflow.load(Config()) as kernel:
            yield kernel
    finally:
        select_defaults(before)


@dataclass
class Point:
    x: int
    name: str = "point"


def test_an_item_of_a_result_is_a_task_of_its_own(kernel: DataFlowKernel) -> None:
    chain = same({"points": [{"x": 3}]})["points"][0]["x"]

    assert isinstance(chain, AppFuture)
    assert chain.result() == 3
    assert same(chain).result() == 3
    assert same([1, 2, 3])[1:].result() == [2, 3]


def test_a_missing_item_is_the_failure_of_that_task(kernel: DataFlowKernel) -> None:
    future = same({"a": 1})

    with pytest.raises(KeyError, match="absent"):
        future["absent"].result()
    with pytest.raises(TypeError):
        same(3)[0].result()
    with pytest.raises(DependencyError):
        failing("x")[0].result()
    assert future["a"].result() == 1


def test_the_key_may_be_a_future(kernel: DataFlowKernel) -> None:
    assert same(["a", "b"])[same(1)].result() == "b"


def test_an_attribute_is_an_error_that_says_what_to_write(kernel: DataFlowKernel) -> None:
    future = same(Point(3))

    with pytest.raises(AttributeError, match=r"no attribute 'x'.*write future\.result\(\)\.x"):
        _ = future.x
    assert not hasattr(future, "resutl")
    assert same(0).tid == future.tid + 1


def test_existing_programs_lift_attributes(parsl_kernel: DataFlowKernel) -> None:
    assert same(Point(3)).x.result() == 3
    assert same([Point(3)])[0].name.upper.result()() == "POINT"
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        same(Point(3)).absent.result()
    with pytest.raises(AttributeError, match="'_hidden'"):
        _ = same(Point(3))._hidden


def test_a_future_has_no_length_and_no_arithmetic(kernel: DataFlowKernel) -> None:
    future = same([1])

    for use in (len, lambda it: it + 1, lambda it: it < 3, lambda it: it()):
        with pytest.raises(TypeError):
            use(future)
    assert same(0).tid == future.tid + 1


def test_a_lifted_result_of_an_ended_kernel_is_a_plain_value() -> None:
    with fanflow.load(Config(executors=[ThreadPoolExecutor()])):
        future = same({"a": [1]})
        future.result()

    assert future.result() == {"a": [1]}
    assert future["a"][0].result() == 1
    assert isinstance(future["b"].exception(), KeyError)
