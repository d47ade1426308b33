"""What a process holds: threads, child processes and open descriptors."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Holdings:
    """A snapshot of what this process holds."""

    threads: frozenset[threading.Thread]
    processes: frozenset[tuple[int, float]]
    """Process ids with their start times, children of children included."""
    descriptors: int

    @classmethod
    def now(cls) -> Holdings:
        """What is held at this moment; what only waits for the garbage collector is not."""
        gc.collect()
        own = psutil.Process()
        return cls(
            frozenset(threading.enumerate()),
            frozenset((child.pid, child.create_time()) for child in own.children(recursive=True)),
            own.num_fds(),
        )

    def beyond(self, before: Holdings) -> list[str]:
        """What is held here and was not held before, in words."""
        found = [f"thread {thread.name!r}" for thread in self.threads - before.threads]
        found += [f"process {pid}" for pid, _ in self.processes - before.processes]
        if self.descriptors > before.descriptors:
            found.append(f"{self.descriptors - before.descriptors} more descriptors")
        return found


def settles(is_settled: Callable[[], bool], seconds: float) -> bool:
    """Polls until it is true or the time is over; for what tells nobody when it ends."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not is_settled():
        if time.monotonic() > end:
            return False
        pause.wait(0.02)
    return True
