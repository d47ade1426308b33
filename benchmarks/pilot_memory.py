"""What tasks that wait on the pilot engine take, in the client and in its other processes."""

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import psutil

from benchmarks.clocks import descendants
from benchmarks.engine import WORKERS, engine_loaded, noop
from benchmarks.harness import Measurement, Samples, Settings, at_most, below, smallest
from benchmarks.isolation import probe
from fanflow import python_app

MOST_BYTES_PENDING = 2_000
MOST_BYTES_QUEUED = 2.5e9
SETTLED_BYTES = 200_000
"""Growth in `LOOK_S` below which nothing is on its way any more."""
LOOK_S = 0.3
WAIT_S = 120.0


@python_app
def hold(pipe: str) -> None:
    """Runs until the pipe's writer is gone."""
    with open(pipe, "rb") as end:
        end.read()


class Plug:
    """Keeps the workers busy until it is pulled, so that everything else waits."""

    def __init__(self, directory: str) -> None:
        pipes = [str(Path(directory) / f"pipe{number}") for number in range(WORKERS)]
        for pipe in pipes:
            os.mkfifo(pipe)
        self._held = [hold(pipe) for pipe in pipes]
        self._writers = [os.open(pipe, os.O_WRONLY) for pipe in pipes]  # returns when its reader is there

    def pull(self) -> None:
        for writer in self._writers:
            os.close(writer)
        wait_for(self._held)


def wait_for(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.result(WAIT_S)


def resident(processes: Sequence[psutil.Process]) -> int:
    """Bytes in memory of all of these together; what they share counts for each."""
    return sum(int(process.memory_info().rss) for process in processes)


def settled(processes: Sequence[psutil.Process]) -> int:
    """The same, when all that is on its way has come."""
    before, deadline = resident(processes), time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        time.sleep(LOOK_S)
        now = resident(processes)
        if abs(now - before) < SETTLED_BYTES:
            return now
        before = now
    raise RuntimeError(f"memory still grows after {WAIT_S:.0f} s")


def pending_resident(count: int) -> list[float]:
    """Bytes per pending task, and bytes in all: of the client and all its processes."""
    with engine_loaded(), tempfile.TemporaryDirectory(prefix="ff") as place:
        processes = [psutil.Process(), *map(psutil.Process, descendants())]
        plug = Plug(place)
        gc.collect()
        before = settled(processes)
        futures = [noop() for _ in range(count)]
        after = settled(processes)
        plug.pull()
        wait_for(futures)
    return [(after - before) / count, after]


def memory(settings: Settings) -> list[Measurement]:
    count, many = settings.size(100_000, 20_000), settings.size(1_000_000, 50_000)
    runs = [probe("benchmarks.pilot_memory:pending_resident", count) for _ in range(settings.rounds(3))]
    each = Samples([run[0] for run in runs])
    each_of_many, whole = probe("benchmarks.pilot_memory:pending_resident", many)
    return [
        smallest(f"{count:,} pending, all processes", each, "bytes/task", budget=at_most(MOST_BYTES_PENDING)),
        Measurement(
            name=f"{many:,} pending, all processes together",
            value=whole / 1e9,
            unit="GB",
            budget=below(MOST_BYTES_QUEUED / 1e9),
        ),
        Measurement(name=f"{many:,} pending", value=each_of_many, unit="bytes/task"),
    ]
