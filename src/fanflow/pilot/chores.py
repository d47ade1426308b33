"""One thread for what may block or is the user's: provider commands, error handlers."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_log = logging.getLogger("fanflow.pilot")

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]
"""Has something done in the kernel thread."""


class Chores:
    """Does one thing after the other. Its thread begins with the first.

    Args:
        post: Brings answers into the kernel thread.
        name: Of the thread.
    """

    def __init__(self, post: Post, name: str) -> None:
        self._post, self._name = post, name
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], T], on_done: Callable[[T | Exception], None]) -> None:
        """Do this there, then call `on_done` here with what it returned or raised. Kernel thread."""

        def step() -> None:
            try:
                answer: T | Exception = work()
            except Exception as error:  # noqa: BLE001 - anybody's code; the answer says what it raised
                answer = error
            self._post(lambda: on_done(answer))

        self._todo.put(step)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Take nothing more; what was taken is done. Kernel thread."""
        self._todo.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the end of the thread; False if what it does hangs. Not the kernel thread."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (step := self._todo.get()) is not None:
            step()
