import contextlib
from collections.abc import Callable, Iterator

import pytest

from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance
from tests.conformance import defects
from tests.conformance.plain_executor import PlainExecutor, PlainSpec


class Suite(ExecutorConformance):
    """The suite with little patience, called by hand."""

    in_process = True
    patience_s = 0.3
    slack_s = 0.3

    def __init__(self, spec: PlainSpec) -> None:
        self.spec = spec

    def make_spec(self) -> ExecutorSpec:
        return self.spec


class PicklingSuite(Suite):
    in_process = False


class KillingSuite(Suite):
    kills = True


@contextlib.contextmanager
def really_closed(spec: PlainSpec) -> Iterator[PlainSpec]:
    """Ends the threads of executors that did not end them."""
    try:
        yield spec
    finally:
        for executor in spec.built:
            if isinstance(executor, defects.LeavesItsThreads):
                executor.let_go()
            executor.queue.clear()
            PlainExecutor.close(executor, drain=False, deadline=2.0)


Rule = Callable[[Suite], None]

CAUGHT: list[tuple[type[PlainExecutor], Rule]] = [
    (defects.DropsOneOutcomeInTen, Suite.test_every_attempt_of_a_large_batch_has_one_outcome),
    (defects.DropsOneOutcomeInTen, Suite.test_attempts_submitted_one_by_one_have_one_outcome_each),
    (defects.DropsOneOutcomeInTen, Suite.test_batches_can_be_submitted_while_results_arrive),
    (defects.DeliversTwice, Suite.test_a_value_comes_back),
    (defects.DeliversTwice, Suite.test_an_attempt_cancelled_twice_has_one_outcome),
    (defects.ReportsStartedAfterTheOutcome, Suite.test_a_value_comes_back),
    (defects.ReportsAnAttemptItNeverGot, Suite.test_a_value_comes_back),
    (defects.RaisesFromSubmit, Suite.test_resources_that_it_does_not_understand_fail_their_own_attempt),
    (defects.IgnoresResources, Suite.test_resources_that_it_does_not_understand_fail_their_own_attempt),
    (defects.RunsInsideSubmit, Suite.test_submit_returns_while_the_attempts_still_run),
    (defects.RunsOneAtATime, Suite.test_as_many_attempts_run_at_one_time_as_its_capacity_says),
    (defects.IgnoresTheLatch, Suite.test_an_attempt_whose_latch_refuses_does_not_run),
    (defects.IgnoresTheLatch, Suite.test_an_attempt_whose_latch_shuts_while_it_waits_does_not_run),
    (defects.ClaimsTheLatchTwice, Suite.test_the_latch_of_an_attempt_that_runs_is_claimed_once),
    (defects.RunsCancelledAttempts, Suite.test_cancelled_attempts_that_have_not_begun_never_run),
    (defects.CancelsTooMany, Suite.test_a_cancelled_attempt_leaves_those_around_it_running),
    (
        defects.RaisesForUnknownAttempts,
        Suite.test_cancelling_what_is_unknown_finished_or_cancelled_changes_nothing,
    ),
    (defects.IgnoresWalltime, Suite.test_attempts_that_loop_too_long_time_out_and_every_worker_goes_on),
    (defects.IgnoresWalltime, Suite.test_an_attempt_that_blocks_too_long_times_out_and_the_executor_goes_on),
    (
        defects.LosesAWorkerToATimeout,
        Suite.test_attempts_that_loop_too_long_time_out_and_every_worker_goes_on,
    ),
    (defects.ReportsLateResults, Suite.test_the_late_end_of_an_attempt_that_timed_out_is_not_reported),
    (
        defects.LosesAWorkerToSysExit,
        Suite.test_attempts_that_try_to_end_the_process_raise_and_the_executor_goes_on,
    ),
    (defects.WrapsExceptions, Suite.test_every_odd_exception_ends_its_own_attempt_only),
    (defects.WrapsExceptions, Suite.test_an_exception_comes_back_as_its_own_type_with_the_remote_traceback),
    (defects.LosesTracebacks, Suite.test_an_exception_comes_back_as_its_own_type_with_the_remote_traceback),
    (defects.MixesUpValues, Suite.test_every_attempt_of_a_large_batch_has_one_outcome),
    (defects.KeepsWhatItRan, Suite.test_nothing_of_an_attempt_is_kept_after_its_outcome),
    (defects.UsesTheLoopFromAnotherThread, Suite.test_a_value_comes_back),
    (defects.IgnoresClose, Suite.test_close_that_drains_finishes_everything),
    (defects.IgnoresClose, Suite.test_attempts_that_come_after_close_are_refused_without_an_exception),
    (defects.AlwaysDrains, Suite.test_close_that_does_not_drain_begins_nothing_when_a_worker_becomes_free),
    (defects.NeverDrains, Suite.test_close_that_drains_finishes_everything),
    (defects.ClosesOnce, Suite.test_close_can_be_called_again),
    (defects.IgnoresTheDeadline, Suite.test_close_keeps_its_deadline_and_reports_no_late_result),
    (defects.ReportsLateResults, Suite.test_close_keeps_its_deadline_and_reports_no_late_result),
    (
        defects.ForgetsAttemptsAfterClose,
        Suite.test_attempts_that_come_after_close_are_refused_without_an_exception,
    ),
    (defects.LeavesItsThreads, Suite.test_nothing_is_left_behind),
]


@pytest.mark.parametrize(
    ("kind", "rule"),
    CAUGHT,
    ids=[f"{kind.__name__}-{rule.__name__.removeprefix('test_')}" for kind, rule in CAUGHT],
)
def test_a_broken_executor_fails(kind: type[PlainExecutor], rule: Rule) -> None:
    with really_closed(PlainSpec(kind)) as spec, pytest.raises(AssertionError):
        rule(Suite(spec))


def test_a_specification_that_builds_one_executor_only_fails() -> None:
    with really_closed(defects.SharedSpec()) as spec, pytest.raises(AssertionError):
        Suite(spec).test_a_specification_builds_independent_executors()


def test_an_executor_that_does_not_pickle_fails_where_it_says_it_does() -> None:
    for rule in (
        PicklingSuite.test_an_argument_that_cannot_be_pickled_fails_its_own_attempt_and_is_named,
        PicklingSuite.test_a_function_that_cannot_be_pickled_fails_its_own_attempt,
        PicklingSuite.test_a_result_that_cannot_be_pickled_fails_its_own_attempt,
        PicklingSuite.test_values_that_cannot_be_unpickled_fail_their_own_attempts,
    ):
        with really_closed(PlainSpec()) as spec, pytest.raises(AssertionError):
            rule(PicklingSuite(spec))


def test_an_executor_that_cannot_kill_fails_where_it_says_it_does() -> None:
    with really_closed(PlainSpec()) as spec, pytest.raises(AssertionError):
        KillingSuite(spec).test_a_running_attempt_is_killed_or_finishes()
