"""Which attempts a manager takes, and when its block has too little time left for one. Pure."""

from __future__ import annotations

from math import inf

from fanflow.pilot.wire import TaskItem


class Admission:
    """What one manager can run.

    Args:
        slots: Workers.
        started: When its block began, monotonic seconds.
        lasts_s: Seconds that the block lasts; infinite: unknown.
    """

    def __init__(self, slots: int, started: float = 0.0, lasts_s: float = inf) -> None:
        self._slots = slots
        self._lasts_s = lasts_s
        self._ends = started + lasts_s

    def why_not(self, item: TaskItem) -> str:
        """Why an attempt can never run here; empty if it can."""
        if not 1 <= item.slots <= self._slots:
            return f"it needs {item.slots} slots, and this manager has {self._slots}"
        if item.walltime_ms > self._lasts_s * 1000:
            walltime_s = item.walltime_ms / 1000
            return f"its walltime of {walltime_s:g} s is longer than its block lasts, {self._lasts_s:g} s"
        if item.environment:
            for name, value in item.environment.items():
                if not name or "=" in name or "\0" in name + value:
                    return f"an environment cannot have a variable {name!r}"
        return ""

    def is_too_late(self, item: TaskItem, now: float) -> bool:
        """Whether an attempt that starts now may not be done when the block ends."""
        return item.walltime_ms > 0 and now + item.walltime_ms / 1000 > self._ends
