"""The stand on which the conformance suite runs one executor, and the traits a suite states of it."""

from __future__ import annotations

import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, TypeVar

from fanflow.ids import AttemptId
from fanflow.model.attempts import ExecutorFailed, Launch, Raised, Returned, Started
from fanflow.spi.executor import BuildContext, ExecutorSpec
from fanflow.testing import tasks
from fanflow.testing.gates import Gate, wait_at_gate
from fanflow.testing.launches import CountingLatch, make_launch
from fanflow.testing.live import LiveLoop
from fanflow.testing.recording import Event, Outcome, RecordingSink, outcomes_by_attempt

T = TypeVar("T")


def stand_context(directory: Path) -> BuildContext:
    """What an executor's specification gets instead of a kernel's run."""
    return BuildContext(run_dir=directory, run_id="stand")


class ExecutorStand:
    """One running executor with a loop, a sink and a gate around it.

    Use it as a context manager. At the end it closes the executor and checks that every attempt
    had exactly one outcome and that the executor kept to the loop's rules.

    Args:
        spec: What builds the executor.
        patience_s: Seconds to wait for anything that must happen.
        slack_s: Seconds by which deadlines and walltimes may be missed.
    """

    def __init__(self, spec: ExecutorSpec, patience_s: float, slack_s: float = 2.0) -> None:
        self.sink = RecordingSink()
        self.loop = LiveLoop()
        self.patience_s = patience_s
        self.slack_s = slack_s
        self.is_closing = threading.Event()
        """Set as the first `close` is called."""
        self._spec = spec
        self._submitted: list[AttemptId] = []
        self._is_closed = False

    def __enter__(self) -> ExecutorStand:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stand-")))
            self.gate = stack.enter_context(Gate())
            stack.enter_context(self.loop)
            self.executor = self._spec.build(stand_context(self.directory))
            self._in_loop("start", lambda: self.executor.start(self.sink, self.loop))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        with self._stack:
            self.gate.open()
            if not self._is_closed:
                self.close(drain=False, deadline=self.patience_s if exc_type is None else self.slack_s)
        if exc_type is None:
            self.check()

    # Orders --------------------------------------------------------------------------------------

    def submit(self, batch: Sequence[Launch]) -> None:
        """Hand attempts to the executor, in the loop's thread."""
        self._submitted += [launch.attempt for launch in batch]
        self._in_loop("submit", lambda: self.executor.submit(batch))

    def cancel(self, launches: Iterable[Launch]) -> None:
        """Cancel attempts as the kernel does: shut the latches first, then tell the executor."""
        launches = list(launches)
        for launch in launches:
            if isinstance(launch.latch, CountingLatch):
                launch.latch.shut()
        self.cancel_ids([launch.attempt for launch in launches])

    def cancel_ids(self, attempts: Sequence[AttemptId]) -> None:
        """Cancel attempts by id, in the loop's thread."""
        self._in_loop("cancel", lambda: self.executor.cancel(attempts))

    def close(self, *, drain: bool, deadline: float) -> None:
        """Close the executor from a thread that may block, and see that it keeps its deadline."""
        self._is_closed = True
        answer: Future[None] = Future()

        def run() -> None:
            self.is_closing.set()
            try:
                self.executor.close(drain=drain, deadline=deadline)
            except BaseException as error:  # noqa: BLE001 - reported below
                answer.set_exception(error)
            else:
                answer.set_result(None)

        closer = threading.Thread(target=run, name="fanflow-testing-close", daemon=True)
        closer.start()
        closer.join(deadline + self.slack_s)
        call = f"close(drain={drain}, deadline={deadline:g})"
        if closer.is_alive():
            raise AssertionError(f"{call} has not returned after {deadline + self.slack_s:g} s")
        error = answer.exception()
        if error is not None:
            raise AssertionError(f"{call} raised {error!r}") from error

    # What comes of them --------------------------------------------------------------------------

    def wait_for(self, launches: Sequence[Launch], deadline_s: float | None = None) -> list[Outcome]:
        """The outcomes of these attempts, in the order of the launches.

        Raises:
            AssertionError: Some have none in time, or one has two.
        """
        missing = {launch.attempt for launch in launches}
        seen = 0

        def have_ended(events: Sequence[Event]) -> bool:
            nonlocal seen
            for event in events[seen:]:
                if not isinstance(event, Started | ExecutorFailed):
                    missing.discard(event.attempt)
            seen = len(events)
            return not missing

        patience_s = self.patience_s if deadline_s is None else deadline_s
        try:
            self.sink.wait_for(have_ended, patience_s)
        except AssertionError:
            raise AssertionError(
                f"{len(missing)} of {len(launches)} attempts have no outcome after {patience_s:g} s: "
                f"{sorted(missing)[:10]}"
            ) from None
        outcomes = outcomes_by_attempt(self.sink)
        return [outcomes[launch.attempt] for launch in launches]

    def run(self, *launches: Launch) -> list[Outcome]:
        """Submit as one batch, and wait for the outcomes."""
        self.submit(launches)
        return self.wait_for(launches)

    def values(self, launches: Sequence[Launch]) -> list[object]:
        """Submit as one batch, and wait for the values.

        Raises:
            AssertionError: One did not return.
        """
        return [value_of(outcome) for outcome in self.run(*launches)]

    def block(self, count: int) -> list[Launch]:
        """Submit attempts that wait at the gate, and wait until all of them do."""
        arrived = len(self.gate.arrived)
        blockers = [make_launch(wait_at_gate, self.gate.directory, "blocker") for _ in range(count)]
        self.submit(blockers)
        self.gate.wait_for_arrivals(arrived + count, self.patience_s)
        return blockers

    def see_it_go_on(self, workers: int | None = None) -> None:
        """Check that attempts still run, as many at one time as its capacity says.

        Args:
            workers: Attempts that must run at one time, where a test keeps some workers busy.
        """
        count = self.executor.capacity if workers is None else workers
        with Gate() as gate:
            names = [str(number) for number in range(count)]
            launches = [make_launch(wait_at_gate, gate.directory, name) for name in names]
            self.submit(launches)
            gate.wait_for_arrivals(count, self.patience_s)
            gate.open()
            values = [value_of(outcome) for outcome in self.wait_for(launches)]
        assert values == names, f"the executor goes on, but with wrong values: {values}"

    def make_marks(self, count: int) -> list[Launch]:
        """Launches whose functions leave a mark, so that it is known whether they ran."""
        path = str(self.directory / "marks")
        return [make_launch(tasks.mark, path, str(number)) for number in range(count)]

    def have_run(self, launches: Iterable[Launch]) -> list[bool]:
        """Whether the functions of these launches have run; they come from one `make_marks`."""
        path = self.directory / "marks"
        names = path.read_text().splitlines() if path.exists() else []
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"the functions of {len(twice)} attempts ran more than once"
        return [launch.args[1] in names for launch in launches]

    def check(self) -> None:
        """See that every attempt had exactly one outcome, and that the loop was used by its rules."""
        outcomes = outcomes_by_attempt(self.sink)
        without = [attempt for attempt in self._submitted if attempt not in outcomes]
        assert not without, f"{len(without)} attempts have no outcome after close: {without[:10]}"
        unknown = outcomes.keys() - set(self._submitted)
        assert not unknown, f"outcomes of attempts that were never submitted: {sorted(unknown)[:10]}"
        assert not self.loop.breaches, "; ".join(self.loop.breaches)
        failures = [repr(failure.error) for failure in self.sink.failures]
        assert not failures, f"the executor gave up: {failures}"

    def _in_loop(self, what: str, function: Callable[[], T]) -> T:
        started = time.monotonic()
        try:
            return self.loop.call(function, self.patience_s)
        except AssertionError:
            raise AssertionError(
                f"{what} blocks: no return after {time.monotonic() - started:.1f} s"
            ) from None
        except BaseException as error:
            raise AssertionError(f"{what} raised {type(error).__name__}: it never raises") from error


def value_of(outcome: Outcome) -> object:
    """The value of an attempt that must have returned one.

    Raises:
        AssertionError: It did not.
    """
    if isinstance(outcome, Returned):
        return outcome.value
    reason = outcome.error if isinstance(outcome, Raised) else outcome.cause
    raise AssertionError(
        f"attempt {outcome.attempt} ended as {type(outcome).__name__}, not with a value"
    ) from reason


def error_of(outcome: Outcome) -> BaseException:
    """The exception of an attempt that must have raised one.

    Raises:
        AssertionError: It did not.
    """
    if isinstance(outcome, Raised):
        return outcome.error
    raise AssertionError(f"attempt {outcome.attempt} ended as {type(outcome).__name__}, not as Raised")


class ExecutorTraits:
    """What a suite states of the executor it tests; rules that do not concern it are skipped."""

    in_process: ClassVar[bool] = False
    """Attempts run in the kernel's process, so that nothing is pickled."""
    kills: ClassVar[bool] = False
    """`cancel` ends attempts that are running."""
    concurrent: ClassVar[bool] = True
    """At least two attempts run at one time. The capacity must be small, since tests fill it."""
    enforces_walltime: ClassVar[bool] = True
    """An attempt that overruns its walltime ends as `AppTimeout`."""
    walltime_frees_workers: ClassVar[bool] = True
    """What ran an attempt that timed out, in code that can be interrupted, is free for the next one."""
    isolates_crashes: ClassVar[bool] = False
    """An attempt that ends its process is lost, and the executor goes on."""
    patience_s: ClassVar[float] = 20.0
    """Seconds to wait for anything that must happen."""
    slack_s: ClassVar[float] = 2.0
    """Seconds by which deadlines and walltimes may be missed; the promise is 2."""

    def make_spec(self) -> ExecutorSpec:
        """What builds the executor under test. Every suite overrides it."""
        raise NotImplementedError(f"{type(self).__name__}.make_spec() must return the specification to test")

    def running(self) -> ExecutorStand:
        """The executor, started."""
        return self.running_from(self.make_spec())

    def running_from(self, spec: ExecutorSpec) -> ExecutorStand:
        """An executor of this specification, started."""
        return ExecutorStand(spec, self.patience_s, self.slack_s)

    def only_if(self, trait: bool, reason: str) -> None:
        """Skip the rest of a test that the executor under test does not promise to pass.

        Raises:
            unittest.SkipTest: `trait` is false.
        """
        if not trait:
            raise unittest.SkipTest(reason)
