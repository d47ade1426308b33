"""An executor that runs nothing: the test decides what becomes of each attempt."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

from fanflow.errors import ExecutorError
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import ExecutorFailed, Launch, Lost, Raised, Returned, Started
from fanflow.spi.executor import BuildContext, EventSink, Loop
from fanflow.testing.recording import Event


class ScriptedExecutor:
    """Takes attempts and waits to be told their outcomes. Any thread may call its methods.

    It keeps the rules of the seam: it claims an attempt's latch before it begins one, cancels what has
    not begun, and at `close` reports as lost what the test left open.

    Args:
        label: Its name in the configuration.
        capacity: The capacity it tells placement.
        kills: Whether `cancel` ends attempts that have begun.
    """

    def __init__(self, label: str = "scripted", *, capacity: int = 1, kills: bool = False) -> None:
        self._label = ExecutorLabel(label)
        self._capacity = capacity
        self._kills = kills
        self._events: EventSink | None = None
        self._changed = threading.Condition()
        self._launches: list[Launch] = []
        self._cancels: list[AttemptId] = []
        self._open: dict[AttemptId, Launch] = {}
        self._begun: set[AttemptId] = set()
        self._is_closed = False

    @property
    def label(self) -> ExecutorLabel:
        return self._label

    @property
    def kills(self) -> bool:
        return self._kills

    @property
    def stops_commands(self) -> bool:
        return self._kills

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def launches(self) -> list[Launch]:
        """Every launch it was given, in order; those that came after `close` are not among them."""
        with self._changed:
            return list(self._launches)

    @property
    def open(self) -> list[AttemptId]:
        """Attempts without an outcome, in the order of submission."""
        with self._changed:
            return list(self._open)

    @property
    def cancels(self) -> list[AttemptId]:
        """Every attempt that `cancel` was called for, known or not."""
        with self._changed:
            return list(self._cancels)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        with self._changed:
            return self._is_closed

    # The seam ------------------------------------------------------------------------------------

    def start(self, events: EventSink, loop: Loop) -> None:
        self._events = events

    def submit(self, batch: Sequence[Launch]) -> None:
        with self._changed:
            is_closed = self._is_closed
            if not is_closed:
                self._launches.extend(batch)
                self._open.update((launch.attempt, launch) for launch in batch)
                self._changed.notify_all()
        if is_closed:
            refusal = ExecutorError(self, "it has been closed")
            self._report([Lost(launch.attempt, refusal) for launch in batch])

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        with self._changed:
            self._cancels.extend(attempts)
            dropped = [
                attempt
                for attempt in dict.fromkeys(attempts)
                if attempt in self._open and (self._kills or attempt not in self._begun)
            ]
            self._forget(dropped)
        self._report([Lost(attempt, CancelledError()) for attempt in dropped])

    def close(self, *, drain: bool, deadline: float) -> None:
        end = time.monotonic() + deadline
        with self._changed:
            self._is_closed = True
            if drain:
                self._changed.wait_for(lambda: not self._open, max(end - time.monotonic(), 0.0))
            left = list(self._open)
            self._forget(left)
        self._report([Lost(attempt, ExecutorError(self, "it was closed")) for attempt in left])

    # The script ----------------------------------------------------------------------------------

    def wait_for_launches(self, count: int, deadline_s: float = 10.0) -> list[Launch]:
        """The launches, once at least `count` have come.

        Raises:
            AssertionError: Fewer came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._launches) >= count, deadline_s):
                raise AssertionError(
                    f"waited {deadline_s:g} s for {count} launches; {len(self._launches)} came"
                )
            return list(self._launches)

    def wait_for_cancels(self, count: int, deadline_s: float = 10.0) -> list[AttemptId]:
        """The attempts that `cancel` was called for, once there are at least `count`.

        Raises:
            AssertionError: Fewer came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._cancels) >= count, deadline_s):
                raise AssertionError(
                    f"waited {deadline_s:g} s for {count} cancels; {len(self._cancels)} came"
                )
            return list(self._cancels)

    def begin(self, attempt: AttemptId) -> bool:
        """Claim the latch and report `Started`, if that has not happened.

        Returns:
            False if the latch refused. The attempt has then been reported as lost.

        Raises:
            KeyError: The attempt is not open.
        """
        with self._changed:
            launch = self._open[attempt]
            if attempt in self._begun:
                return True
            may_start = launch.latch.claim()
            if may_start:
                self._begun.add(attempt)
            else:
                self._forget([attempt])
        self._report([Started(attempt) if may_start else Lost(attempt, CancelledError())])
        return may_start

    def finish(self, attempt: AttemptId, value: object = None) -> None:
        """End the attempt with a value; begins it before that, unless it has begun.

        Raises:
            KeyError: The attempt is not open.
        """
        if self.begin(attempt):
            self._end(Returned(attempt, value))

    def fail(self, attempt: AttemptId, error: BaseException) -> None:
        """End the attempt with an exception of its function; begins it before that, unless it has begun.

        Raises:
            KeyError: The attempt is not open.
        """
        if self.begin(attempt):
            self._end(Raised(attempt, error))

    def lose(self, attempt: AttemptId, cause: BaseException) -> None:
        """End the attempt as if what ran it had died, or had been about to run it.

        Raises:
            KeyError: The attempt is not open.
        """
        self._end(Lost(attempt, cause))

    def break_down(self, error: BaseException) -> None:
        """Report every open attempt as lost, and that this executor cannot go on."""
        with self._changed:
            left = list(self._open)
            self._forget(left)
        self._report([*(Lost(attempt, error) for attempt in left), ExecutorFailed(self._label, error)])

    def report(self, events: Sequence[Event]) -> None:
        """Send events as they are, even such as break the rules of the seam."""
        self._report(events)

    def _end(self, outcome: Returned | Raised | Lost) -> None:
        with self._changed:
            if outcome.attempt not in self._open:
                raise KeyError(outcome.attempt)
            self._forget([outcome.attempt])
        self._report([outcome])

    def _forget(self, attempts: Sequence[AttemptId]) -> None:
        """Called under the lock."""
        for attempt in attempts:
            del self._open[attempt]
            self._begun.discard(attempt)
        self._changed.notify_all()

    def _report(self, events: Sequence[Event]) -> None:
        # Outside the lock: the sink may be a kernel that calls back into this executor.
        if events and self._events is not None:
            self._events(events)


@dataclass
class ScriptedExecutorSpec:
    """Goes into a configuration; every load builds a `ScriptedExecutor` that the test then directs."""

    label: str = "scripted"
    """Its name in the configuration."""
    capacity: int = 1
    """The capacity it tells placement."""
    kills: bool = False
    """Whether `cancel` ends attempts that have begun."""
    built: list[ScriptedExecutor] = field(default_factory=list[ScriptedExecutor], compare=False, repr=False)
    """The running halves, one per load, the oldest first."""

    def build(self, context: BuildContext) -> ScriptedExecutor:
        executor = ScriptedExecutor(self.label, capacity=self.capacity, kills=self.kills)
        self.built.append(executor)
        return executor

    @property
    def executor(self) -> ScriptedExecutor:
        """The running half of the last load.

        Raises:
            LookupError: Nothing has been loaded with this specification.
        """
        if not self.built:
            raise LookupError(
                f"executor {self.label!r} has not been built: load a configuration with it first"
            )
        return self.built[-1]
