"""A loop that really turns, in a thread of its own: what the kernel thread is to an executor."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from fanflow.loop import KernelLoop, LoopTimer

T = TypeVar("T")


class LiveLoop:
    """Runs calls, timers and descriptors in one thread, and notes who breaks the rules of the seam.

    Use it as a context manager. `call` is for the test's thread; the methods of the `Loop` seam are
    for the loop's own thread, except `wake`.
    """

    def __init__(self) -> None:
        self._loop = KernelLoop()
        self._calls: deque[Callable[[], None]] = deque()
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
        self._loop.close()

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

    def watch(self, source: object, on_ready: Callable[[], None]) -> None:
        self._check_thread("watch")
        self._loop.watch(source, lambda: self._guard(on_ready))

    def unwatch(self, source: object) -> None:
        self._check_thread("unwatch")
        self._loop.unwatch(source)

    def call_at(self, when: float, function: Callable[[], None]) -> LoopTimer:
        self._check_thread("call_at")
        return self._loop.call_at(when, lambda: self._guard(function))

    def now(self) -> float:
        self._check_thread("now")
        return self._loop.now()

    def wake(self) -> None:
        self._loop.wake()

    def _check_thread(self, method: str) -> None:
        if threading.current_thread() is not self.thread:
            self._breaches.append(
                f"Loop.{method} was called in thread {threading.current_thread().name!r}; "
                f"only the loop's own thread may do that"
            )

    def _turn(self) -> None:
        while not self._is_stopping:
            self._loop.turn(may_wait=not self._calls)
            while self._calls:
                self._calls.popleft()()

    def _guard(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - an executor's code; the test reports it
            self._breaches.append(f"a call in the loop raised {error!r}")
