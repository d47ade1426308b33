"""Estimates pi with random darts; a join app adds tasks until the standard error is small enough."""

import math
import random
import sys
from concurrent.futures import Future
from typing import NamedTuple

from fanflow import join_app, python_app

TASKS, DARTS = 8, 25_000  # in each round


class Estimate(NamedTuple):
    hits: int
    darts: int

    @property
    def pi(self) -> float:
        return 4 * self.hits / self.darts

    @property
    def error(self) -> float:
        """Standard error of `pi`."""
        return math.sqrt(self.pi * (4 - self.pi) / self.darts) if self.darts else math.inf


@python_app
def throw(seed: int) -> int:
    """Count the darts that hit the quarter circle."""
    place = random.Random(seed).random
    return sum(place() ** 2 + place() ** 2 <= 1 for _ in range(DARTS))


@python_app
def combine(before: Estimate, inputs: list[int]) -> Estimate:
    return Estimate(before.hits + sum(inputs), before.darts + DARTS * len(inputs))


@join_app
def refine(known: Estimate, goal: float) -> Future[Estimate]:
    """Runs once `known` is known, and decides then whether another round of darts is needed."""
    if known.error <= goal:
        return combine(known, inputs=[])
    first = known.darts // DARTS
    return refine(combine(known, inputs=[throw(seed) for seed in range(first, first + TASKS)]), goal)


def main() -> None:
    found = refine(Estimate(0, 0), 0.002).result()
    print(f"pi = {found.pi:.4f} +- {found.error:.4f} after {found.darts:,} darts")
    off = abs(found.pi - math.pi) / found.error
    if off > 4:
        sys.exit(f"FAILED: that is {off:.1f} standard errors off")


if __name__ == "__main__":
    main()
