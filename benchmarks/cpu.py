"""CPU per no-op task, against the standard library's executor and, where installed, Parsl."""

import concurrent.futures

from benchmarks.harness import Measurement, Samples, Settings, at_most, interleave, smallest
from benchmarks.peers import run_parsl
from benchmarks.subject import THREADS, cpu_seconds, loaded, run_bare, run_kept

ALLOWED = 1.5
"""Times the CPU of a bare ThreadPoolExecutor."""
MICRO = 1e6


def cpu_per_task(settings: Settings) -> list[Measurement]:
    count = settings.size(10_000, 2_000)
    with loaded(), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        ours, bare = interleave(
            settings.rounds(7),
            lambda: cpu_seconds(lambda: run_kept(count)) / count * MICRO,
            lambda: cpu_seconds(lambda: run_bare(pool, count)) / count * MICRO,
        )
    return [
        against_bare(ours, bare),
        smallest("fanflow", ours, "µs"),
        smallest("bare pool", bare, "µs"),
        *parsl(),
    ]


def against_bare(ours: Samples, bare: Samples) -> Measurement:
    """Best against best: each is the sample that other load disturbed least."""
    pairs = tuple(mine / other for mine, other in zip(ours.values, bare.values, strict=True))
    return Measurement(
        name="against a bare pool",
        value=ours.least / bare.least,
        unit="x",
        budget=at_most(ALLOWED),
        samples=pairs,
        note="the spread is that of the pairs; the figure is best against best",
    )


def parsl() -> list[Measurement]:
    found = run_parsl()
    if found is None:
        return []
    return [
        smallest("parsl, default logging", Samples(found.cpu_us), "µs", note=f"Parsl {found.version}"),
        smallest("parsl, no logging", Samples(found.quiet_cpu_us), "µs"),
    ]
