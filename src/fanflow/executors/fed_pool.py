"""The running half of the adapter: one thread owns the pool, feeds it and reports what comes of it."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from typing import NamedTuple

from fanflow.codec.calls import pack_call, run_packed, unpack_outcome
from fanflow.codec.exceptions import as_task_error, shown_traceback
from fanflow.codec.worker_flag import mark_worker_thread
from fanflow.errors import AppTimeout, ExecutorError, InvalidResourceSpecification
from fanflow.executors.foreign_pool import ForeignPool
from fanflow.ids import AttemptId, ExecutorLabel, TaskId
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Launch, Lost, Raised, Returned, Started
from fanflow.spi.executor import EventSink, Loop

_LEAST_WINDOW = 16
_WINDOW_PER_WORKER = 4
_MOST_BREAKS = 20
"""Pools that may break one after the other, without one attempt having ended in any of them."""

_STRIKES = 2
"""Broken pools that a task may have been in before it runs alone."""

_MOST_SUSPECTS = 10_000
_SLACK_S = 0.2
"""How long `close` waits beyond its deadline for the feeding thread to report what is left."""


class _Taken(NamedTuple):
    batch: tuple[Launch, ...]


class _Cancelled(NamedTuple):
    attempts: tuple[AttemptId, ...]


class _Began(NamedTuple):
    attempt: AttemptId
    at: float


class _Done(NamedTuple):
    attempt: AttemptId
    future: Future[object]


class _Closed(NamedTuple):
    drain: bool
    until: float


_Message = _Taken | _Cancelled | _Began | _Done | _Closed


class _Handed(NamedTuple):
    """An attempt that is in the pool."""

    future: Future[object]
    task: TaskId
    name: str
    walltime: float | None
    generation: int


class _PoolThread(NamedTuple):
    """A thread of an in-process pool while it runs an attempt: what waits for tasks there is known by it."""

    label: str
    current: Launch


class FedPool:
    """Implements the `Executor` seam over a foreign pool.

    The feeding thread owns everything but `_open` and `_reporting`; everyone else sends it messages. It
    packs arguments and may be blocked by the pool's `submit`, so that the kernel thread never is.
    """

    kills = False
    stops_commands = False

    def __init__(self, label: ExecutorLabel, pool: ForeignPool, *, serialize: bool, capacity: int) -> None:
        self.label = label
        self.capacity = capacity
        self._pool = pool
        self._serialize = serialize
        self._window = max(_LEAST_WINDOW, _WINDOW_PER_WORKER * capacity)
        self._events: EventSink | None = None
        self._thread: threading.Thread | None = None
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._open: dict[AttemptId, None] = {}  # taken, and not reported; its own lock is the interpreter's
        self._reporting = threading.Lock()  # guards the step from open to reported
        self._has_ended = False
        self._failure: BaseException | None = None
        self._closing: _Closed | None = None
        self._waiting: OrderedDict[AttemptId, Launch] = OrderedDict()
        self._handed: dict[AttemptId, _Handed] = {}
        self._due: dict[AttemptId, float] = {}  # when the walltime of what is in the pool ends
        self._strikes: dict[TaskId, int] = {}
        self._breaks = 0  # since an attempt ended
        self._news: list[AttemptEvent | ExecutorFailed] = []

    # The seam ------------------------------------------------------------------------------------

    def start(self, events: EventSink, loop: Loop) -> None:
        self._events = events
        self._thread = threading.Thread(target=self._feed, name=f"fanflow-{self.label}", daemon=True)
        self._thread.start()

    def submit(self, batch: Sequence[Launch]) -> None:
        self._open.update(dict.fromkeys(launch.attempt for launch in batch))
        self._inbox.put(_Taken(tuple(batch)))
        if self._has_ended:
            self._report_rest()

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        self._inbox.put(_Cancelled(tuple(attempts)))

    def close(self, *, drain: bool, deadline: float) -> None:
        if self._thread is None:
            if not self._has_ended:
                self._has_ended = True
                self._pool.end(kill=True)
            return
        self._inbox.put(_Closed(drain, time.monotonic() + deadline))
        self._thread.join(max(deadline, 0.0) + _SLACK_S)
        self._has_ended = True
        self._report_rest()

    # The feeding thread --------------------------------------------------------------------------

    def _feed(self) -> None:
        try:
            while not self._is_over():
                for message in self._take():
                    self._handle(message)
                self._expire()
                self._hand_over()
                self._flush()
            self._end()
        except Exception as error:  # noqa: BLE001 - a bug of ours or an odd pool: nobody may wait for ever
            self._fail(error)
            self._flush()
        self._has_ended = True
        self._report_rest()

    def _is_over(self) -> bool:
        closing = self._closing
        if closing is None:
            return False
        return not (self._waiting or self._handed) or time.monotonic() >= closing.until

    def _take(self) -> list[_Message]:
        """All messages that are there; waits for the first until something is due."""
        times = list(self._due.values())
        if self._closing is not None:
            times.append(self._closing.until)
        timeout = max(min(times) - time.monotonic(), 0.0) if times else None
        messages: list[_Message] = []
        try:
            messages.append(self._inbox.get(timeout=timeout))
            while True:
                messages.append(self._inbox.get_nowait())
        except queue.Empty:
            return messages

    def _handle(self, message: _Message) -> None:
        match message:
            case _Taken(batch):
                for launch in batch:
                    self._on_taken(launch)
            case _Cancelled(attempts):
                for attempt in attempts:
                    self._on_cancelled(attempt)
            case _Began(attempt, at):
                handed = self._handed.get(attempt)
                if handed is not None and handed.walltime is not None:
                    self._due[attempt] = at + handed.walltime
                self._news.append(Started(attempt))
            case _Done(attempt, future):
                self._on_done(attempt, future)
            case _Closed(drain, _):
                self._closing = message
                if not drain:
                    self._drop_all()

    def _on_taken(self, launch: Launch) -> None:
        if launch.resources:
            error = InvalidResourceSpecification(
                launch.resources, f"Executor {self.label!r} runs a foreign pool, which takes no resources."
            )
            self._news.append(Raised(launch.attempt, error))
        elif self._failure is not None:
            self._news.append(Lost(launch.attempt, self._failure))
        elif self._closing is not None and not self._closing.drain:
            self._news.append(Lost(launch.attempt, self._closed_error()))
        else:
            self._waiting[launch.attempt] = launch

    def _on_cancelled(self, attempt: AttemptId) -> None:
        if self._waiting.pop(attempt, None) is not None:
            self._news.append(Lost(attempt, CancelledError()))
        elif attempt in self._handed:
            self._handed[attempt].future.cancel()  # its callback reports it, if that has worked

    def _on_done(self, attempt: AttemptId, future: Future[object]) -> None:
        self._due.pop(attempt, None)
        handed = self._handed.pop(attempt, None)
        if handed is None:
            return
        event = self._outcome(attempt, handed.name, future)
        self._news.append(event)
        if isinstance(event, Lost) and isinstance(event.cause, BrokenExecutor):
            self._add_strike(handed.task)
            if handed.generation == self._pool.generation:
                self._on_broken(event.cause)
        elif not future.cancelled():
            self._breaks = 0
            self._strikes.pop(handed.task, None)

    def _outcome(self, attempt: AttemptId, name: str, future: Future[object]) -> AttemptEvent:
        if future.cancelled():
            return Lost(attempt, CancelledError())
        try:
            value = future.result()
        except BaseException as error:  # noqa: BLE001 - the pool's own, since what we run never raises
            return Lost(attempt, error)
        if isinstance(value, bytes):
            return unpack_outcome(value, attempt, name)
        return value if isinstance(value, Returned | Raised) else Lost(attempt, CancelledError())

    def _expire(self) -> None:
        if not self._due:
            return
        now = time.monotonic()
        for attempt in [attempt for attempt, when in self._due.items() if when <= now]:
            del self._due[attempt]
            handed = self._handed[attempt]  # stays: it keeps a worker of the pool
            error = AppTimeout(f"App {handed.name} exceeded walltime: {handed.walltime} seconds")
            self._news.append(Raised(attempt, error))

    # Into the pool -------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        while self._waiting and self._failure is None:
            attempt, launch = next(iter(self._waiting.items()))
            if len(self._handed) >= self._room_for(launch):
                return
            del self._waiting[attempt]
            self._hand_over_one(launch)
            if self._is_suspect(launch.task):
                return

    def _room_for(self, launch: Launch) -> int:
        """How many attempts may be in the pool, with this one the next."""
        if self._is_suspect(launch.task) or any(
            self._is_suspect(handed.task) for handed in self._suspects_inside()
        ):
            return 1
        if launch.walltime is not None and self._serialize:
            return self.capacity
        return self._window

    def _suspects_inside(self) -> Sequence[_Handed]:
        """A suspect is alone in the pool, so that a look is needed only when one attempt is inside."""
        return list(self._handed.values()) if self._strikes and len(self._handed) == 1 else ()

    def _is_suspect(self, task: TaskId) -> bool:
        return self._strikes.get(task, 0) >= _STRIKES

    def _hand_over_one(self, launch: Launch) -> None:
        attempt = launch.attempt
        generation = self._pool.generation
        try:
            if self._serialize:
                packed = pack_call(launch)
                if not launch.latch.claim():
                    self._news.append(Lost(attempt, CancelledError()))
                    return
                future = self._pool.submit(run_packed, packed)
            else:
                future = self._pool.submit(self._run_here, launch)
        except (BrokenExecutor, RuntimeError) as error:  # it is broken, or has been shut down
            self._news.append(Lost(attempt, error))
            self._on_broken(error)
            return
        except Exception as error:  # noqa: BLE001 - of packing, or the pool's: this attempt's alone
            self._news.append(Raised(attempt, error))
            return
        self._handed[attempt] = _Handed(future, launch.task, launch.name, launch.walltime, generation)
        if self._serialize and launch.walltime is not None:
            self._due[attempt] = time.monotonic() + launch.walltime
        future.add_done_callback(lambda future: self._inbox.put(_Done(attempt, future)))

    def _run_here(self, launch: Launch) -> AttemptEvent | None:
        """Run the attempt in this thread of the pool. None: it was cancelled before."""
        attempt = launch.attempt
        if attempt not in self._open or not launch.latch.claim():
            return None
        self._inbox.put(_Began(attempt, time.monotonic()))
        mark_worker_thread(_PoolThread(self.label, launch))
        try:
            return Returned(attempt, launch.function(*launch.args, **launch.kwargs))
        except BaseException as error:  # noqa: BLE001 - the user's function
            return Raised(attempt, _as_seen_by_its_user(error))
        finally:
            mark_worker_thread(None)

    # Trouble and the end -------------------------------------------------------------------------

    def _add_strike(self, task: TaskId) -> None:
        if len(self._strikes) >= _MOST_SUSPECTS:  # tasks that were given up are never heard of again
            self._strikes.clear()
        self._strikes[task] = self._strikes.get(task, 0) + 1

    def _on_broken(self, error: BaseException) -> None:
        if self._failure is not None:
            return
        self._breaks += 1
        if self._pool.is_ours and self._breaks <= _MOST_BREAKS:
            try:
                self._pool.replace()
            except Exception as trouble:  # noqa: BLE001 - the factory is the user's
                trouble.__cause__ = trouble.__cause__ or error
                self._fail(trouble)
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._waiting.clear()
        self._news += [Lost(attempt, error) for attempt in list(self._open)]
        self._news.append(ExecutorFailed(self.label, error))

    def _drop_all(self) -> None:
        self._news += [Lost(attempt, self._closed_error()) for attempt in self._waiting]
        self._waiting.clear()
        for handed in list(self._handed.values()):
            handed.future.cancel()

    def _end(self) -> None:
        is_late = bool(self._waiting or self._handed)
        if is_late:
            self._drop_all()
            self._flush()
            self._report_rest()
        self._pool.end(kill=is_late)

    def _closed_error(self) -> BaseException:
        return ExecutorError(self.label, "it was closed before this attempt ended")

    # Reports -------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Report the news, without what concerns attempts that have had their outcome."""
        news, self._news = self._news, []
        if news:
            with self._reporting:
                self._report([event for event in news if self._is_new(event)])

    def _is_new(self, event: AttemptEvent | ExecutorFailed) -> bool:
        if isinstance(event, ExecutorFailed):
            return True
        if isinstance(event, Started):
            return event.attempt in self._open
        return self._open.pop(event.attempt, self) is None

    def _report_rest(self) -> None:
        """Report all that is open as lost; nothing will come of it any more. Any thread."""
        error = self._failure or self._closed_error()
        with self._reporting:
            attempts = list(self._open)
            self._report(
                [Lost(attempt, error) for attempt in attempts if self._open.pop(attempt, self) is None]
            )

    def _report(self, events: Sequence[AttemptEvent | ExecutorFailed]) -> None:
        if events and self._events is not None:
            self._events(events)


def _as_seen_by_its_user(error: BaseException) -> BaseException:
    try:
        return as_task_error(BaseException.with_traceback(error, shown_traceback(error)))
    except Exception:  # noqa: BLE001 - an exception whose own code interferes; it is still the outcome
        return error
