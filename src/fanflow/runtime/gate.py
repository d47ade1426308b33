"""Back-pressure: ordinary callers wait while too many tasks are open."""

from __future__ import annotations

import logging
import threading

_log = logging.getLogger("fanflow")

_SAY_EVERY_S = 30.0
"""No silent wait is longer."""


class Gate:
    """Counts open tasks against a limit.

    Args:
        limit: Most tasks that may be open when an ordinary caller adds one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._closed = False
        self._changed = threading.Condition()

    def enter(self, *, may_wait: bool) -> None:
        """Count one task; wait for room first if the caller may wait. Any thread but the kernel's."""
        with self._changed:
            while may_wait and self._open >= self._limit and not self._closed:
                if not self._changed.wait(_SAY_EVERY_S):
                    _log.info(
                        "a caller waits for room: %d tasks are open, max_pending=%d", self._open, self._limit
                    )
            self._open += 1

    def leave(self, tasks: int) -> None:
        """So many tasks have ended. Kernel thread."""
        with self._changed:
            before, self._open = self._open, self._open - tasks
            if before >= self._limit > self._open:
                self._changed.notify_all()

    def close(self) -> None:
        """Let everybody pass: the kernel refuses them itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
