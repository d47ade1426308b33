"""CPU clocks of this process and of those that it has started, to the nanosecond."""

import contextlib
import os
import time
from collections.abc import Iterable

import psutil

_SCHEDULED = 2
"""The kind of clock that counts time on a core, as Linux numbers them."""


def process_seconds(pid: int) -> float:
    """CPU seconds of all threads of a living process; 0 for one that has ended.

    Linux makes the clock's number from the process's (clock_getcpuclockid does no more); elsewhere psutil
    knows the time by the tick.
    """
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | _SCHEDULED)
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def descendants() -> list[int]:
    """Process numbers of all children and their children."""
    return [child.pid for child in psutil.Process().children(recursive=True)]


class TreeClock:
    """CPU of this process and of its descendants, from one moment on. All of them must live on.

    Args:
        pids: The descendants; their number is looked up once, since that costs CPU itself.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._others = {pid: process_seconds(pid) for pid in self._pids}
        self._own = process_seconds(os.getpid())

    def own(self) -> float:
        """CPU seconds of this process."""
        return process_seconds(os.getpid()) - self._own

    def others(self) -> float:
        """CPU seconds of all descendants together."""
        return sum(process_seconds(pid) - self._others[pid] for pid in self._pids)
