import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from fanflow.ids import AttemptId
from fanflow.model.attempts import Lost, Raised, Returned
from fanflow.testing import (
    CountingLatch,
    ManualLoop,
    RecordingSink,
    ScriptedExecutor,
    ScriptedExecutorSpec,
    make_launch,
    outcomes_by_attempt,
)
from fanflow.testing.stand import stand_context


def started(**options: bool) -> tuple[ScriptedExecutor, RecordingSink]:
    executor, sink = ScriptedExecutor(**options), RecordingSink()
    executor.start(sink, ManualLoop())
    return executor, sink


def test_a_scripted_executor_reports_what_the_test_decides() -> None:
    executor, sink = started()
    launches = [make_launch(pow, 2, 3) for _ in range(3)]
    executor.submit(launches)
    returned, raised, lost = (launch.attempt for launch in launches)
    error = ValueError("mine")
    assert executor.wait_for_launches(3) == launches
    assert sink.events == []

    executor.finish(returned, 8)
    executor.fail(raised, error)
    executor.lose(lost, error)

    assert sink.started == [returned, raised]
    outcomes = outcomes_by_attempt(sink)
    assert [(type(outcome), outcome.attempt) for outcome in outcomes.values()] == [
        (Returned, returned),
        (Raised, raised),
        (Lost, lost),
    ]
    assert executor.open == []


def test_a_scripted_executor_refuses_a_second_outcome() -> None:
    executor, sink = started()
    launch = make_launch(pow, 2, 3)
    executor.submit([launch])
    executor.finish(launch.attempt)

    for again in (executor.finish, executor.begin):
        with pytest.raises(KeyError):
            again(launch.attempt)
    with pytest.raises(KeyError):
        executor.lose(launch.attempt, ValueError())
    assert len(sink.outcomes) == 1


def test_a_scripted_executor_claims_the_latch_once_before_it_begins() -> None:
    executor, _ = started()
    launch = make_launch(pow, 2, 3)
    launch.latch = latch = CountingLatch()
    executor.submit([launch])
    assert latch.claims == 0

    assert executor.begin(launch.attempt)
    executor.finish(launch.attempt)

    assert latch.claims == 1


def test_a_scripted_attempt_whose_latch_refuses_is_lost() -> None:
    executor, sink = started()
    launch = make_launch(pow, 2, 3)
    launch.latch = CountingLatch(is_open=False)
    executor.submit([launch])

    executor.finish(launch.attempt, 8)

    (outcome,) = sink.outcomes
    assert isinstance(outcome, Lost)
    assert isinstance(outcome.cause, CancelledError)
    assert sink.started == []


@pytest.mark.parametrize("kills", [False, True])
def test_cancel_ends_what_has_not_begun_and_what_can_be_killed(kills: bool) -> None:
    executor, sink = started(kills=kills)
    running, waiting = make_launch(pow, 2, 3), make_launch(pow, 2, 3)
    executor.submit([running, waiting])
    executor.begin(running.attempt)

    executor.cancel([running.attempt, waiting.attempt, waiting.attempt, AttemptId(10**9)])

    assert executor.open == ([] if kills else [running.attempt])
    assert len(executor.wait_for_cancels(4)) == 4
    assert all(isinstance(outcome, Lost) for outcome in sink.outcomes)
    assert len(outcomes_by_attempt(sink)) == (2 if kills else 1)


def test_close_reports_what_is_open_and_refuses_what_comes() -> None:
    executor, sink = started()
    early, late = make_launch(pow, 2, 3), make_launch(pow, 2, 3)
    executor.submit([early])

    executor.close(drain=False, deadline=10)
    executor.close(drain=True, deadline=10)
    executor.submit([late])

    assert executor.is_closed
    assert executor.launches == [early]
    outcomes = outcomes_by_attempt(sink)
    assert [type(outcomes[launch.attempt]) for launch in (early, late)] == [Lost, Lost]


def test_close_that_drains_waits_for_the_script() -> None:
    executor, sink = started()
    launch = make_launch(pow, 2, 3)
    executor.submit([launch])
    closer = threading.Thread(target=lambda: executor.close(drain=True, deadline=10))
    closer.start()

    executor.finish(launch.attempt, 8)
    closer.join(10)

    assert not closer.is_alive()
    assert [type(outcome) for outcome in sink.outcomes] == [Returned]


def test_a_breakdown_loses_everything_and_says_so() -> None:
    executor, sink = started()
    launches = [make_launch(pow, 2, 3) for _ in range(2)]
    executor.submit(launches)
    error = OSError("the machine is gone")

    executor.break_down(error)

    assert [type(outcome) for outcome in sink.outcomes] == [Lost, Lost]
    assert [(failure.label, failure.error) for failure in sink.failures] == [(executor.label, error)]


def test_a_script_can_break_the_rules_on_purpose() -> None:
    executor, sink = started()

    executor.report([Returned(AttemptId(1), 1), Returned(AttemptId(1), 2)])

    assert len(sink.outcomes) == 2


def test_waiting_for_launches_that_do_not_come_ends() -> None:
    executor, _ = started()

    with pytest.raises(AssertionError, match="for 1 launches; 0 came"):
        executor.wait_for_launches(1, deadline_s=0.01)
    with pytest.raises(AssertionError, match="for 1 cancels; 0 came"):
        executor.wait_for_cancels(1, deadline_s=0.01)


def test_a_scripted_specification_builds_anew_and_shows_the_last(tmp_path: Path) -> None:
    spec = ScriptedExecutorSpec("mine", capacity=3, kills=True)
    with pytest.raises(LookupError, match="has not been built"):
        spec.executor  # noqa: B018 - the property raises

    first, second = spec.build(stand_context(tmp_path)), spec.build(stand_context(tmp_path))

    assert spec.built == [first, second]
    assert spec.executor is second
    assert (second.label, second.capacity, second.kills, second.stops_commands) == ("mine", 3, True, True)
