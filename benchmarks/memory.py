"""What tasks cost in memory while they wait, while they queue, and after they have ended."""

import concurrent.futures
import gc
import time
import tracemalloc
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import psutil

import fanflow
from benchmarks.harness import Measurement, Samples, Settings, at_most, interleave, largest, smallest
from benchmarks.isolation import probe
from benchmarks.subject import loaded, noop, take

MOST_BYTES_WAITING = 1_600
MOST_BYTES_KEPT = 100_000
"""Of 100,000 finished tasks together: less than a byte each."""
MOST_BYTES_RESIDENT = 2_000_000
"""The allocator takes memory by the megabyte; two of these are its noise. What is traced is exact."""
MOST_OBJECTS_KEPT = 10
MAX_PENDING = 10_000
MOST_BYTES_QUEUED = 5_000_000
"""How much more the second half of the calls may take than the first: ten bytes a call."""
WAVE = 1_000


def resident() -> int:
    """Bytes of this process in memory, after a collection."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def traced() -> int:
    """Bytes that Python objects hold, after a collection."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@contextmanager
def tracing() -> Generator[None]:
    """Traces from here on only, and no longer than the block."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def settle() -> None:
    """Calls are taken in order: when this one is through, all before it have been taken."""
    noop().result()


# ---------------------------------------------------------------------------------------- waiting


def waiting(settings: Settings) -> list[Measurement]:
    """Two fresh processes: tracing takes memory of its own, so it cannot share one with the resident size."""
    count = settings.size(100_000, 20_000)
    in_memory, by_python = interleave(
        settings.rounds(2),
        lambda: probe("benchmarks.memory:waiting_resident", count)[0],
        lambda: probe("benchmarks.memory:waiting_traced", count)[0],
    )
    larger = max(in_memory.least, by_python.least)
    return [
        Measurement(
            name=f"{count:,} tasks, larger of both",
            value=larger,
            unit="bytes/task",
            budget=at_most(MOST_BYTES_WAITING),
        ),
        smallest("resident", in_memory, "bytes/task"),
        smallest("traced", by_python, "bytes/task"),
    ]


def waiting_resident(count: int) -> list[float]:
    with loaded():
        settle()
        before = resident()
        gate: concurrent.futures.Future[int] = concurrent.futures.Future()
        held = [take(gate) for _ in range(count)]
        settle()
        grown = resident() - before
        release(gate, held)
    return [grown / count]


def waiting_traced(count: int) -> list[float]:
    with loaded():
        settle()
        with tracing():
            before = traced()
            gate: concurrent.futures.Future[int] = concurrent.futures.Future()
            held = [take(gate) for _ in range(count)]
            settle()
            grown = traced() - before
        release(gate, held)
    return [grown / count]


def release(
    gate: "concurrent.futures.Future[int]", held: "Sequence[concurrent.futures.Future[None]]"
) -> None:
    gate.set_result(0)
    for future in held:
        future.result()


# --------------------------------------------------------------------------------------- finished


def finished(settings: Settings) -> list[Measurement]:
    warm, count = settings.size(50_000, 10_000), settings.size(100_000, 20_000)
    kept_bytes, kept_objects = probe("benchmarks.memory:finished_traced", warm, count)
    runs = [probe("benchmarks.memory:finished_resident", warm, count)[0] for _ in range(settings.rounds(3))]
    name = f"after {count:,} tasks"
    return [
        Measurement(name=f"{name}, traced", value=kept_bytes, unit="bytes", budget=at_most(MOST_BYTES_KEPT)),
        smallest(f"{name}, resident", Samples(runs), "bytes", budget=at_most(MOST_BYTES_RESIDENT)),
        Measurement(
            name=f"{name}, objects of fanflow",
            value=kept_objects,
            unit="objects",
            budget=at_most(MOST_OBJECTS_KEPT),
        ),
    ]


def run_waves(count: int) -> None:
    """Futures are dropped at once; the backlog stays the same size whatever the count."""
    for _ in range(count // WAVE):
        for _ in range(WAVE):
            noop()
        fanflow.wait_for_current_tasks()


def objects_of_fanflow() -> Counter[str]:
    gc.collect()
    return Counter(
        type(thing).__qualname__
        for thing in gc.get_objects()
        if str(type(thing).__module__).partition(".")[0] == "fanflow"  # some hold a descriptor there
    )


def finished_traced(warm: int, count: int) -> list[float]:
    """Bytes and objects that so many more tasks have left behind."""
    with loaded(), tracing():
        run_waves(warm)
        before, objects_before = traced(), objects_of_fanflow()
        run_waves(count)
        grown, more = traced() - before, objects_of_fanflow() - objects_before
    if more:
        print("objects left behind:", dict(more))
    return [max(0.0, grown), more.total()]


def finished_resident(warm: int, count: int) -> list[float]:
    with loaded():
        run_waves(warm)
        before = resident()
        run_waves(count)
        grown = resident() - before
    return [max(0.0, grown)]


# ----------------------------------------------------------------------------------------- queued


def queued(settings: Settings) -> list[Measurement]:
    """The least of several processes: how high a backlog peaks is chance, a leak shows in all of them."""
    count = settings.size(1_000_000, 100_000)
    runs = [
        probe("benchmarks.memory:queued_resident", count, limit_seconds=250.0)
        for _ in range(settings.rounds(2))
    ]
    grown, peak, rate = (Samples(list(column)) for column in zip(*runs, strict=True))
    name = f"{count:,} calls, at most {MAX_PENDING:,} pending"
    return [
        smallest(f"{name}: second half above first", grown, "bytes", budget=at_most(MOST_BYTES_QUEUED)),
        smallest(f"{name}: most above an idle kernel", peak, "bytes"),
        largest(f"{name}: rate", rate, "tasks/s"),
    ]


def queued_resident(count: int) -> list[float]:
    """Growth from the first half to the second, most above an idle kernel (bytes), and tasks per second."""
    process = psutil.Process()
    look_every = count // 200
    most = {"first half": 0, "second half": 0}
    with loaded(max_pending=MAX_PENDING):
        settle()
        before = resident()
        began = time.perf_counter()
        for number in range(count):
            noop()
            if number % look_every == 0:
                half = "first half" if number < count // 2 else "second half"
                most[half] = max(most[half], int(process.memory_info().rss) - before)
        fanflow.wait_for_current_tasks()
        seconds = time.perf_counter() - began
    return [max(0, most["second half"] - most["first half"]), max(most.values()), count / seconds]
