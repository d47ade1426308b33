"""Attempts that wait at the interchange: by priority, then in the order in which they came. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable

from fanflow.pilot.wire import TaskItem

Pieces = list[bytes | memoryview]


class Parcel:
    """Some attempts on their way to one manager."""

    __slots__ = ("items", "large", "parts")

    def __init__(self) -> None:
        self.items: list[TaskItem] = []
        self.parts: list[bytes] = []
        """Small payloads in the order of the items; empty for large ones."""
        self.large: list[tuple[int, Pieces]] = []
        """Attempts with large payloads, and those."""

    def attempts(self) -> list[int]:
        """Their numbers."""
        return [item.attempt for item in self.items]

    def functions(self) -> set[int]:
        """Numbers of their functions."""
        return {item.function for item in self.items}

    def blob(self) -> bytes:
        """The small payloads as one frame."""
        return b"".join(self.parts)


class _Batch:
    """What came in one message, as long as some of it waits."""

    __slots__ = ("items", "next", "parts")

    def __init__(self, items: list[TaskItem], parts: list[bytes]) -> None:
        self.items, self.parts, self.next = items, parts, 0


class Backlog:
    """The queue. Taking a hundred attempts costs a few slices, not a hundred steps."""

    def __init__(self) -> None:
        self._batches: dict[int, deque[_Batch]] = {}
        self._priorities: list[int] = []
        self._large: dict[int, Pieces] = {}
        self._cancelled: set[int] = set()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(
        self,
        items: list[TaskItem],
        parts: Iterable[memoryview | bytes],
        large: Iterable[tuple[int, Pieces]] = (),
    ) -> None:
        """Queue what came in one message."""
        self._large.update(large)
        # Copies: a slice of the frame would keep the whole frame until the last of it has gone.
        copies = [bytes(part) for part in parts]
        self._waiting += len(items)
        by_priority: dict[int, _Batch] = {}
        for item in items:
            if item.priority != items[0].priority:
                break
        else:
            if items:
                self._append(items[0].priority, _Batch(items, copies))
            return
        for item, part in zip(items, copies, strict=True):
            batch = by_priority.setdefault(item.priority, _Batch([], []))
            batch.items.append(item)
            batch.parts.append(part)
        for priority, batch in by_priority.items():
            self._append(priority, batch)

    def _append(self, priority: int, batch: _Batch) -> None:
        queue = self._batches.get(priority)
        if queue is None:
            queue = self._batches[priority] = deque()
            heapq.heappush(self._priorities, priority)
        queue.append(batch)

    def cancel(self, attempts: Iterable[int]) -> set[int]:
        """Drop these; returns those that may be elsewhere: all, since the queue is not searched."""
        wanted = set(attempts)
        if self._waiting:
            self._cancelled |= wanted
        return wanted

    def remove(self, attempts: set[int]) -> set[int]:
        """Take these out wherever they stand; returns those that were there. Looks at everything."""
        found: set[int] = set()
        for queue in self._batches.values():
            for batch in queue:
                rest = range(batch.next, len(batch.items))
                kept = [place for place in rest if batch.items[place].attempt not in attempts]
                if len(kept) < len(rest):
                    found.update(batch.items[place].attempt for place in rest)
                    found.difference_update(batch.items[place].attempt for place in kept)
                    batch.items = [batch.items[place] for place in kept]
                    batch.parts = [batch.parts[place] for place in kept]
                    batch.next = 0
                    self._waiting -= len(rest) - len(kept)
        for attempt in found:
            self._large.pop(attempt, None)
        found -= self._cancelled
        self._cancelled -= attempts
        return found

    def take(self, most: int) -> Parcel:
        """The next attempts, at most so many."""
        parcel = Parcel()
        while most > 0 and self._priorities:
            queue = self._batches[self._priorities[0]]
            while most > 0 and queue:
                batch = queue[0]
                end = min(batch.next + most, len(batch.items))
                most -= self._move(batch, end, parcel)
                batch.next = end
                if end == len(batch.items):
                    queue.popleft()
            if not queue:
                del self._batches[heapq.heappop(self._priorities)]
        if not self._waiting:
            self._cancelled.clear()
        return parcel

    def _move(self, batch: _Batch, end: int, parcel: Parcel) -> int:
        """Put the next of a batch into the parcel, but for those that were cancelled. Returns how many."""
        items, parts = batch.items[batch.next : end], batch.parts[batch.next : end]
        self._waiting -= len(items)
        if self._cancelled:
            kept = [place for place, item in enumerate(items) if item.attempt not in self._cancelled]
            if len(kept) < len(items):
                for item in items:
                    if item.attempt in self._cancelled:
                        self._cancelled.discard(item.attempt)
                        self._large.pop(item.attempt, None)
                items, parts = [items[place] for place in kept], [parts[place] for place in kept]
        parcel.items += items
        parcel.parts += parts
        if self._large:
            for item in items:
                pieces = self._large.pop(item.attempt, None)
                if pieces is not None:
                    parcel.large.append((item.attempt, pieces))
        return len(items)
