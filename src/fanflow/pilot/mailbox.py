"""Lets any thread have something done in the thread that owns an engine."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from fanflow.errors import WaitInCallbackError
from fanflow.loop import WakeUp
from fanflow.spi.executor import Loop

T = TypeVar("T")

ANSWER_S: Final = 10.0
"""Seconds after which an owner that does not answer is reported instead of waited for."""


class Mailbox:
    """Calls for the owning thread, in the order in which they came. Any thread may post."""

    def __init__(self) -> None:
        self._wake_up = WakeUp()
        self._calls: deque[Callable[[], None]] = deque()
        self._owner: int | None = None

    def open(self, loop: Loop) -> None:
        """Begin to run what is posted; the thread that turns the loop is the owner."""
        loop.watch(self._wake_up.fileno(), self._run)
        self._wake_up.set()  # the first turn tells who the owner is

    def post(self, call: Callable[[], None]) -> None:
        """Have this done soon. Nothing happens once the mailbox is closed."""
        self._calls.append(call)
        self._wake_up.set()

    def ask(self, what: str, begin: Callable[[Future[T]], None]) -> T:
        """Have a question begun in the owning thread, and wait for its answer.

        Args:
            what: The question, for messages.
            begin: Called in the owning thread with the future that is to hold the answer.

        Raises:
            WaitInCallbackError: The owning thread itself asks; it cannot wait for itself.
            TimeoutError: There was no answer within `ANSWER_S` seconds.
        """
        if threading.get_ident() == self._owner:
            raise WaitInCallbackError(what)
        answer: Future[T] = Future()

        def begin_safely() -> None:
            try:
                begin(answer)
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked
                answer.set_exception(error)

        self.post(begin_safely)
        try:
            return answer.result(ANSWER_S)
        except TimeoutError:
            raise TimeoutError(f"no answer to {what} within {ANSWER_S:.0f} s") from None

    def close(self, loop: Loop | None = None) -> None:
        """Run nothing more. Idempotent; the owning thread, or anybody if it was never opened."""
        if loop is not None:
            loop.unwatch(self._wake_up.fileno())
        self._wake_up.close()

    def _run(self) -> None:
        self._owner = threading.get_ident()
        self._wake_up.clear()
        while self._calls:
            self._calls.popleft()()
