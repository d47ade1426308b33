"""Which large payloads a client sends now: only so many at a time, so that none pile up on the way. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Container

from fanflow.pilot.parcels import Packed
from fanflow.pilot.wire import TASKS_WINDOW


class Flight:
    """Large calls that wait for their turn, by priority, and those that managers do not have yet.

    Args:
        window: Bytes in the air; a larger payload flies alone.
    """

    def __init__(self, window: int = TASKS_WINDOW) -> None:
        self._window = window
        self._waiting: list[tuple[int, int, Packed]] = []
        self._order = itertools.count()
        self.sent: dict[int, int] = {}
        """Open attempts that were sent -> bytes in the air; 0 since a manager has them."""
        self._bytes = 0

    def __len__(self) -> int:
        """Calls that wait for their turn."""
        return len(self._waiting)

    def add(self, call: Packed) -> None:
        """It is to be sent."""
        heapq.heappush(self._waiting, (call.item.priority, next(self._order), call))

    def take(self, wanted: Container[int]) -> list[Packed]:
        """Calls to be sent now, but for those whose attempts are not wanted any more."""
        taken: list[Packed] = []
        while self._waiting:
            call = self._waiting[0][2]
            attempt, size = call.item.attempt, len(call.body)
            if attempt in wanted and attempt not in self.sent:
                if self._bytes and self._bytes + size > self._window:
                    break
                self.sent[attempt] = size
                self._bytes += size
                taken.append(call)
            heapq.heappop(self._waiting)
        return taken

    def landed(self, attempt: int) -> None:
        """A manager has it."""
        if attempt in self.sent:
            self._bytes -= self.sent[attempt]
            self.sent[attempt] = 0

    def ended(self, attempt: int) -> None:
        """Nobody waits for it any more."""
        self._bytes -= self.sent.pop(attempt, 0)

    def in_the_air(self) -> list[int]:
        """Attempts that were sent and may have got lost on the way."""
        return [attempt for attempt, size in self.sent.items() if size]

    def on_the_ground(self) -> list[int]:
        """Attempts that a manager has, or had."""
        return [attempt for attempt, size in self.sent.items() if not size]
