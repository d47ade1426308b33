"""Loaded kernels, and what holds their tasks back."""

import threading
from collections.abc import Iterator

import pytest

from fanflow import DataFlowKernel
from tests.integration.kernels import loaded


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with loaded() as kernel:
        yield kernel


@pytest.fixture
def one_thread() -> Iterator[DataFlowKernel]:
    with loaded(threads=1) as kernel:
        yield kernel


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Lets go on what waits for it; set at the end of the test in any case."""
    released = threading.Event()
    yield released
    released.set()
