"""Walltime in threads, which nothing can kill: an exception is raised inside, and the future ends on time."""

from __future__ import annotations

import ctypes
import heapq
import itertools
import logging
import threading
import time
from typing import Final

from fanflow.errors import AppTimeout
from fanflow.model.attempts import AttemptEvent, Launch, Raised
from fanflow.spi.executor import EventSink

_log = logging.getLogger("fanflow")

_FIRST_PURGE: Final = 256
"""Entries kept before those of attempts that have ended are looked for."""

GRACE_S: Final = 1.0
"""Seconds after the walltime in which the function may end by itself; then only its future ends."""


class Limit:
    """One attempt with a walltime, in one thread.

    Args:
        launch: The attempt; its walltime is set.
        ident: The thread that runs it.
        sink: Where the outcome goes if the thread does not end in time.
    """

    def __init__(self, launch: Launch, ident: int, sink: EventSink) -> None:
        # Not the launch: a limit may be kept until its walltime is over, the arguments must not be.
        self._attempt = launch.attempt
        self._name = f"task {launch.task} ({launch.name})"
        self._app = launch.name
        self.seconds = launch.walltime or 0.0
        self._ident = ident
        self._sink = sink
        self._lock = threading.Lock()
        self.ended = False
        self._injected = False
        self._armed = False
        self._due = False
        self._reported = False

    def _timeout(self) -> AppTimeout:
        return AppTimeout(f"App {self._app} exceeded walltime: {self.seconds} seconds")

    def arm(self) -> None:
        """From here on the exception may be raised. Worker thread.

        Raises:
            AppTimeout: The walltime is over already.
        """
        with self._lock:
            self._armed = True
            due = self._due
        if due:
            self._injected = True
            raise AppTimeout

    def expire(self) -> None:
        """The walltime is over: raise inside the thread. Watchdog thread."""
        with self._lock:
            if not self._armed:
                self._due = True
            elif not self.ended:
                self._injected = True
                _raise_in(self._ident, AppTimeout)

    def give_up(self) -> None:
        """The grace is over too: end the future; the thread goes on in code that cannot be interrupted."""
        with self._lock:
            if self.ended:
                return
            self._reported = True
        _log.warning("%s goes on after its walltime, in code that a thread cannot leave", self._name)
        self._sink([Raised(self._attempt, self._timeout())])

    def end(self, event: AttemptEvent) -> AttemptEvent | None:
        """The thread is through: what to report, or None if that has been done. Worker thread."""
        while True:
            try:
                with self._lock:
                    self.ended = True
                    if self._injected:
                        _raise_in(self._ident, None)
                if self._injected:
                    _settle_interpreter(self._ident)
            except AppTimeout:
                continue  # the injected exception came only now
            break
        if self._reported:
            return None
        if self._injected and isinstance(event, Raised) and isinstance(event.error, AppTimeout):
            timeout = self._timeout()
            timeout.__cause__ = event.error
            return Raised(self._attempt, timeout)
        return event


def _raise_in(ident: int, exception: type[BaseException] | None) -> None:
    """Make a thread raise as soon as it executes Python code; None takes that back."""
    target = ctypes.py_object(exception) if exception is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), target)


def _settle_interpreter(ident: int) -> None:
    """Let the calling thread take one exception, after one may have been taken back.

    Taking it back leaves the interpreter's request to look for one in force, before Python 3.13 for
    all threads and for ever: code runs slower, and under a tracer Python 3.11 hangs at the next call.
    """
    try:
        _raise_in(ident, AppTimeout)
        while True:
            pass
    except AppTimeout:
        return


class Watchdog:
    """One thread per executor, started by its first attempt with a walltime."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._due: list[tuple[float, int, bool, Limit]] = []
        self._order = itertools.count()
        self._purge_at = _FIRST_PURGE
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, limit: Limit) -> None:
        """Watch an attempt that is about to start. Worker threads."""
        with self._changed:
            if self._thread is None:
                name = f"fanflow-walltime-{self._label}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            if len(self._due) >= self._purge_at:
                self._due = [entry for entry in self._due if not entry[3].ended]
                heapq.heapify(self._due)
                self._purge_at = max(_FIRST_PURGE, 2 * len(self._due))
            self._push(time.monotonic() + limit.seconds, limit, is_last=False)
            self._changed.notify()

    def _push(self, when: float, limit: Limit, *, is_last: bool) -> None:
        heapq.heappush(self._due, (when, next(self._order), is_last, limit))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                when, _, is_last, limit = heapq.heappop(self._due)
                if not is_last:
                    self._push(when + GRACE_S, limit, is_last=True)
            if is_last:
                limit.give_up()
            else:
                limit.expire()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(1.0)
