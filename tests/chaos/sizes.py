"""How much a chaos test does: a little each time, a lot in `make chaos`."""

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Size:
    """Of one run."""

    tasks: int
    seed: int
    every_s: float
    """Between faults."""
    patience_s: float

    @property
    def name(self) -> str:
        return f"{self.tasks}-seed-{self.seed}"


FULL_TASKS = 100_000
SEEDS = range(1, 6)


def sizes(tasks: int, every_s: float, full_every_s: float) -> list[object]:
    """The miniature, and the full size with every seed.

    Args:
        tasks: Of the miniature.
        every_s: Between faults of the miniature.
        full_every_s: Between faults at full size.
    """
    small = Size(tasks, 1, every_s, patience_s=40.0)
    marks = (pytest.mark.slow, pytest.mark.timeout(900))
    full = [Size(FULL_TASKS, seed, full_every_s, patience_s=800.0) for seed in SEEDS]
    return [
        pytest.param(small, id=small.name),
        *(pytest.param(size, id=size.name, marks=marks) for size in full),
    ]
