"""No-op tasks per second, from the first call to the last resolved future."""

import concurrent.futures
import time
from collections.abc import Callable

from benchmarks.harness import Measurement, Samples, Settings, at_least, at_most, interleave, largest
from benchmarks.peers import run_parsl
from benchmarks.subject import THREADS, loaded, run_bare, run_dropped, run_kept

LEAST_RATE = 12_000.0
ALLOWED_SLOWDOWN = 1.15
"""CPU of one task among 200,000, over that of one among 10,000."""


class Run:
    """Many tasks in one go, timed by both clocks."""

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        self._count, self._work = count, work
        self._rates: list[float] = []

    def __call__(self) -> float:
        """CPU seconds of all threads, per task."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._work(self._count)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self._rates.append(self._count / wall)
        return cpu / self._count

    @property
    def rates(self) -> Samples:
        """Tasks per second, without the unmeasured first turn."""
        return Samples(self._rates[1:])


def throughput(settings: Settings) -> list[Measurement]:
    few, many = settings.size(10_000, 2_000), settings.size(200_000, 20_000)
    with loaded(), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        runs = (
            Run(few, run_kept),
            Run(many, run_kept),
            Run(few, run_dropped),
            Run(many, run_dropped),
            Run(few, lambda count: run_bare(pool, count)),
            Run(many, lambda count: run_bare(pool, count)),
        )
        cpu = interleave(settings.rounds(7), *runs)
    kept, kept_many, dropped, dropped_many, bare, bare_many = (run.rates for run in runs)
    return [
        largest(f"{few:,} tasks", kept, "tasks/s", budget=at_least(LEAST_RATE)),
        slowdown(f"a task among {many:,}, futures kept", cpu[0], cpu[1], is_promised=True),
        slowdown(f"a task among {many:,}, futures dropped", cpu[2], cpu[3], is_promised=True),
        largest(f"{many:,} tasks", kept_many, "tasks/s"),
        largest(f"{few:,} tasks, futures dropped", dropped, "tasks/s"),
        largest(f"{many:,} tasks, futures dropped", dropped_many, "tasks/s"),
        largest(f"bare pool, {few:,} tasks", bare, "tasks/s"),
        largest(f"bare pool, {many:,} tasks", bare_many, "tasks/s"),
        slowdown(f"bare pool, a task among {many:,}", cpu[4], cpu[5], is_promised=False),
        *parsl(),
    ]


def slowdown(name: str, few: Samples, many: Samples, *, is_promised: bool) -> Measurement:
    """By CPU, since other load lengthens a long run and leaves some short ones alone.

    One interpreter lock: as long as the machine has a free core, CPU and wall time are the same here.
    """
    return Measurement(
        name=name,
        value=many.least / few.least,
        unit="x",
        budget=at_most(ALLOWED_SLOWDOWN) if is_promised else None,
        samples=tuple(long / short for short, long in zip(few.values, many.values, strict=True)),
    )


def parsl() -> list[Measurement]:
    found = run_parsl()
    if found is None:
        return []
    return [
        largest("parsl, default logging", Samples(found.rate), "tasks/s", note=f"Parsl {found.version}"),
        largest("parsl, no logging", Samples(found.quiet_rate), "tasks/s"),
    ]
