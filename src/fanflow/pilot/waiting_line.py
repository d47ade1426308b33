"""Attempts as a manager holds them, and the line in which they wait for a worker. Pure."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence

from fanflow.pilot.wire import TaskItem
from fanflow.pilot.worker_records import TaskRecord


class RunTimes:
    """What is known of how long a function runs."""

    __slots__ = ("mean_us",)

    def __init__(self) -> None:
        self.mean_us = -1.0
        """Weighted towards the latest runs; negative before the first."""


class Attempt:
    """One attempt that a manager holds."""

    __slots__ = (
        "estimate_us", "is_cancelled", "is_watched", "item", "number", "record", "reserved", "size", "times",
    )  # fmt: skip

    def __init__(self, item: TaskItem, payload: bytes | None, times: RunTimes) -> None:
        self.number = item.attempt
        self.item = item
        self.times = times
        self.size = 0 if payload is None else len(payload)
        """Bytes that it takes in a packet, its environment aside."""
        self.record: TaskRecord = (item.attempt, item.function, payload, item.environment)
        self.estimate_us = 0.0
        """What it counted for when it was sent to a worker."""
        self.is_cancelled = False
        self.is_watched = item.walltime_ms > 0 or item.memory_bytes > 0
        """Whether something has to be done while it runs."""
        self.reserved: Sequence[int] = ()
        """Slots that are kept idle while it runs."""


class WaitingLine:
    """By priority, then in order of arrival; what is put back comes first in its lane."""

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Attempt]] = {}
        self._order: list[int] = []
        """Priorities of the lanes that are not empty; the most urgent last."""
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def append(self, attempt: Attempt) -> None:
        """Wait behind all of the same priority."""
        self._lane(attempt.item.priority).append(attempt)
        self._waiting += 1

    def put_back(self, attempts: Iterable[Attempt]) -> None:
        """Wait, in this order, before all of the same priority."""
        for attempt in reversed(list(attempts)):
            self._lane(attempt.item.priority).appendleft(attempt)
            self._waiting += 1

    def _lane(self, priority: int) -> deque[Attempt]:
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
            insort(self._order, priority, key=int.__neg__)
        return lane

    def first(self) -> Attempt:
        """The next; there must be one."""
        return self._lanes[self._order[-1]][0]

    def take(self) -> Attempt:
        """Remove the next; there must be one."""
        priority = self._order[-1]
        lane = self._lanes[priority]
        attempt = lane.popleft()
        self._waiting -= 1
        if not lane:
            del self._lanes[priority]
            self._order.pop()
        return attempt

    def remove(self, numbers: set[int]) -> list[Attempt]:
        """Remove those of these that wait."""
        removed: list[Attempt] = []
        for priority, lane in list(self._lanes.items()):
            found = [attempt for attempt in lane if attempt.number in numbers]
            if found:
                removed += found
                kept = deque(attempt for attempt in lane if attempt.number not in numbers)
                if kept:
                    self._lanes[priority] = kept
                else:
                    del self._lanes[priority]
                    self._order.remove(priority)
        self._waiting -= len(removed)
        return removed

    def clear(self) -> list[Attempt]:
        """Remove all, in their order."""
        return [self.take() for _ in range(self._waiting)]
