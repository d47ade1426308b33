"""Pauses after blocks have failed to start again and again, ever longer ones. Pure."""

from __future__ import annotations

from math import inf
from typing import Final

MOST_FAILED_SUBMITS: Final = 10
"""In a row, before there is a pause."""

MOST_FAILED_STARTS: Final = 3
"""Jobs in a row that ended before a manager had connected."""

FIRST_PAUSE_S: Final = 10.0
LONGEST_PAUSE_S: Final = 600.0


class StartPause:
    """Says how many blocks may be asked for now. After a pause that is one, until one has started."""

    __slots__ = ("_failed_starts", "_failed_submits", "_pauses", "until")

    def __init__(self) -> None:
        self._failed_submits = 0
        self._failed_starts = 0
        self._pauses = 0
        self.until = -inf
        """No block is asked for before this time."""

    def allowed(self, unproven: int, now: float) -> int | None:
        """Blocks that may be asked for; None if only the limits say.

        Args:
            unproven: Blocks that were asked for and have no manager yet.
            now: Seconds.
        """
        if not self._is_bad():
            return None
        return 0 if now < self.until or unproven else 1

    def note_submit_failed(self, now: float) -> bool:
        """The provider gave no job. Whether a pause begins."""
        self._failed_submits += 1
        return self._begin(now)

    def note_submitted(self) -> None:
        """The provider gave a job."""
        self._failed_submits = 0

    def note_start_failed(self, now: float) -> bool:
        """A job ended before a manager had connected. Whether a pause begins."""
        self._failed_starts += 1
        return self._begin(now)

    def note_started(self) -> None:
        """A manager has connected."""
        self._failed_submits = self._failed_starts = self._pauses = 0

    def _is_bad(self) -> bool:
        return self._failed_submits >= MOST_FAILED_SUBMITS or self._failed_starts >= MOST_FAILED_STARTS

    def _begin(self, now: float) -> bool:
        # What fails during a pause was asked for before it.
        if not self._is_bad() or now < self.until:
            return False
        self.until = now + min(FIRST_PAUSE_S * 2**self._pauses, LONGEST_PAUSE_S)
        self._pauses = min(self._pauses + 1, 16)
        return True
