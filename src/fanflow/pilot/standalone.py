"""Drives one engine without a kernel: a thread turns its loop, futures take its outcomes."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Final

from fanflow.errors import InternalConsistencyError, WaitInCallbackError
from fanflow.ids import AttemptId, TaskId
from fanflow.loop import KernelLoop
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Launch, Lost, Raised, Returned
from fanflow.pilot.running import Engine

_log = logging.getLogger("fanflow.pilot")

_MOST_RERUNS: Final = 10
"""Times that a call is run again which was lost through no fault of its own."""


class EngineFuture(Future[object]):
    """The result of a call of an executor that runs without a kernel.

    Attributes:
        parsl_executor_task_id: Number of the call.
    """

    def __init__(self, number: int, cancel: Callable[[int], bool]) -> None:
        super().__init__()
        self.parsl_executor_task_id = number
        self._cancel = cancel

    def cancel(self) -> bool:
        """Stop the call: what has not started never will, what runs is killed."""
        if not super().cancel():
            return False
        self._cancel(self.parsl_executor_task_id)
        return True


class _Open:
    """One call without an outcome."""

    __slots__ = ("future", "launch", "reruns")

    def __init__(self, launch: Launch, future: EngineFuture) -> None:
        self.launch, self.future, self.reruns = launch, future, 0


class _AlwaysStarts:
    """The latch of calls that only their engine can stop."""

    def claim(self) -> bool:
        return True


_LATCH: Final = _AlwaysStarts()


class Driver:
    """One engine and the thread that owns it.

    Args:
        engine: Not started; it is started here and closed by `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._loop = KernelLoop()
        self._inbox: deque[Launch] = deque()
        self._outcomes: deque[AttemptEvent | ExecutorFailed] = deque()
        self._open: dict[int, _Open] = {}
        self._numbers = itertools.count(1)
        self._ends = False
        self._is_down = False
        """The thread has ended: nobody takes what comes."""
        self._crash: BaseException | None = None
        self._asleep = False
        self._close_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"fanflow-{engine.label}", daemon=True)
        try:
            engine.start(self._take, self._loop)
        except BaseException:
            engine.close(drain=False, deadline=0.0)
            self._loop.close()
            raise
        self._thread.start()

    @property
    def outstanding(self) -> int:
        """Calls without an outcome."""
        return len(self._open)

    def submit(
        self,
        function: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        resources: Mapping[str, object] | None = None,
    ) -> EngineFuture:
        """Run a call on the engine. Any thread.

        Args:
            function: What to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            resources: What the call needs of the executor.
        """
        number = next(self._numbers)
        name = getattr(function, "__name__", type(function).__name__)
        launch = Launch(AttemptId(number), TaskId(number), name, function, tuple(args), kwargs, _LATCH)
        launch.resources = resources or None
        future = EngineFuture(number, self._cancel)
        self._open[number] = _Open(launch, future)
        self._inbox.append(launch)
        if self._asleep:
            self._loop.wake()
        if self._is_down:
            self._drop()
        return future

    def _cancel(self, number: int) -> bool:
        self.engine.mailbox.post(lambda: self.engine.cancel([AttemptId(number)]))
        return True

    def _take(self, events: Sequence[AttemptEvent | ExecutorFailed]) -> None:
        """What the engine reports. Any thread."""
        self._outcomes.extend(events)
        if self._asleep:
            self._loop.wake()

    def _run(self) -> None:
        try:
            self._turn()
        except BaseException as error:  # noqa: BLE001 - a bug of ours must not leave futures open
            _log.critical("the thread of executor %r failed", self.engine.label, exc_info=error)
            self._crash = error
        # Whoever submits looks at `_is_down` afterwards, so either they drop it or this does.
        self._is_down = True
        self._drop()

    def _turn(self) -> None:
        inbox, outcomes, loop = self._inbox, self._outcomes, self._loop
        while not (self._ends and not inbox and not outcomes):
            # Whoever appends looks at `_asleep` afterwards, so either they see it or this sees what came.
            self._asleep = True
            loop.turn(may_wait=not inbox and not outcomes and not self._ends)
            self._asleep = False
            if inbox:
                self._submit([inbox.popleft() for _ in range(len(inbox))])
            while outcomes:
                self._settle(outcomes.popleft())

    def _drop(self) -> None:
        """Nobody runs what is open. Any thread."""
        error: BaseException = CancelledError(f"executor {self.engine.label!r} is closed")
        if self._crash is not None:
            error = InternalConsistencyError(
                f"the thread of executor {self.engine.label!r} failed with {type(self._crash).__name__}: "
                f"{self._crash}; please report it with the log"
            )
            error.__cause__ = self._crash
        for number in list(self._open):
            call = self._open.pop(number, None)
            if call is not None and call.future.set_running_or_notify_cancel():
                call.future.set_exception(error)

    def _submit(self, batch: list[Launch]) -> None:
        """Hand over what nobody has cancelled; a cancel that comes from now on finds it at the engine."""
        cancelled = [launch for launch in batch if self._open[launch.attempt].future.cancelled()]
        for launch in cancelled:
            self._open.pop(launch.attempt).future.set_running_or_notify_cancel()
        self.engine.submit([launch for launch in batch if launch not in cancelled] if cancelled else batch)

    def _settle(self, event: AttemptEvent | ExecutorFailed) -> None:
        if not isinstance(event, Returned | Raised | Lost):
            return
        call = self._open.get(event.attempt)
        if call is None:
            return
        if isinstance(event, Lost) and self._runs_again(event, call):
            self.engine.submit([call.launch])
            return
        del self._open[event.attempt]
        if not call.future.set_running_or_notify_cancel():
            return  # its caller has cancelled it
        if isinstance(event, Returned):
            call.future.set_result(event.value)
        else:
            call.future.set_exception(event.error if isinstance(event, Raised) else event.cause)

    def _runs_again(self, event: Lost, call: _Open) -> bool:
        if event.blames_task or self._ends or not self.engine.is_usable or call.future.cancelled():
            return False
        call.reruns += 1
        return call.reruns <= _MOST_RERUNS

    def close(self, seconds: float) -> None:
        """End the engine; calls without an outcome end with an error. Idempotent.

        Raises:
            WaitInCallbackError: Called by a done-callback.
        """
        if threading.current_thread() is self._thread:
            raise WaitInCallbackError(f"executor {self.engine.label!r} to be shut down")
        ends_at = time.monotonic() + seconds
        with self._close_lock:
            if self._ends:
                return
            self.engine.close(drain=False, deadline=0.0)  # what runs is not waited for
            self._ends = True
            self._loop.wake()
            self._thread.join(max(1.0, ends_at - time.monotonic()))
            if self._thread.is_alive():
                _log.error("a done-callback blocks executor %r: it did not end", self.engine.label)
                return
            self._loop.close()
