"""A sink that keeps what executors report, and the check that each attempt ended once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from fanflow.ids import AttemptId
from fanflow.model.attempts import ExecutorFailed, Lost, Raised, Returned, Started

Outcome = Returned | Raised | Lost
Event = Started | Returned | Raised | Lost | ExecutorFailed


class RecordingSink:
    """Keeps every event in the order of arrival. Any thread may call any of its methods."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._outcomes = 0

    def __call__(self, events: Sequence[Event], /) -> None:
        with self._changed:
            self._events.extend(events)
            self._outcomes += sum(isinstance(event, Outcome) for event in events)
            self._changed.notify_all()

    @property
    def events(self) -> list[Event]:
        """All events so far, as a copy."""
        with self._changed:
            return list(self._events)

    @property
    def outcomes(self) -> list[Outcome]:
        """What ended attempts, in the order of arrival."""
        return [event for event in self.events if isinstance(event, Outcome)]

    @property
    def started(self) -> list[AttemptId]:
        """Attempts that were reported as started, in the order of arrival."""
        return [event.attempt for event in self.events if isinstance(event, Started)]

    @property
    def failures(self) -> list[ExecutorFailed]:
        """Reports that an executor cannot go on."""
        return [event for event in self.events if isinstance(event, ExecutorFailed)]

    def wait_for(
        self, wanted: int | Callable[[Sequence[Event]], bool], deadline_s: float = 10.0
    ) -> list[Event]:
        """All events, once there are enough.

        Args:
            wanted: A number of outcomes, or a predicate over all events. It is called again after
                every batch, under the sink's lock, so it must not call the sink.
            deadline_s: Seconds to wait.

        Raises:
            AssertionError: It did not come to that in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has(wanted), deadline_s):
                what = f"{wanted} outcomes" if isinstance(wanted, int) else "what the predicate asks for"
                raise AssertionError(
                    f"waited {deadline_s:g} s for {what}; {len(self._events)} events came, "
                    f"{self._outcomes} of them outcomes"
                )
            return list(self._events)

    def _has(self, wanted: int | Callable[[Sequence[Event]], bool]) -> bool:
        return self._outcomes >= wanted if isinstance(wanted, int) else wanted(self._events)


def outcomes_by_attempt(sink: RecordingSink) -> dict[AttemptId, Outcome]:
    """The outcome of each attempt that has one.

    Raises:
        AssertionError: An attempt has two outcomes, or was reported as started after its outcome or twice.
    """
    outcomes: dict[AttemptId, Outcome] = {}
    started: set[AttemptId] = set()
    for event in sink.events:
        if isinstance(event, ExecutorFailed):
            continue
        earlier = outcomes.get(event.attempt)
        if earlier is not None:
            raise AssertionError(
                f"attempt {event.attempt} ended as {type(earlier).__name__}, "
                f"and was then reported as {type(event).__name__}"
            )
        if isinstance(event, Started):
            if event.attempt in started:
                raise AssertionError(f"attempt {event.attempt} was reported as started twice")
            started.add(event.attempt)
        else:
            outcomes[event.attempt] = event
    return outcomes
