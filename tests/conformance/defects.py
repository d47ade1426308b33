"""Executors that each break one rule of the seam."""

import contextlib
import threading
from collections.abc import Sequence

from fanflow.errors import AppTimeout, InvalidResourceSpecification, RemoteError
from fanflow.ids import AttemptId
from fanflow.model.attempts import Launch, Raised, Started
from fanflow.spi.executor import BuildContext
from fanflow.testing import OpenLatch, Outcome
from tests.conformance.plain_executor import PlainExecutor, PlainSpec


class DropsOneOutcomeInTen(PlainExecutor):
    ended = 0

    def end(self, outcome: Outcome) -> bool:
        with self.changed:
            self.ended += 1
            if self.ended % 10 == 0:
                return self.open.pop(outcome.attempt, None) is not None
        return super().end(outcome)


class DeliversTwice(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        is_first = super().end(outcome)
        if is_first:
            self.events([outcome])
        return is_first


class ReportsStartedAfterTheOutcome(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        is_first = super().end(outcome)
        self.events([Started(outcome.attempt)])
        return is_first


class ReportsAnAttemptItNeverGot(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        self.events([Raised(AttemptId(10**9 + outcome.attempt), ValueError("not mine"))])
        return super().end(outcome)


class RaisesFromSubmit(PlainExecutor):
    def submit(self, batch: Sequence[Launch]) -> None:
        for launch in batch:
            if launch.resources:
                raise InvalidResourceSpecification(launch.resources)
        super().submit(batch)


class IgnoresResources(PlainExecutor):
    def refusal_of(self, launch: Launch) -> Outcome | None:
        launch.resources = None
        return super().refusal_of(launch)


class RunsInsideSubmit(PlainExecutor):
    def submit(self, batch: Sequence[Launch]) -> None:
        for launch in batch:
            self.open[launch.attempt] = launch
            self.end(self.run(launch))


class RunsOneAtATime(PlainExecutor):
    turn = threading.Lock()

    def run(self, launch: Launch) -> Outcome:
        with self.turn:
            return super().run(launch)


class IgnoresTheLatch(PlainExecutor):
    def take(self) -> Launch | None:
        launch = super().take()
        if launch is not None:
            launch.latch = OpenLatch()
        return launch


class ClaimsTheLatchTwice(PlainExecutor):
    def run(self, launch: Launch) -> Outcome:
        launch.latch.claim()
        return super().run(launch)


class RunsCancelledAttempts(IgnoresTheLatch):
    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        self.lose(attempts)  # and leaves them in the queue


class CancelsTooMany(PlainExecutor):
    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        super().cancel([launch.attempt for launch in self.queue])


class RaisesForUnknownAttempts(PlainExecutor):
    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        for attempt in attempts:
            self.open[attempt]
        super().cancel(attempts)


class IgnoresWalltime(PlainExecutor):
    def time_out(self, attempt: AttemptId) -> None:
        pass


class LosesAWorkerToATimeout(PlainExecutor):
    def time_out(self, attempt: AttemptId) -> None:
        self.end(Raised(attempt, AppTimeout()))


class LosesAWorkerToSysExit(PlainExecutor):
    def work(self) -> None:
        with contextlib.suppress(SystemExit):
            super().work()

    def run(self, launch: Launch) -> Outcome:
        if launch.name in {"exit_process", "interrupt"}:
            raise SystemExit
        return super().run(launch)


class WrapsExceptions(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        if isinstance(outcome, Raised):
            outcome = Raised(outcome.attempt, RemoteError(type(outcome.error).__name__, "wrapped"))
        return super().end(outcome)


class LosesTracebacks(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        if isinstance(outcome, Raised):
            outcome.error.__traceback__ = None
        return super().end(outcome)


class MixesUpValues(PlainExecutor):
    def run(self, launch: Launch) -> Outcome:
        outcome = super().run(launch)
        outcome.attempt = max(self.open)
        return outcome


class KeepsWhatItRan(PlainExecutor):
    last: Launch | None = None

    def run(self, launch: Launch) -> Outcome:
        self.last = launch
        return super().run(launch)


class UsesTheLoopFromAnotherThread(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        self.loop.call_at(self.loop.now(), lambda: None)
        return super().end(outcome)


class IgnoresClose(PlainExecutor):
    def close(self, *, drain: bool, deadline: float) -> None:
        pass


class AlwaysDrains(PlainExecutor):
    def close(self, *, drain: bool, deadline: float) -> None:
        super().close(drain=True, deadline=deadline)


class NeverDrains(PlainExecutor):
    def close(self, *, drain: bool, deadline: float) -> None:
        super().close(drain=False, deadline=deadline)


class ClosesOnce(PlainExecutor):
    def close(self, *, drain: bool, deadline: float) -> None:
        if self.is_closed:
            raise RuntimeError("closed already")
        super().close(drain=drain, deadline=deadline)


class IgnoresTheDeadline(PlainExecutor):
    def close(self, *, drain: bool, deadline: float) -> None:
        super().close(drain=drain, deadline=3600.0)


class ReportsLateResults(PlainExecutor):
    def end(self, outcome: Outcome) -> bool:
        is_first = super().end(outcome)
        if not is_first:
            self.events([outcome])
        return is_first


class ForgetsAttemptsAfterClose(PlainExecutor):
    def submit(self, batch: Sequence[Launch]) -> None:
        if not self.is_closed:
            super().submit(batch)


class LeavesItsThreads(PlainExecutor):
    def take(self) -> Launch | None:
        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.is_left)
            return self.queue.popleft() if self.queue else None

    is_left = False

    def join(self, end: float) -> None:
        pass

    def let_go(self) -> None:
        with self.changed:
            self.is_left = True
            self.changed.notify_all()


class SharedSpec(PlainSpec):
    """Builds one executor and hands it out again and again."""

    def build(self, context: BuildContext) -> PlainExecutor:
        return self.built[0] if self.built else super().build(context)
