"""Tasks that take time on the pilot engine: how close two workers come to the ideal."""

import random
import time

from benchmarks.engine import WORKERS, engine_loaded
from benchmarks.harness import Measurement, Samples, Settings, at_most, smallest
from benchmarks.subject import wall_seconds
from fanflow import python_app

SLEEP_S = 0.1
ALLOWED_SLEEPS = 1.05
LONG_S = 1.0
LONG_SHARE = 100
"""One task in so many is long."""
ALLOWED_MIX = 1.2
SEED = 20


@python_app
def sleep(seconds: float) -> None:
    if seconds:
        time.sleep(seconds)


def run_sleeps(lengths: list[float]) -> float:
    """Wall time over the ideal: all workers sleep all the time, and nothing else takes any."""

    def run() -> None:
        futures = [sleep(seconds) for seconds in lengths]
        for future in futures:
            future.result()

    return wall_seconds(run) / (sum(lengths) / WORKERS)


def mixed(count: int, long_s: float, seed: int) -> list[float]:
    """One in a hundred is long, the others are instant; in a random order that the seed fixes."""
    lengths = [long_s] * (count // LONG_SHARE) + [0.0] * (count - count // LONG_SHARE)
    random.Random(seed).shuffle(lengths)
    return lengths


def mixes(settings: Settings) -> list[Measurement]:
    """The long mix is run once, since it takes 50 s at best; smaller ones show the spread."""
    sleeps, few = settings.size(200, 40), settings.size(1_000, 400)
    many, long_s = settings.size(10_000, 2_000), 0.1 if settings.quick else LONG_S
    with engine_loaded():
        run_sleeps([0.01] * 20)
        even = Samples([run_sleeps([SLEEP_S] * sleeps) for _ in range(settings.rounds(2))])
        small = Samples([run_sleeps(mixed(few, long_s, SEED + turn)) for turn in range(settings.rounds(3))])
        large = run_sleeps(mixed(many, long_s, SEED))
    return [
        smallest(f"{sleeps} sleeps of {SLEEP_S} s", even, "x ideal", budget=at_most(ALLOWED_SLEEPS)),
        Measurement(
            name=f"1% of {long_s:g} s among {many:,} instant tasks",
            value=large,
            unit="x ideal",
            budget=at_most(ALLOWED_MIX),
        ),
        smallest(f"1% of {long_s:g} s among {few:,} instant tasks", small, "x ideal"),
    ]
