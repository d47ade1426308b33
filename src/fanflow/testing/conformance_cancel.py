"""Conformance rules on what is stopped: cancelled attempts, refusing latches and walltimes."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError

from fanflow.errors import AppTimeout
from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent, Launch, Lost, Raised, Returned
from fanflow.testing import tasks
from fanflow.testing.gates import wait_at_gate
from fanflow.testing.launches import CountingLatch, make_launch
from fanflow.testing.recording import Outcome
from fanflow.testing.stand import ExecutorStand, ExecutorTraits, error_of, value_of

QUEUED = 40
"""Attempts behind those that block every worker; more than any executor hands out ahead."""

WALLTIME_S = 0.1
TINY_WALLTIMES_S = (1e-6, 1e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3)
"""About as long as the functions take."""


def with_latches(launches: Sequence[Launch], *, is_open: bool = True) -> list[CountingLatch]:
    """Give each launch a latch of its own."""
    latches = [CountingLatch(is_open=is_open) for _ in launches]
    for launch, latch in zip(launches, latches, strict=True):
        launch.latch = latch
    return latches


def check_cancelled(outcome: Outcome, *, has_run: bool) -> None:
    """See that an attempt was dropped before it began.

    Raises:
        AssertionError: It ran, or was not reported as cancelled.
    """
    assert not has_run, f"attempt {outcome.attempt} was cancelled before it began, and it ran"
    assert isinstance(outcome, Lost), f"a cancelled attempt is reported as {type(outcome).__name__}"
    assert isinstance(outcome.cause, CancelledError), f"its cause is {type(outcome.cause).__name__}"


def check_consistent(outcome: Outcome, *, has_run: bool) -> None:
    """See that an attempt either ran and returned, or did neither.

    Raises:
        AssertionError: It did only one of the two.
    """
    assert has_run == isinstance(outcome, Returned), (
        f"attempt {outcome.attempt} has {'run' if has_run else 'not run'}, "
        f"and is reported as {type(outcome).__name__}"
    )


@contextlib.contextmanager
def switching_threads_often() -> Generator[None]:
    """Make races between threads of this process likely."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class CancelRules(ExecutorTraits):
    """Attempts that are cancelled."""

    def test_cancelled_attempts_that_have_not_begun_never_run(self) -> None:
        with self.running() as stand:
            stand.block(stand.executor.capacity)
            queued = stand.make_marks(QUEUED)
            latches = with_latches(queued)
            stand.submit(queued)

            stand.cancel(queued)
            # An executor may have claimed a few ahead of time; those count as begun.
            has_begun = [latch.claims > latch.refusals for latch in latches]
            stand.gate.open()

            outcomes = stand.wait_for(queued)
            assert not has_begun[-1], f"{QUEUED} attempts were claimed while every worker was busy"
            for outcome, begun, has_run in zip(outcomes, has_begun, stand.have_run(queued), strict=True):
                if begun:
                    check_consistent(outcome, has_run=has_run)
                else:
                    check_cancelled(outcome, has_run=has_run)
            stand.see_it_go_on()

    def test_a_cancelled_attempt_leaves_those_around_it_running(self) -> None:
        with self.running() as stand:
            stand.block(stand.executor.capacity)
            queued = stand.make_marks(QUEUED)
            with_latches(queued)
            stand.submit(queued)

            stand.cancel(queued[-1:])
            stand.gate.open()

            *others, cancelled = stand.wait_for(queued)
            assert [value_of(outcome) for outcome in others] == [str(number) for number in range(QUEUED - 1)]
            check_cancelled(cancelled, has_run=stand.have_run(queued)[-1])

    def test_cancelling_what_is_unknown_finished_or_cancelled_changes_nothing(self) -> None:
        with self.running() as stand:
            done = make_launch(tasks.add, 1, 2)
            stand.run(done)

            stand.cancel_ids([])
            stand.cancel_ids([AttemptId(10**9), done.attempt])
            stand.cancel([done, done])

            stand.see_it_go_on()

    def test_an_attempt_cancelled_twice_has_one_outcome(self) -> None:
        with self.running() as stand:
            stand.block(stand.executor.capacity)
            queued = stand.make_marks(QUEUED)
            with_latches(queued)
            stand.submit(queued)

            stand.cancel([queued[-1], queued[-1]])
            stand.cancel([queued[-1]])
            stand.gate.open()

            stand.wait_for(queued)

    def test_a_running_attempt_is_killed_or_finishes(self) -> None:
        with self.running() as stand:
            blockers = stand.block(1)
            with_latches(blockers)
            stand.cancel(blockers)
            if self.kills:
                check_cancelled(stand.wait_for(blockers)[0], has_run=False)
            else:
                stand.gate.open()
                assert value_of(stand.wait_for(blockers)[0]) == "blocker"
            stand.see_it_go_on()

    def test_a_running_command_is_stopped_where_the_executor_says_so(self) -> None:
        with self.running() as stand:
            self.only_if(stand.executor.stops_commands, "stops no commands")
            launch = make_launch(tasks.wait_until_stopped, stand.gate.directory)
            stand.submit([launch])
            stand.gate.wait_for_arrivals(1, self.patience_s)

            stand.cancel([launch])

            assert not isinstance(stand.wait_for([launch])[0], Returned)
            stand.see_it_go_on()

    def test_cancelling_at_any_moment_gives_one_outcome_that_is_true(self) -> None:
        with self.running() as stand:
            launches = stand.make_marks(200)
            with_latches(launches)
            for position in range(0, 200, 20):
                batch = launches[position : position + 20]
                stand.submit(batch)
                stand.cancel(reversed(batch))
            outcomes = stand.wait_for(launches)

            for outcome, has_run in zip(outcomes, stand.have_run(launches), strict=True):
                if self.kills:  # may be killed after its mark
                    assert has_run or isinstance(outcome, Lost)
                else:
                    check_consistent(outcome, has_run=has_run)
            stand.see_it_go_on()

    def test_an_attempt_whose_latch_refuses_does_not_run(self) -> None:
        self.only_if(not self.kills, "stops attempts without asking their latches")
        with self.running() as stand:
            launches = stand.make_marks(40)
            refused, accepted = launches[::2], launches[1::2]
            with_latches(refused, is_open=False)
            stand.submit(launches)

            for outcome in stand.wait_for(accepted):
                value_of(outcome)
            outcomes = stand.wait_for(refused)
            for outcome, has_run in zip(outcomes, stand.have_run(refused), strict=True):
                check_cancelled(outcome, has_run=has_run)

    def test_an_attempt_whose_latch_shuts_while_it_waits_does_not_run(self) -> None:
        self.only_if(not self.kills, "stops attempts without asking their latches")
        with self.running() as stand:
            stand.block(stand.executor.capacity)
            queued = stand.make_marks(QUEUED)
            latches = with_latches(queued)
            stand.submit(queued)

            latches[-1].shut()
            stand.gate.open()

            check_cancelled(stand.wait_for(queued)[-1], has_run=stand.have_run(queued)[-1])

    def test_the_latch_of_an_attempt_that_runs_is_claimed_once(self) -> None:
        self.only_if(not self.kills, "stops attempts without asking their latches")
        with self.running() as stand:
            launches = stand.make_marks(40)
            latches = with_latches(launches)
            stand.submit(launches)

            stand.wait_for(launches)
            assert [latch.claims for latch in latches] == [1] * 40


class WalltimeRules(ExecutorTraits):
    """Attempts that run too long."""

    def test_attempts_that_loop_too_long_time_out_and_every_worker_goes_on(self) -> None:
        self.only_if(self.enforces_walltime, "has no walltime")
        with self.running() as stand:
            stand.see_it_go_on()
            path = stand.directory / "loop"
            path.touch()
            launches = [
                make_launch(tasks.loop_while_exists, str(path)) for _ in range(stand.executor.capacity)
            ]

            self._check_time_out(stand, launches)

            if not self.walltime_frees_workers:
                path.unlink()
            stand.see_it_go_on()
            path.unlink(missing_ok=True)

    def test_an_attempt_that_blocks_too_long_times_out_and_the_executor_goes_on(self) -> None:
        self.only_if(self.enforces_walltime, "has no walltime")
        with self.running() as stand:
            stand.see_it_go_on()
            launch = make_launch(wait_at_gate, stand.gate.directory, "blocker")

            self._check_time_out(stand, [launch])

            stand.see_it_go_on(stand.executor.capacity - 1)

    def test_the_late_end_of_an_attempt_that_timed_out_is_not_reported(self) -> None:
        self.only_if(self.enforces_walltime, "has no walltime")
        with self.running() as stand:
            stand.see_it_go_on()
            launch = make_launch(wait_at_gate, stand.gate.directory, "blocker")
            self._check_time_out(stand, [launch])

            stand.gate.open()

            stand.see_it_go_on()
            stand.close(drain=True, deadline=self.patience_s)

    def test_a_walltime_that_is_not_reached_changes_nothing(self) -> None:
        with self.running() as stand:
            launches = [make_launch(tasks.add, number, 1) for number in range(100)]
            for launch in launches:
                launch.walltime = 60.0

            assert stand.values(launches) == list(range(1, 101))

    def test_attempts_that_end_as_their_walltime_does_harm_no_other(self) -> None:
        self.only_if(self.enforces_walltime, "has no walltime")
        with self.running() as stand:
            stand.see_it_go_on()
            launches = [make_launch(tasks.count_to, 3000) for _ in range(500)]
            for launch, walltime in zip(launches, itertools.cycle(TINY_WALLTIMES_S), strict=False):
                launch.walltime = walltime
            between = [make_launch(tasks.add, number, 1) for number in range(500)]
            with switching_threads_often():
                stand.submit([launch for pair in zip(launches, between, strict=True) for launch in pair])

                for number, outcome in enumerate(stand.wait_for(between), 1):
                    assert self._is_bystander(outcome) or value_of(outcome) == number
                for outcome in stand.wait_for(launches):
                    assert (
                        self._is_bystander(outcome)
                        or isinstance(outcome, Returned)
                        or isinstance(error_of(outcome), AppTimeout)
                    )
            stand.see_it_go_on()

    def _is_bystander(self, outcome: AttemptEvent) -> bool:
        """It began in the moment in which its worker was killed for the attempt before; it runs again."""
        return self.kills and isinstance(outcome, Lost) and not outcome.blames_task

    def _check_time_out(self, stand: ExecutorStand, launches: Sequence[Launch]) -> None:
        for launch in launches:
            launch.walltime = WALLTIME_S
        stand.submit(launches)
        for outcome in stand.wait_for(launches, WALLTIME_S + stand.slack_s):
            assert isinstance(outcome, Raised), f"a timeout is reported as {type(outcome).__name__}"
            assert isinstance(outcome.error, AppTimeout), f"{type(outcome.error).__name__} was raised"
