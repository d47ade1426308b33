"""A clock and a loop that stand still until the test moves them."""

from __future__ import annotations

import heapq
import itertools
import select
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType


class ManualClock:
    """A clock that goes only when told. Any thread may read it; one thread moves it.

    Args:
        monotonic: Reading at the start, in seconds.
        wall: Wall-clock reading at the start, in seconds since the epoch.
    """

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, *, monotonic: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks.

        Raises:
            ValueError: `seconds` is negative; a monotonic clock never goes back.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds}): a monotonic clock does not go back; use step_wall()")
        self._monotonic += seconds
        self._wall += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or a time server does."""
        self._wall += seconds


class ManualTimer:
    """A call that `ManualLoop` makes when its clock reaches `when`."""

    __slots__ = ("function", "is_cancelled", "when")

    def __init__(self, when: float, function: Callable[[], None]) -> None:
        self.when = when
        self.function = function
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualLoop:
    """A loop that turns only when the test says so, in the thread that says so.

    Args:
        clock: The clock that its timers follow; a new one unless given.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock if clock is not None else ManualClock()
        self._watched: dict[object, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._wakes = 0

    @property
    def watched(self) -> Mapping[object, Callable[[], None]]:
        """What is watched now, with what is called for each."""
        return MappingProxyType(self._watched)

    @property
    def timers(self) -> list[ManualTimer]:
        """Timers that are neither due nor cancelled, the next one first."""
        return [timer for _, _, timer in sorted(self._timers) if not timer.is_cancelled]

    @property
    def wakes(self) -> int:
        """How often `wake` was called."""
        with self._lock:
            return self._wakes

    def watch(self, source: object, on_ready: Callable[[], None]) -> None:
        self._watched[source] = on_ready

    def unwatch(self, source: object) -> None:
        self._watched.pop(source, None)

    def call_at(self, when: float, function: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(when, function)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def now(self) -> float:
        return self.clock.monotonic()

    def wake(self) -> None:
        with self._lock:
            self._wakes += 1

    def advance(self, seconds: float) -> int:
        """Let time pass and make the calls that come due, each at its own time. Returns how many."""
        end = self.now() + seconds
        calls = 0
        while self._timers and self._timers[0][0] <= end:
            self.clock.advance(max(self._timers[0][0] - self.now(), 0.0))
            calls += self._fire_next()
        self.clock.advance(end - self.now())
        return calls

    def run_pending(self) -> int:
        """Make the calls that are due now: timers, and descriptors that are readable. Returns how many."""
        calls = 0
        # Only what is due at the start: a timer that sets itself again for "now" must not hang the test.
        due = sum(when <= self.now() for when, _, _ in self._timers)
        for _ in range(due):
            calls += self._fire_next()
        return calls + self._serve_descriptors()

    def _fire_next(self) -> int:
        _, _, timer = heapq.heappop(self._timers)
        if timer.is_cancelled:
            return 0
        timer.function()
        return 1

    def _serve_descriptors(self) -> int:
        poller = select.poll()
        for fd in (source for source in self._watched if isinstance(source, int)):
            poller.register(fd, select.POLLIN)
        calls = 0
        for fd, _ in poller.poll(0):
            on_ready = self._watched.get(fd)  # the call before may have ended the watch
            if on_ready is not None:
                on_ready()
                calls += 1
        return calls
