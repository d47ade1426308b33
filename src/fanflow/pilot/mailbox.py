"""Lets any thread have something done in the thread that owns an engine."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Final, TypeVar, cast

from fanflow.errors import ExecutorError, WaitInCallbackError
from fanflow.loop import WakeUp
from fanflow.spi.executor import Loop

T = TypeVar("T")

ANSWER_S: Final = 10.0
"""Seconds after which an owner that does not answer is reported instead of waited for."""


class Answer(Future[T]):
    """An answer that somebody waits for; whatever comes after the first one is dropped."""

    def set_result(self, result: T) -> None:
        with suppress(InvalidStateError):
            super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        with suppress(InvalidStateError):
            super().set_exception(exception)


class Mailbox:
    """Calls for the owning thread, in the order in which they came. Any thread may post.

    Args:
        label: Of the executor, for messages.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._wake_up = WakeUp()
        self._calls: deque[Callable[[], None]] = deque()
        self._owner: int | None = None
        self._awaited: set[Future[object]] = set()
        self._lock = threading.Lock()
        self._is_closed = False

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
            ExecutorError: The mailbox is closed, or is closed meanwhile.
            TimeoutError: There was no answer within `ANSWER_S` seconds.
        """
        if threading.get_ident() == self._owner:
            raise WaitInCallbackError(what)
        answer: Answer[T] = Answer()

        def begin_safely() -> None:
            try:
                begin(answer)
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked
                answer.set_exception(error)

        waits = cast("Future[object]", answer)
        with self._lock:
            if self._is_closed:
                raise self._refusal()
            self._awaited.add(waits)
        self.post(begin_safely)
        try:
            return answer.result(ANSWER_S)
        except TimeoutError:
            raise TimeoutError(f"no answer to {what} within {ANSWER_S:.0f} s") from None
        finally:
            with self._lock:
                self._awaited.discard(waits)

    def close(self, loop: Loop | None = None) -> None:
        """Run nothing more. Idempotent; the owning thread, or anybody if it was never opened."""
        if loop is not None:
            loop.unwatch(self._wake_up.fileno())
        with self._lock:
            self._is_closed = True
            self._wake_up.close()
            awaited = list(self._awaited)
        self._calls.clear()
        for answer in awaited:
            answer.set_exception(self._refusal())

    def _refusal(self) -> ExecutorError:
        return ExecutorError(self._label, "it has ended")

    def _run(self) -> None:
        self._owner = threading.get_ident()
        with self._lock:
            if self._is_closed:  # by another thread, since this one did not answer
                return
            self._wake_up.clear()
        while self._calls and not self._is_closed:
            self._calls.popleft()()
