"""The seam for choosing where an attempt runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fanflow.ids import ExecutorLabel


class Load(NamedTuple):
    """How busy one executor is."""

    label: ExecutorLabel
    outstanding: int
    """Attempts it holds, running or not."""
    capacity: int
    """Attempts it can run at one time."""


class Placement(Protocol):
    """Chooses among at least two executors that may run a task. Pure; kernel thread."""

    def __call__(self, candidates: Sequence[Load], /) -> ExecutorLabel: ...


def least_loaded(candidates: Sequence[Load], /) -> ExecutorLabel:
    """The executor with the fewest attempts per place to run them; the first of equals."""
    return min(candidates, key=lambda load: load.outstanding / max(load.capacity, 1)).label
