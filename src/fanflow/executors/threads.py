"""Attempts in threads of this process."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import cast

from fanflow.codec.stoppable import forget_request, stop_current
from fanflow.codec.worker_flag import mark_worker_thread
from fanflow.errors import (
    AppTimeout,
    ConfigurationError,
    InvalidResourceSpecification,
    OptionTypeError,
    TaskExitedError,
)
from fanflow.executors.walltime import Limit, Watchdog
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import AttemptEvent, Launch, Lost, Raised, Returned
from fanflow.spi.executor import BuildContext, EventSink, Executor, Loop

_log = logging.getLogger("fanflow")

_SAY_AFTER_S = 1.0


class ThreadPoolExecutor:
    """Runs apps in threads of the calling process: no pickling, no start-up, one interpreter lock.

    Good for commands, I/O and code that releases the lock. A running function cannot be killed; its
    `walltime` raises `AppTimeout` inside it as soon as it executes Python code again.

    Args:
        label: Its name in a configuration.
        max_threads: Attempts run at a time.
        thread_name_prefix: Of the threads' names; None makes one from the label.
        storage_access: Staging providers; kept for the staging layer.
        working_dir: Where staged files go; kept for the staging layer.
        remote_monitoring_radio: Kept for the monitoring layer.

    Raises:
        OptionTypeError: `max_threads` is not an int.
        ConfigurationError: It is less than 1.
    """

    def __init__(
        self,
        label: str = "threads",
        max_threads: int = 2,
        thread_name_prefix: str | None = None,
        storage_access: Sequence[object] | None = None,
        working_dir: str | None = None,
        remote_monitoring_radio: object = None,
    ) -> None:
        self.label = label
        self.max_threads = max_threads
        self.thread_name_prefix = (
            thread_name_prefix if thread_name_prefix is not None else f"ThreadPoolExecutor-{label}"
        )
        self.storage_access = storage_access
        self.working_dir = working_dir
        self.remote_monitoring_radio = remote_monitoring_radio
        self._check()

    def _check(self) -> None:
        given = cast(object, self.max_threads)
        if not isinstance(given, int) or isinstance(given, bool):
            raise OptionTypeError("ThreadPoolExecutor", "max_threads", given, "an int")
        if self.max_threads < 1:
            raise ConfigurationError(
                f"ThreadPoolExecutor(label={self.label!r}, max_threads={self.max_threads}): "
                f"max_threads must be at least 1"
            )

    def build(self, context: BuildContext) -> Executor:
        """The running half.

        Raises:
            ConfigurationError: `max_threads`, set since, is not a positive number.
        """
        self._check()
        return RunningThreads(ExecutorLabel(self.label), self.max_threads, self.thread_name_prefix)

    def __repr__(self) -> str:
        return f"ThreadPoolExecutor(label={self.label!r}, max_threads={self.max_threads})"


class RunningThreads:
    """The running half: daemon threads that take attempts from one queue.

    Args:
        label: Its name.
        size: Most threads; they are started as attempts come.
        name_prefix: Of the threads' names.
        runs_tasks: False for the internal pool, whose code may call apps.
    """

    kills = False
    stops_commands = True

    def __init__(self, label: ExecutorLabel, size: int, name_prefix: str, *, runs_tasks: bool = True) -> None:
        self.label = label
        self.runs_tasks = runs_tasks
        self._size = size
        self._name_prefix = name_prefix
        self._queue: queue.SimpleQueue[Launch | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._taken = 0
        self._sink: EventSink
        self.watchdog = Watchdog(label)
        self.closes = False
        self.closing_lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """Threads."""
        return self._size

    def start(self, events: EventSink, loop: Loop) -> None:
        """Nothing runs before the first attempt comes."""
        self._sink = events

    def submit(self, batch: Sequence[Launch]) -> None:
        """Queue attempts."""
        refused = [launch for launch in batch if launch.resources]
        if refused:
            self._sink([Raised(launch.attempt, self._refusal(launch)) for launch in refused])
            batch = [launch for launch in batch if not launch.resources]
        # What is put before `close` looks is dropped by it, or run; a thread that is started after it
        # has counted them would wait for ever.
        with self.closing_lock:
            closes = self.closes
            if not closes:
                self._take(batch)
        if closes:
            self._sink([Lost(launch.attempt, _dropped(launch)) for launch in batch])

    def _take(self, batch: Sequence[Launch]) -> None:
        put = self._queue.put
        for launch in batch:
            put(launch)
        self._taken += len(batch)
        while len(self._workers) < min(self._size, self._taken):
            worker = _Worker(self, f"{self._name_prefix}_{len(self._workers)}", self._queue, self._sink)
            self._workers.append(worker)
            worker.start()

    def _refusal(self, launch: Launch) -> InvalidResourceSpecification:
        return InvalidResourceSpecification(
            set(launch.resources or {}),
            f"Executor {self.label!r} runs threads, which take no resource specification; "
            f"leave it out, or send app {launch.name!r} to another executor",
        )

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Ends commands of bash apps. What has not started is stopped by its latch."""
        wanted = set(attempts)
        for worker in self._workers:
            launch = worker.current
            if launch is not None and launch.attempt in wanted:
                worker.stop(launch)

    def close(self, *, drain: bool, deadline: float) -> None:
        """Stop the threads; those that still run at the deadline are left behind."""
        ends_at = time.monotonic() + deadline
        with self.closing_lock:
            first, self.closes = not self.closes, True
        if not first:
            return
        if not drain:
            self._drop_queued()
        for _ in self._workers:
            self._queue.put(None)
        self._join(ends_at)
        self._drop_queued()
        left = [worker for worker in self._workers if worker.abandon()]
        if left:
            names = ", ".join(str(worker.current) for worker in left)
            _log.warning("executor %r leaves %d running threads behind: %s", self.label, len(left), names)
        self.watchdog.close()

    def _join(self, ends_at: float) -> None:
        said = False
        for worker in self._workers:
            while worker.is_alive() and (left := ends_at - time.monotonic()) > 0:
                worker.join(min(left, _SAY_AFTER_S))
                if worker.is_alive() and not said:
                    said = True
                    running = [repr(one.current) for one in self._workers if one.current is not None]
                    _log.info("executor %r waits for %s", self.label, ", ".join(running) or "its threads")

    def _drop_queued(self) -> None:
        dropped: list[AttemptEvent] = []
        with suppress(queue.Empty):
            while True:
                launch = self._queue.get_nowait()
                if launch is not None:
                    dropped.append(Lost(launch.attempt, _dropped(launch)))
        if dropped:
            self._sink(dropped)


def _dropped(launch: Launch) -> CancelledError:
    return CancelledError(f"{launch!r} was dropped: its executor is closed")


class _Worker(threading.Thread):
    """One thread. A daemon, so that code that hangs cannot keep the interpreter from ending."""

    def __init__(
        self, owner: RunningThreads, name: str, work: queue.SimpleQueue[Launch | None], sink: EventSink
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.current: Launch | None = None
        self.abandoned = False
        self._stop_was_asked = False
        self._owner = owner
        self._work = work
        self._sink = sink

    @property
    def label(self) -> str:
        """Of its executor."""
        return self._owner.label

    def run(self) -> None:
        if self._owner.runs_tasks:
            mark_worker_thread(self)
        get, sink, owner = self._work.get, self._sink, self._owner
        while (launch := get()) is not None:
            self.current = launch
            if self._stop_was_asked:
                self._stop_was_asked = False
                forget_request(threading.get_ident())
            event = self._limited(launch) if launch.walltime is not None else attempt_launch(launch)
            if owner.closes and self._was_abandoned():
                return
            self.current = None
            # The names must not keep a result alive while the thread waits for work.
            del launch
            if event is not None:
                sink((event,))
            del event

    def _was_abandoned(self) -> bool:
        with self._owner.closing_lock:
            self.current = None
            return self.abandoned

    def abandon(self) -> bool:
        """Report the running attempt as lost in the thread's stead. True if there is one."""
        with self._owner.closing_lock:
            launch = self.current
            if launch is None or not self.is_alive():
                return False
            self.abandoned = True
        self._sink([Lost(launch.attempt, CancelledError(f"{launch!r} still ran when its executor closed"))])
        return True

    def stop(self, launch: Launch) -> None:
        """End the command that the attempt waits for."""
        self._stop_was_asked = True
        if self.ident is not None:
            stop_current(self.ident, lambda: self.current is launch)

    def _limited(self, launch: Launch) -> AttemptEvent | None:
        if not launch.latch.claim():
            return Lost(launch.attempt, CancelledError(f"{launch!r} was cancelled before it started"))
        limit = Limit(launch, threading.get_ident(), self._sink)
        self._owner.watchdog.add(limit)
        # The exception is raised at any point between `arm` and the end of `end`, at most once. Before
        # that it could hit the latch or the watchdog's lock.
        try:
            event: AttemptEvent
            try:
                limit.arm()
                event = _run(launch)
            except BaseException as error:  # noqa: BLE001 - the injected one may miss the function
                event = Raised(launch.attempt, error)
            return limit.end(event)
        except AppTimeout as late:  # the one injection came between the two
            return limit.end(Raised(launch.attempt, late))


def attempt_launch(launch: Launch) -> AttemptEvent:
    """Run one attempt in the calling thread, unless it was cancelled before."""
    if not launch.latch.claim():
        return Lost(launch.attempt, CancelledError(f"{launch!r} was cancelled before it started"))
    return _run(launch)


def _run(launch: Launch) -> AttemptEvent:
    try:
        return Returned(launch.attempt, launch.function(*launch.args, **launch.kwargs))
    except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
        return Raised(launch.attempt, error)
    except BaseException as error:  # noqa: BLE001 - sys.exit must not end the thread
        exited = TaskExitedError(repr(error))
        exited.__cause__ = error
        return Raised(launch.attempt, exited)
