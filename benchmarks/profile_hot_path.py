"""Shows where the CPU of a no-op task goes: `python -m benchmarks.profile_hot_path [--engine] [--sample]`.

The first table needs no instrument: each thread's own CPU clock is read before and after. The options
disturb what they measure; compare lines with each other, not with the first table.
"""

import argparse
import concurrent.futures
import contextlib
import cProfile
import gc
import os
import pstats
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NamedTuple

from benchmarks import engine
from benchmarks.clocks import TreeClock, descendants
from benchmarks.subject import THREADS, cpu_seconds, loaded, noop, run_bare, take

MICRO = 1e6
SAMPLE_SECONDS = 0.001
SWITCH_SECONDS = 0.0002
"""How soon the sampler gets its turn; with the default of 5 ms it would see resting places only."""


class Subject(NamedTuple):
    """What runs the tasks."""

    loaded: Callable[[], contextlib.AbstractContextManager[None]]
    task: engine.Noop


def thread_clocks() -> dict[str, float]:
    """CPU seconds of every Python thread, by name; threads of one name are told apart by number."""
    clocks: dict[str, float] = {}
    for thread in threading.enumerate():
        if thread.ident is not None:
            name = thread.name if thread.name not in clocks else f"{thread.name} ({thread.native_id})"
            clocks[name] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return clocks


class Collections:
    """Time in the garbage collector, as its callbacks see it."""

    def __init__(self) -> None:
        self.seconds, self.counts = [0.0, 0.0, 0.0], [0, 0, 0]
        self._began = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds[info["generation"]] += time.perf_counter() - self._began
            self.counts[info["generation"]] += 1

    def __enter__(self) -> "Collections":
        gc.callbacks.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self)


def show(rows: Sequence[tuple[str, float]], unit: str = "µs/task") -> None:
    for name, value in rows:
        print(f"  {name:<52}{value:10.2f} {unit}")


# --------------------------------------------------------------------------------- by thread, by phase


def by_thread(task: engine.Noop, count: int, rounds: int) -> None:
    """The round that took least CPU: of each thread, of the collector, and how often threads switched."""
    cpu, rows, switches = min((one_round(task, count) for _ in range(rounds)), key=lambda found: found[0])
    print(f"\nBy thread ({count:,} tasks, best of {rounds}):")
    show([("all threads", cpu / count * MICRO), *((name, seconds / count * MICRO) for name, seconds in rows)])
    print(f"  {switches}")


def one_round(task: engine.Noop, count: int) -> tuple[float, list[tuple[str, float]], str]:
    """CPU seconds of all threads, then of each part, and a remark on switches and collections."""
    gc.collect()
    before, usage = thread_clocks(), resource.getrusage(resource.RUSAGE_SELF)
    with Collections() as collections:
        wall, cpu = time.perf_counter(), time.process_time()
        futures = [task() for _ in range(count)]
        called = thread_clocks()
        for future in futures:
            future.result()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after, done = thread_clocks(), resource.getrusage(resource.RUSAGE_SELF)
    caller = threading.current_thread().name
    rows = [
        ("wall", wall),
        (f"{caller}: calls", called[caller] - before[caller]),
        (f"{caller}: waiting for results", after[caller] - called[caller]),
        *((name, spent - before.get(name, 0.0)) for name, spent in after.items() if name != caller),
        ("of that: garbage collector", sum(collections.seconds)),
        ("of that: its oldest generation", collections.seconds[2]),
        ("of that: system", done.ru_stime - usage.ru_stime),
    ]
    voluntary, forced = done.ru_nvcsw - usage.ru_nvcsw, done.ru_nivcsw - usage.ru_nivcsw
    return (
        cpu,
        rows,
        (
            f"switches per task: {voluntary / count:.3f} voluntary, {forced / count:.3f} forced; "
            f"collections by generation: {collections.counts}"
        ),
    )


def by_process(count: int, rounds: int) -> None:
    """CPU of each of the engine's processes, which have no thread of ours to look at."""
    clocks = {pid: TreeClock([pid]) for pid in descendants()}
    least: dict[str, float] = {}
    for _ in range(rounds):
        before = {pid: clock.others() for pid, clock in clocks.items()}
        engine.run_one_by_one(count)
        for pid, clock in clocks.items():
            name = f"process {pid}"
            spent = clock.others() - before[pid]
            least[name] = min(spent, least.get(name, spent))
    print(f"\nBy process, zygotes and idle ones included ({count:,} tasks, each at its best of {rounds}):")
    show([(name, seconds / count * MICRO) for name, seconds in least.items()])


def by_phase(count: int, rounds: int) -> None:
    """Calls alone (held back by a dependency), release alone, and the same work on a bare pool."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        taken = [phases(count, pool) for _ in range(rounds)]
    calls, releases, bare = (min(column) / count * MICRO for column in zip(*taken, strict=True))
    print(f"\nBy phase ({count:,} tasks, all threads, best of {rounds}):")
    show(
        [
            ("call, until it waits for its dependency", calls),
            ("release, run, resolve", releases),
            ("a bare ThreadPoolExecutor, whole", bare),
        ]
    )


def phases(count: int, pool: concurrent.futures.ThreadPoolExecutor) -> tuple[float, float, float]:
    """CPU seconds of each phase."""
    gate: concurrent.futures.Future[int] = concurrent.futures.Future()
    held: list[concurrent.futures.Future[None]] = []

    def call() -> None:
        held.extend(take(gate) for _ in range(count))
        noop().result()  # calls are taken in order: now all of them wait

    def release() -> None:
        gate.set_result(0)
        for future in held:
            future.result()

    gc.collect()
    called, released = cpu_seconds(call), cpu_seconds(release)
    held.clear()
    gc.collect()
    return called, released, cpu_seconds(lambda: run_bare(pool, count))


# ------------------------------------------------------------------------------------------- sampling


class Sampler:
    """Charges each thread's CPU since the last look to the function that the thread is in now.

    Threads change places only between bytecodes, so a function that calls much is charged a little
    too often and one long C call too seldom.
    """

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], float] = {}
        self._ended = threading.Event()
        self._switches_every = sys.getswitchinterval()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> "Sampler":
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        sys.setswitchinterval(self._switches_every)

    def _run(self) -> None:
        last: dict[int, float] = {}
        while not self._ended.wait(SAMPLE_SECONDS):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                frame = frames.get(thread.ident or 0)
                if frame is None or thread is self._thread or thread.ident is None:
                    continue
                now = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                passed = now - last.get(thread.ident, now)
                last[thread.ident] = now
                if passed > 0:
                    key = (thread.name, place(frame))
                    self.spent[key] = self.spent.get(key, 0.0) + passed


def place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}:{frame.f_lineno} {code.co_qualname}"


def sampled(task: engine.Noop, count: int) -> None:
    with Sampler() as sampler:
        for _ in range(10):
            engine.run_one_by_one(count, task)
    whole = sum(sampler.spent.values())
    print(f"\nBy line, sampled (share of the CPU of {10 * count:,} tasks):")
    by_cost = sorted(sampler.spent.items(), key=lambda item: item[1], reverse=True)
    for (thread, where), seconds in by_cost[:40]:
        print(f"  {seconds / whole:6.1%}  {thread:<28.28}  {where}")


# ------------------------------------------------------------------------------------------- cProfile


class ProfiledThreads:
    """One cProfile per thread; only threads started inside are seen, so the kernel is loaded inside."""

    def __init__(self) -> None:
        self.profiles: list[tuple[str, cProfile.Profile]] = []

    def __enter__(self) -> "ProfiledThreads":
        threading.setprofile(self._begin)
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)
        for _name, profile in self.profiles:
            profile.disable()

    def _begin(self, *_: object) -> None:
        profile = cProfile.Profile(time.thread_time)
        self.profiles.append((threading.current_thread().name, profile))
        profile.enable()


def profiled(subject: Subject, count: int) -> None:
    with ProfiledThreads() as threads, subject.loaded():
        engine.run_one_by_one(count, subject.task)
    print(f"\nBy function, under cProfile, which costs most where calls are short ({count:,} tasks):")
    for thread, profile in threads.profiles:
        print(f"\n--- {thread}")
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(15)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_hot_path", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="tasks per round (default 10,000)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sample", action="store_true", help="also sample which lines run")
    parser.add_argument("--cprofile", action="store_true", help="also run cProfile in every thread")
    parser.add_argument("--engine", action="store_true", help="on worker processes, not on threads")
    options = parser.parse_args(argv)
    count, rounds = options.count, options.rounds
    subject = Subject(engine.engine_loaded, engine.noop) if options.engine else Subject(loaded, noop)
    parts: list[Callable[[], None]] = [
        lambda: by_thread(subject.task, count, rounds),
        lambda: by_process(count, rounds) if options.engine else by_phase(count, rounds),
    ]
    if options.sample:
        parts.append(lambda: sampled(subject.task, count))
    with tempfile.TemporaryDirectory(prefix="fanflow-bench-") as place_for_runs:
        os.chdir(place_for_runs)
        with subject.loaded():
            engine.run_one_by_one(count, subject.task)
            for part in parts:
                part()
        if options.cprofile:
            profiled(subject, count)
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
