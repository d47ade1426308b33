"""The loop of a thread that owns state: descriptors, timers and a wake-up, in one poll."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol, cast

_LONGEST_POLL_MS = 3_600_000
"""A poll ends at least once an hour; longer values overflow some systems' int."""


class _Poll(Protocol):
    """What `select.poll` and `zmq.Poller` have in common; both take POLLIN for "readable"."""

    def register(self, source: object, events: int, /) -> object: ...
    def unregister(self, source: object, /) -> None: ...
    def poll(self, timeout: int | None, /) -> Iterable[tuple[object, int]]: ...


class LoopTimer:
    """A call at a point in time; made by `KernelLoop.call_at`."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        """Forget the call. Twice is no error."""
        self.function = None


class WakeUp:
    """A descriptor that any thread can make readable: an eventfd, or a pipe where there is none."""

    __slots__ = ("_is_open", "_lock", "_read", "_write")

    def __init__(self) -> None:
        self._is_open = True
        self._lock = threading.RLock()  # a signal handler may set it, too
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:  # pragma: no cover - macOS
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Readable since `set` was called, until `clear` is."""
        return self._read

    def set(self) -> None:
        """Make it readable. Any thread; nothing happens once it is closed."""
        # Never to a descriptor that has been closed: its number may be that of somebody's file by now.
        with self._lock, suppress(BlockingIOError):
            if self._is_open:
                os.write(self._write, b"\1\0\0\0\0\0\0\0")

    def clear(self) -> None:
        """Not readable any more."""
        with suppress(BlockingIOError):
            os.read(self._read, 4096)

    def close(self) -> None:
        """Give the descriptor back. Twice is no error."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                for fd in {self._read, self._write}:
                    os.close(fd)


class KernelLoop:
    """Waits for whichever comes first: a wake-up, a readable descriptor, a timer.

    All methods but `wake` are for the kernel thread only.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._wake_up = WakeUp()
        self._poll = cast(_Poll, select.poll())
        self._takes_sockets = False
        self._poll.register(self._wake_up.fileno(), select.POLLIN)
        self._ready: dict[object, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, LoopTimer]] = []
        self._order = itertools.count()

    def wake(self) -> None:
        """Make the poll return. Any thread."""
        self._wake_up.set()

    def watch(self, source: object, on_ready: Callable[[], None]) -> None:
        """Call `on_ready` whenever a descriptor, or a zmq socket, is readable or has failed."""
        if not self._takes_sockets and not isinstance(source, int):
            self._watch_sockets()
        self._ready[source] = on_ready
        self._poll.register(source, select.POLLIN)

    def _watch_sockets(self) -> None:
        """From the first zmq socket on, zmq polls for all: its descriptors tell edges, not levels."""
        import zmq  # programs that stay in one process never pay for it

        self._takes_sockets = True
        self._poll = cast(_Poll, zmq.Poller())
        for source in (self._wake_up.fileno(), *self._ready):
            self._poll.register(source, select.POLLIN)

    def unwatch(self, source: object) -> None:
        """Stop watching."""
        if self._ready.pop(source, None) is not None:
            self._poll.unregister(source)

    def call_at(self, when: float, function: Callable[[], None]) -> LoopTimer:
        """Call once when `now()` has reached `when` (seconds)."""
        timer = LoopTimer(function)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def turn(self, *, may_wait: bool) -> None:
        """Wait for something, unless there is work already, and call what it asks for."""
        for source, _ in self._poll.poll(self._patience_ms() if may_wait else 0):
            if source == self._wake_up.fileno():
                self._wake_up.clear()
            elif source in self._ready:
                self._ready[source]()
        self._run_timers()

    def _patience_ms(self) -> int | None:
        while self._timers and self._timers[0][2].function is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        milliseconds = (self._timers[0][0] - self.now()) * 1000
        return max(0, min(_LONGEST_POLL_MS, int(milliseconds) + 1))

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now():
            _, _, timer = heapq.heappop(self._timers)
            function, timer.function = timer.function, None
            if function is not None:
                function()

    def close(self) -> None:
        """Give the descriptors back. The loop turns no more."""
        self._wake_up.close()
