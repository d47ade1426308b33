"""No-op tasks per second, from the first call to the last resolved future."""

import concurrent.futures
from collections.abc import Callable

from benchmarks.harness import Measurement, Samples, Settings, at_least, at_most, interleave, largest
from benchmarks.peers import run_parsl
from benchmarks.subject import THREADS, loaded, repeat, run_bare, run_dropped, run_kept, wall_seconds

SMALL = 10_000
LEAST_RATE = 12_000.0
ALLOWED_SLOWDOWN = 1.15
"""The time of one task among 200,000, over that of one among 10,000."""


def rate_of(count: int, times: int, work: Callable[[int], None]) -> float:
    """Tasks per second of `times` runs of `count` tasks."""
    return count * times / wall_seconds(lambda: repeat(times, work, count))


def throughput(settings: Settings) -> list[Measurement]:
    """A sample is as many tasks in one go as in 10,000s: other load gets the same chance at both."""
    small = settings.size(SMALL, 1_000)
    times = settings.size(20, 5)
    large = small * times
    with loaded(), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        single, bare = interleave(
            settings.rounds(7),
            lambda: rate_of(small, 1, run_kept),
            lambda: rate_of(small, 1, lambda count: run_bare(pool, count)),
        )
        many, kept, dropped, bare_large = interleave(
            settings.rounds(5),
            lambda: rate_of(small, times, run_kept),
            lambda: rate_of(large, 1, run_kept),
            lambda: rate_of(large, 1, run_dropped),
            lambda: rate_of(large, 1, lambda count: run_bare(pool, count)),
        )
    return [
        largest(f"{small:,} tasks", single, "tasks/s", budget=at_least(LEAST_RATE)),
        slowdown(f"{large:,} tasks, futures kept", many, kept),
        slowdown(f"{large:,} tasks, futures dropped", many, dropped),
        largest(f"{times} times {small:,} tasks", many, "tasks/s"),
        largest(f"{large:,} tasks, kept, rate", kept, "tasks/s"),
        largest(f"{large:,} tasks, dropped, rate", dropped, "tasks/s"),
        largest(f"bare pool, {small:,} tasks", bare, "tasks/s"),
        largest(f"bare pool, {large:,} tasks", bare_large, "tasks/s"),
        *parsl(),
    ]


def slowdown(name: str, many: Samples, large: Samples) -> Measurement:
    pairs = tuple(small / big for small, big in zip(many.values, large.values, strict=True))
    return Measurement(
        name=name, value=many.most / large.most, unit="x", budget=at_most(ALLOWED_SLOWDOWN), samples=pairs
    )


def parsl() -> list[Measurement]:
    found = run_parsl()
    if found is None:
        return []
    return [
        largest("parsl, default logging", Samples(found.rate), "tasks/s", note=f"Parsl {found.version}"),
        largest("parsl, no logging", Samples(found.quiet_rate), "tasks/s"),
    ]
