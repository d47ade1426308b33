"""Attempts in the thread that calls the app: for debuggers, coverage and profilers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future

from fanflow.errors import InvalidResourceSpecification
from fanflow.executors.threads import attempt_launch
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import Launch, Lost, Raised
from fanflow.spi.executor import BuildContext, EventSink, Executor, Loop

_LOOK_EVERY_S = 0.05
"""How often a driver looks whether its task waits for something that no driver can run."""


class InlineExecutor:
    """Runs every attempt in the thread that calls the app, before the call returns.

    A breakpoint, a profiler or a coverage tool sees the function where the script calls it. Tasks
    that wait for a future from outside run in one helper thread when that future is done. The
    environment variable `FANFLOW_INLINE=1` puts this executor in the place of all others.

    Args:
        label: Its name in a configuration.
    """

    def __init__(self, label: str = "inline") -> None:
        self.label = label

    def build(self, context: BuildContext) -> Executor:
        """The running half."""
        return RunningInline(ExecutorLabel(self.label))

    def __repr__(self) -> str:
        return f"InlineExecutor(label={self.label!r})"


class RunningInline:
    """The running half: callers drive it until their task has ended or cannot be run by them.

    Args:
        label: Its name.
    """

    kills = False
    stops_commands = False
    capacity = 1

    def __init__(self, label: ExecutorLabel) -> None:
        self.label = label
        self._changed = threading.Condition()
        self._queue: deque[Launch] = deque()
        self._drivers = 0
        self._helper: threading.Thread | None = None
        self._closes = False
        self._running: dict[AttemptId, Launch] = {}
        self._sink: EventSink

    def start(self, events: EventSink, loop: Loop) -> None:
        """Nothing runs before somebody drives, or an attempt comes that nobody waits to drive."""
        self._sink = events

    def submit(self, batch: Sequence[Launch]) -> None:
        """Queue attempts for the threads that drive; a helper thread takes them if there is none."""
        refused = [launch for launch in batch if launch.resources]
        if refused:
            self._sink([Raised(launch.attempt, _refusal(launch)) for launch in refused])
        with self._changed:
            closes = self._closes
            if not closes:
                self._queue.extend(launch for launch in batch if not launch.resources)
                if not self._drivers:
                    self._ensure_helper()
                self._changed.notify_all()
        if closes:
            self._sink([Lost(launch.attempt, _dropped(launch)) for launch in batch if not launch.resources])

    def _ensure_helper(self) -> None:
        if self._helper is None:
            self._helper = threading.Thread(target=self._help, name=f"fanflow-{self.label}", daemon=True)
            self._helper.start()

    def _help(self) -> None:
        is_first = True
        while True:
            with self._changed:
                while not self._closes and (not self._queue or self._drivers):
                    is_first = True
                    self._changed.wait()
                if is_first:
                    # The caller of an app may be on its way to drive: the app belongs in its thread.
                    is_first = False
                    self._changed.wait_for(lambda: self._closes or self._drivers, _LOOK_EVERY_S)
                    if self._drivers and not self._closes:
                        continue
                if not self._queue:
                    if self._closes:
                        return  # drained or dropped
                    continue
                launch = self._queue.popleft()
            self._run(launch)
            del launch  # what it refers to must not live until the next one comes

    def drive(self, future: Future[object]) -> None:
        """Run attempts in this thread until the future is done, or waits for something else.

        The kernel calls it in the thread that has just submitted the future's task.
        """
        if not self._closes:
            future.add_done_callback(self._wake)
        with self._changed:
            self._drivers += 1
        try:
            while not future.done() and (launch := self._next(future)) is not None:
                self._run(launch)
                del launch
        finally:
            with self._changed:
                self._drivers -= 1
                if self._queue and not self._drivers:
                    self._ensure_helper()
                self._changed.notify_all()

    def _wake(self, _: Future[object]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self, future: Future[object]) -> Launch | None:
        """The next attempt, once there is one; None when the future needs none or cannot get one."""
        with self._changed:
            while not self._queue:
                if future.done() or self._closes or not self._changed.wait(_LOOK_EVERY_S):
                    if self._queue:
                        break
                    if future.done() or self._closes or not self._busy_elsewhere():
                        return None
            return self._queue.popleft()

    def _busy_elsewhere(self) -> bool:
        """Whether another thread runs an attempt whose end may make work for this one."""
        return bool(self._running)

    def _run(self, launch: Launch) -> None:
        self._running[launch.attempt] = launch
        event = attempt_launch(launch)
        if self._running.pop(launch.attempt, None) is not None:
            self._sink((event,))

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """The latch keeps what has not started from starting; what runs cannot be stopped."""

    def close(self, *, drain: bool, deadline: float) -> None:
        """Wait for what runs, until the deadline."""
        with self._changed:
            self._closes = True
            dropped = [] if drain else list(self._queue)
            if not drain:
                self._queue.clear()
            elif self._queue:
                self._ensure_helper()
            self._changed.notify_all()
        if dropped:
            self._sink([Lost(launch.attempt, _dropped(launch)) for launch in dropped])
        if self._helper is not None:
            self._helper.join(deadline)
        left = [launch for launch in list(self._running.values()) if self._running.pop(launch.attempt, None)]
        if left:
            self._sink([Lost(launch.attempt, _dropped(launch)) for launch in left])


def _dropped(launch: Launch) -> CancelledError:
    return CancelledError(f"{launch!r} was dropped: its executor is closed")


def _refusal(launch: Launch) -> InvalidResourceSpecification:
    return InvalidResourceSpecification(
        set(launch.resources or {}),
        f"the inline executor takes no resources; leave it out of {launch.name!r}",
    )
