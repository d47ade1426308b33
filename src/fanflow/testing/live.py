"""A loop that really turns, in a thread of its own: what the kernel thread is to an executor."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class LiveTimer:
    """A call that `LiveLoop` makes in its thread when the time has come."""

    __slots__ = ("function", "is_cancelled")

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class LiveLoop:
    """Runs calls, timers and descriptors in one thread, and notes who breaks the rules of the seam.

    Use it as a context manager. `call` is for the test's thread; the methods of the `Loop` seam are
    for the loop's own thread, except `wake`.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._selector.register(self._receiver, selectors.EVENT_READ, self._drain_wakes)
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, LiveTimer]] = []
        self._order = itertools.count()
        self._is_stopping = False
        self.thread = threading.Thread(target=self._turn, name="fanflow-testing-loop", daemon=True)
        """The loop's own thread."""
        self._breaches: list[str] = []

    @property
    def breaches(self) -> list[str]:
        """What was called from a wrong thread or raised in the loop, one sentence each."""
        return list(self._breaches)

    def __enter__(self) -> LiveLoop:
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_stopping = True
        self.wake()
        self.thread.join(timeout=10)
        if self.thread.is_alive():  # something blocks it; its descriptors are still in use
            return
        self._selector.close()
        self._receiver.close()
        self._sender.close()

    def call(self, function: Callable[[], T], deadline_s: float) -> T:
        """Call in the loop's thread and give back what it returns or raises.

        Raises:
            AssertionError: The call has not returned in time.
        """
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                answer.set_exception(error)

        self._calls.append(run)
        self.wake()
        try:
            return answer.result(timeout=deadline_s)
        except TimeoutError:
            if answer.done():
                raise
            raise AssertionError(f"a call in the loop's thread has blocked it for {deadline_s:g} s") from None

    def watch(self, fd: int, on_ready: Callable[[], None]) -> None:
        self._check_thread("watch")
        self.unwatch(fd)
        self._selector.register(fd, selectors.EVENT_READ, on_ready)

    def unwatch(self, fd: int) -> None:
        self._check_thread("unwatch")
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def call_at(self, when: float, function: Callable[[], None]) -> LiveTimer:
        self._check_thread("call_at")
        timer = LiveTimer(function)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def now(self) -> float:
        self._check_thread("now")
        return time.monotonic()

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full means it will wake; closed means it has ended
            self._sender.send(b"\0")

    def _check_thread(self, method: str) -> None:
        if threading.current_thread() is not self.thread:
            self._breaches.append(
                f"Loop.{method} was called in thread {threading.current_thread().name!r}; "
                f"only the loop's own thread may do that"
            )

    def _turn(self) -> None:
        while not self._is_stopping:
            for key, _ in self._selector.select(self._seconds_to_next_timer()):
                on_ready: Callable[[], None] = key.data
                self._guard(on_ready)
            while self._calls:
                self._calls.popleft()()
            while self._timers and self._timers[0][0] <= time.monotonic():
                _, _, timer = heapq.heappop(self._timers)
                if not timer.is_cancelled:
                    self._guard(timer.function)

    def _seconds_to_next_timer(self) -> float | None:
        if not self._timers:
            return None
        return max(self._timers[0][0] - time.monotonic(), 0.0)

    def _guard(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - an executor's code; the test reports it
            self._breaches.append(f"a call in the loop raised {error!r}")

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass
