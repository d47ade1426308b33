"""Where time comes from, as an argument, so that rules can be run under a clock that tests move."""

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the time. Called from any thread."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back. For every interval."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch. For display only."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
