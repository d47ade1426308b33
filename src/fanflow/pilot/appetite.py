"""How many attempts a manager holds beyond those that can run, so that its workers never wait. Pure."""

from __future__ import annotations

import math
from typing import Final

TYPICAL_US: Final = 10_000
"""Work that is held for each slot if all tasks are typical: it hides the way to the interchange and back."""

MEAN_US: Final = 100_000
"""Work that is held for each slot on average, at most: other managers may be idle by then."""

MOST: Final = 4096

_OVERHEAD_US: Final = 10.0
_MEMORY: Final = 0.98
"""Weight of what was known before, for each new run time."""


class Appetite:
    """Learns from run times.

    One task in a hundred that runs a second makes the mean long, and says nothing of the others: what
    is typical is the geometric mean.

    Args:
        slots: Workers of the manager.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean_us = -1.0
        self._typical_log = 0.0

    def learn(self, mean_us: float, count: int) -> None:
        """So many attempts have run, for so long on average."""
        log = math.log(mean_us + _OVERHEAD_US)
        if self._mean_us < 0:
            self._mean_us, self._typical_log = mean_us, log
            return
        weight = 1 - _MEMORY**count
        self._mean_us += (mean_us - self._mean_us) * weight
        self._typical_log += (log - self._typical_log) * weight

    def prefetch(self) -> int:
        """Attempts to hold beyond one for each slot."""
        if self._mean_us < 0:
            return 0
        typical = TYPICAL_US / math.exp(self._typical_log)
        mean = MEAN_US / (self._mean_us + _OVERHEAD_US)
        return int(min(self._slots * min(typical, mean), MOST))
