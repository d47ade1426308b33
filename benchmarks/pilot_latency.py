"""The pilot engine with little to do: round trips, chains, its start and its end."""

import time

import fanflow
from benchmarks.chains import run_chain
from benchmarks.engine import config, engine_loaded, noop, run_one_by_one
from benchmarks.harness import (
    Measurement,
    Samples,
    Settings,
    at_least,
    below,
    interleave,
    largest,
    smallest,
)
from benchmarks.isolation import probe
from benchmarks.subject import wall_seconds

MOST_P50_MS = 0.6
MOST_P99_MS = 3.0
LEAST_LINKS_PER_SECOND = 1_500.0
MOST_SECONDS_TO_RESULT = 0.4
MOST_SECONDS_TO_END = 0.3
LINKS = 1_000
MILLI = 1e3


def latency(settings: Settings) -> list[Measurement]:
    trips = settings.size(1_000, 200)
    halves: list[float] = []
    tails: list[float] = []

    def round_trips() -> float:
        taken = sorted(wall_seconds(lambda: noop().result()) for _ in range(trips))
        halves.append(taken[trips // 2] * MILLI)
        tails.append(taken[trips * 99 // 100] * MILLI)
        return halves[-1]

    with engine_loaded():
        p50, chains = interleave(
            settings.rounds(7), round_trips, lambda: LINKS / wall_seconds(lambda: run_chain(LINKS))
        )
    return [
        smallest("round trip, the caller waiting: p50", p50, "ms", budget=below(MOST_P50_MS)),
        smallest("p99", Samples(tails[1:]), "ms", budget=below(MOST_P99_MS)),
        largest(f"chain of {LINKS:,} links", chains, "links/s", budget=at_least(LEAST_LINKS_PER_SECOND)),
    ]


def life(settings: Settings) -> list[Measurement]:
    """Fresh processes, since users wait for the first kernel of a process."""
    runs = [probe("benchmarks.pilot_latency:one_life") for _ in range(settings.rounds(7))]
    first, shutdown = (Samples(list(column)) for column in zip(*runs, strict=True))
    return [
        smallest("load to first result", first, "s", budget=below(MOST_SECONDS_TO_RESULT)),
        smallest("shutdown", shutdown, "s", budget=below(MOST_SECONDS_TO_END)),
    ]


def one_life() -> list[float]:
    """Seconds from load to the first result, and of cleanup."""
    began = time.perf_counter()
    kernel = fanflow.load(config())
    noop().result()
    first = time.perf_counter() - began
    run_one_by_one(1_000)
    shutdown = wall_seconds(kernel.cleanup)
    fanflow.clear()
    return [first, shutdown]
