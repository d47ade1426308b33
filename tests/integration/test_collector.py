"""The garbage collector's thresholds while kernels are loaded."""

import gc
from collections.abc import Iterator

import pytest

from fanflow import Config, DataFlowKernel

PYTHONS = (700, 10, 10)


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*PYTHONS)

    yield

    gc.set_threshold(*before)


def test_the_first_threshold_is_raised_until_the_last_kernel_ends() -> None:
    first = DataFlowKernel(Config(initialize_logging=False))
    raised = gc.get_threshold()
    second = DataFlowKernel(Config(initialize_logging=False))

    first.cleanup()
    between = gc.get_threshold()
    second.cleanup()

    assert raised == between == (20_000, 10, 10)
    assert gc.get_threshold() == PYTHONS


def test_a_second_cleanup_does_not_count() -> None:
    first, second = (DataFlowKernel(Config(initialize_logging=False)) for _ in range(2))

    first.cleanup()
    first.cleanup()

    assert gc.get_threshold()[0] == 20_000
    second.cleanup()


@pytest.mark.parametrize("chosen", [(0, 10, 10), (50_000, 20, 20), (701, 10, 10)])
def test_thresholds_that_the_program_has_chosen_are_kept(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)

    with DataFlowKernel(Config(initialize_logging=False)):
        assert gc.get_threshold() == chosen

    assert gc.get_threshold() == chosen


def test_what_the_program_sets_meanwhile_is_not_undone() -> None:
    with DataFlowKernel(Config(initialize_logging=False)):
        gc.set_threshold(5, 5, 5)

    assert gc.get_threshold() == (5, 5, 5)
