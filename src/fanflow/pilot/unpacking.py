"""Turns payloads into outcomes: harmless ones at once, the others beside the kernel thread."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Final, NamedTuple

from fanflow.codec.buffers import Pieces, whole
from fanflow.codec.calls import unpack_outcome
from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent, Lost
from fanflow.spi.executor import EventSink, Loop

_log = logging.getLogger("fanflow.pilot")

_STACK_GLOBAL: Final = b"\x93"
"""Pickles without this name no class or function: unpickling them runs nobody's code."""

_SOON_BYTES: Final = 1 << 12
"""Longer ones may take a while."""

_STUCK_S: Final = 0.5
"""A result that takes longer, or up to twice as long, does not hold up the others any more."""

_MOST_THREADS: Final = 32
_CLOSE_S: Final = 1.0

Report = Callable[[AttemptEvent], None]


class _Job(NamedTuple):
    attempt: AttemptId
    name: str
    pieces: Pieces
    report: Report


class _Lane:
    """One thread."""

    def __init__(self, run: Callable[[_Lane], None]) -> None:
        self.job: _Job | None = None
        self.seen: _Job | None = None
        """What it was at when it was last looked at."""
        self.is_replaced = False
        """Another does the rest: it ends after what it is at."""
        self.thread = threading.Thread(target=run, args=(self,), name="fanflow-unpacking", daemon=True)


class Unpacker:
    """Unpickles outcomes. The first that might take long or run user code starts a thread.

    Unpickling may call anybody's code, which may never return: another thread then does the rest.

    Args:
        sink: Where the threads report.
        loop: The kernel thread's.
    """

    def __init__(self, sink: EventSink, loop: Loop) -> None:
        self._sink, self._loop = sink, loop
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lanes: list[_Lane] = []
        self._unreported: set[AttemptId] = set()
        self._is_watching = self._is_closed = False

    def unpack(
        self,
        attempt: AttemptId,
        name: str,
        payload: bytes | memoryview,
        pieces: Pieces | None,
        report: Report | None = None,
    ) -> AttemptEvent | None:
        """The outcome, or None if a thread reports it later. Kernel thread.

        Args:
            attempt: Whose outcome it is.
            name: The app's name, for messages.
            payload: A small outcome.
            pieces: A large one, instead.
            report: How the thread reports it; None: to the sink.
        """
        if pieces is None:
            data = bytes(payload)
            if len(data) <= _SOON_BYTES and _STACK_GLOBAL not in data and data[:1] != b"E":
                return unpack_outcome(data, attempt, name)
            pieces = (data,)
        self._unreported.add(attempt)
        self._queue.put(_Job(attempt, name, pieces, report or self._report))
        if not self._lanes:
            self._add_lane()
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_at(self._loop.now() + _STUCK_S, self._watch)
        return None

    def _report(self, event: AttemptEvent) -> None:
        self._sink([event])

    def _add_lane(self) -> None:
        lane = _Lane(self._run)
        self._lanes.append(lane)
        lane.thread.start()

    def _watch(self) -> None:
        """Give the others a thread of their own when one result blocks. Kernel thread."""
        if self._is_closed:
            return
        self._lanes = [lane for lane in self._lanes if lane.thread.is_alive()]
        lane = self._lanes[-1]
        job = lane.job
        if job is not None and job is lane.seen and len(self._lanes) < _MOST_THREADS:
            _log.warning(
                "the result of app %r (attempt %d) has been unpickled for %.1f s and goes on; "
                "other results no longer wait for it",
                job.name, job.attempt, _STUCK_S,
            )  # fmt: skip
            lane.is_replaced = True
            self._add_lane()
        lane.seen = job
        self._is_watching = job is not None or not self._queue.empty()
        if self._is_watching:
            self._loop.call_at(self._loop.now() + _STUCK_S, self._watch)

    def _run(self, lane: _Lane) -> None:
        while not lane.is_replaced and (job := self._queue.get()) is not None:
            lane.job = job
            event = unpack_outcome(whole(job.pieces), job.attempt, job.name)
            lane.job = None
            if self._take(job.attempt):
                job.report(event)
            del job, event

    def _take(self, attempt: AttemptId) -> bool:
        """Whether nobody has reported it before."""
        try:
            self._unreported.remove(attempt)
        except KeyError:
            return False
        return True

    def close(self) -> None:
        """End the threads, when they have reported what they have; what blocks is left behind, as lost."""
        self._is_closed = True
        for _ in self._lanes:
            self._queue.put(None)
        deadline = time.monotonic() + _CLOSE_S
        for lane in self._lanes:
            lane.thread.join(max(0.0, deadline - time.monotonic()))
        lost: list[AttemptEvent] = [
            Lost(attempt, CancelledError(f"the result of attempt {attempt} was not unpickled in time"))
            for attempt in list(self._unreported)
            if self._take(attempt)
        ]
        if lost:
            self._sink(lost)
