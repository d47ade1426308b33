"""Worker threads that wait for tasks: a full pool that waits for itself is named, not left hanging."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fanflow.errors import DeadlockError
from fanflow.model.attempts import Launch

if TYPE_CHECKING:
    from fanflow.core.task import Task
    from fanflow.ids import AttemptId
    from fanflow.runtime.futures import AppFuture
    from fanflow.runtime.kernel import Kernel

_log = logging.getLogger("fanflow")

LOOK_EVERY_S = 5.0
"""Between two looks at who waits for whom; two looks with the same answer decide."""


@runtime_checkable
class WorkerThread(Protocol):
    """What a thread that runs attempts shows of itself."""

    @property
    def label(self) -> str:
        """Of its executor."""
        ...

    @property
    def current(self) -> Launch | None:
        """What it runs."""
        ...


class WorkerWaits:
    """The waits of one kernel's worker threads. Called by those threads."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._waits: dict[int, tuple[WorkerThread, AppFuture[object]]] = {}

    def wait(self, worker: object, future: AppFuture[object], timeout: float | None) -> float | None:
        """Wait for the future as long as the caller would; the caller takes the outcome afterwards.

        Args:
            worker: Who runs this code. What is no worker thread that runs an attempt does not wait here.
            future: What is waited for.
            timeout: Seconds; None for no limit.

        Returns:
            Seconds left.

        Raises:
            DeadlockError: Every attempt that runs waits like this one, and nothing else can end that.
        """
        # Looked at first, since telling whether it follows the protocol takes tens of microseconds.
        if not isinstance(getattr(worker, "current", None), Launch) or not isinstance(worker, WorkerThread):
            return timeout
        ident = threading.get_ident()
        ends_at = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._waits[ident] = (worker, future)
        seen: tuple[object, ...] | None = None
        try:
            while not future.done():
                patience = LOOK_EVERY_S
                if ends_at is not None:
                    patience = min(patience, ends_at - time.monotonic())
                    if patience <= 0:
                        return 0.0
                wait((future,), patience)
                seen = self._look(seen, worker)
        finally:
            with self._lock:
                del self._waits[ident]
        return timeout

    def _look(self, seen: tuple[object, ...] | None, worker: WorkerThread) -> tuple[object, ...] | None:
        """A fingerprint of the deadlock there is, or None; raises when it is the one seen before."""
        with self._lock:
            waits = list(self._waits.values())
        core = self._kernel.core
        attempts = dict(core.attempts)
        waiting: set[AttemptId] = set()
        for waiter, _ in waits:
            launch = waiter.current
            # A task of another kernel may wait here, too: its attempt has a number of its own.
            if launch is not None and (task := attempts.get(launch.attempt)) and task.future is launch.latch:
                waiting.add(launch.attempt)
        running = [task for attempt, task in attempts.items() if attempt not in waiting and self._runs(task)]
        if running or any(future.done() for _, future in waits) or self._kernel.performer.waits_for_others:
            return None
        fingerprint = (tuple(sorted(waiting)), len(attempts), len(core.tasks))
        if fingerprint == seen:
            named = [(_named(waiter.current), f"task {f.task.id} ({f.task.app.name})") for waiter, f in waits]
            error = DeadlockError(worker.label, named)
            _log.error("%s", error)
            raise error
        return fingerprint

    def _runs(self, task: Task) -> bool:
        """Whether an attempt may be running; executors that can kill do not say when one starts."""
        executor = self._kernel.executors.get(task.label) if task.label is not None else None
        return executor is None or executor.kills or task.future.running()


def _named(launch: Launch | None) -> str:
    return f"task {launch.task} ({launch.name})" if launch is not None else "a task"
