"""The rules of tasks, case by case."""

import time
from concurrent.futures import CancelledError, Future

import pytest

from fanflow.core.events import (
    ArgumentsFailed,
    CallRequested,
    CancelRequested,
    Closing,
    DependencyEnded,
    MemoKeyed,
    RetryDecided,
    WaitRequested,
)
from fanflow.core.transitions import TRANSITIONS
from fanflow.errors import BadStateException, DependencyError, JoinError, NoDataFlowKernelError
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import ExecutorFailed, Lost, Raised, Returned
from fanflow.model.states import FINAL_STATES, States
from tests.property.core_stand import LABELS, CoreStand


def test_a_task_without_dependencies_is_launched_at_once() -> None:
    stand = CoreStand()

    effects = stand.handle([stand.new_task()])

    assert [task.id for task in effects.launch] == [0]
    assert stand.tasks[0].state is States.launched


def test_a_dependant_is_launched_with_the_end_of_what_it_depends_on() -> None:
    stand = CoreStand()
    first = stand.submit()
    second = stand.submit(first)

    effects = stand.finish(first, "value")

    assert effects.end == [(first, "value", None)]
    assert effects.launch == [second]


def test_a_failure_of_20000_links_needs_no_stack() -> None:
    stand = CoreStand()
    tasks = [stand.new_task()]
    for _ in range(20_000):
        tasks.append(stand.new_task([tasks[-1]]))
    stand.core.handle(tasks, 0.0)
    attempt = tasks[0].attempt
    assert attempt is not None

    effects = stand.core.handle([Raised(attempt, ValueError("root"))], 0.0)

    assert len(effects.end) == 20_001
    assert tasks[-1].state is States.dep_fail
    assert stand.core.tasks == {}


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (2, 3)])
def test_a_failing_task_is_tried_within_its_budget(retries: int, tries: int) -> None:
    stand = CoreStand(retries=retries)
    task = stand.submit()
    errors = [ValueError(str(number)) for number in range(tries)]

    for error in errors:
        stand.fail(task, error)

    assert task.state is States.failed
    assert task.tries == tries
    assert stand.error_of(task) is errors[-1]
    assert task.history is not None
    assert task.history.failures == errors
    stand.check_empty()


def test_a_retry_stays_on_the_executor_of_the_first_attempt() -> None:
    stand = CoreStand(retries=1)
    first, second = stand.submit(), stand.submit()
    assert (first.label, second.label) == LABELS

    stand.fail(second, ValueError("again"))

    assert second.label == LABELS[1]
    assert second.tries == 2


def test_losses_are_free_up_to_the_crash_limit_and_then_cost() -> None:
    stand = CoreStand(retries=1, crash_limit=3)
    task = stand.submit()

    for _ in range(4):
        assert task.state is States.launched
        stand.lose(task, OSError("gone"))

    assert task.state is States.failed
    assert task.tries == 4  # two for free, one that costs, and the last


@pytest.mark.parametrize("cost", [2.5, float("inf"), float("nan")])
def test_a_price_over_the_budget_ends_the_task(cost: float) -> None:
    stand = CoreStand(retries=2, prices_failures=True)
    task = stand.submit()
    error = ValueError("dear")
    stand.fail(task, error)
    assert stand.asked == [task]
    assert task.state is States.fail_retryable

    stand.handle([RetryDecided(task, cost)])

    assert stand.error_of(task) is error


def test_a_free_failure_is_tried_again_for_ever() -> None:
    stand = CoreStand(retries=0, prices_failures=True)
    task = stand.submit()

    for _ in range(10):
        stand.fail(task, ValueError("cheap"))
        stand.handle([RetryDecided(task, 0.0)])

    assert task.state is States.launched
    assert task.tries == 11


def test_an_answer_of_a_retry_handler_that_comes_too_late_is_dropped() -> None:
    stand = CoreStand(retries=2, prices_failures=True)
    task = stand.submit()
    stand.fail(task, ValueError("boom"))

    stand.handle([CancelRequested(task), RetryDecided(task, 1.0)])

    assert task.state is States.cancelled
    stand.check_empty()


def test_arguments_that_cannot_be_made_are_not_tried_again() -> None:
    stand = CoreStand(retries=5)
    task = stand.submit()
    assert task.attempt is not None

    stand.handle([ArgumentsFailed(task.attempt, TypeError("unhashable"))])

    assert task.state is States.failed
    assert task.tries == 1


def test_tasks_of_a_failed_executor_go_to_others_or_fail_with_its_reason() -> None:
    stand = CoreStand()
    anywhere = stand.submit()
    only = stand.new_task(executors=(LABELS[0],))
    stand.handle([only])
    assert anywhere.label == LABELS[0]
    lost = [Lost(task.attempt, OSError("gone")) for task in (anywhere, only) if task.attempt is not None]

    stand.handle([ExecutorFailed(LABELS[0], OSError("pool broke")), *lost])

    assert anywhere.label == LABELS[1]
    assert anywhere.state is States.launched
    error = stand.error_of(only)
    assert isinstance(error, BadStateException)
    assert "pool broke" in str(error)


def test_tasks_go_where_the_fewest_attempts_are_per_place() -> None:
    stand = CoreStand()
    stand.core.places.capacities.update({LABELS[0]: 1, LABELS[1]: 3})

    labels = [stand.submit().label for _ in range(8)]

    assert labels.count(ExecutorLabel("a")) == 2
    assert labels.count(ExecutorLabel("b")) == 6


def test_late_results_are_unclaimed_and_change_nothing() -> None:
    stand = CoreStand()
    task = stand.submit()
    attempt = task.attempt
    assert attempt is not None
    late = Returned(attempt, "late")

    effects = stand.handle([CancelRequested(task), late, Returned(AttemptId(99), 1)])

    assert effects.cancel == [(LABELS[0], attempt)]
    assert len(effects.unclaimed) == 2
    assert isinstance(stand.error_of(task), CancelledError)


def test_causes_are_listed_in_the_order_of_the_arguments() -> None:
    stand = CoreStand()
    first, second = stand.submit(), stand.submit()
    after = stand.new_task([first, second], foreign=1)
    assert after.foreign is not None
    (foreign,) = after.foreign
    after.order = [first.future, foreign, second.future]  # type: ignore[list-item]
    stand.handle([after])

    stand.handle([DependencyEnded(after, foreign, KeyError("foreign"), "a future")])
    stand.fail(second, ValueError("second"))
    stand.fail(first, ValueError("first"))

    error = stand.error_of(after)
    assert isinstance(error, DependencyError)
    assert [text for _, text in error.dependent_exceptions_tids] == ["task 0", "a future", "task 1"]
    assert after.order is None


def test_a_join_waits_for_all_and_gives_what_it_waited_for() -> None:
    stand = CoreStand()
    inner, join = stand.submit(), stand.submit(joins=True)
    foreign: Future[object] = Future()

    stand.finish(join, [inner.future, foreign])
    assert join.state is States.joining
    stand.finish(inner, 1)
    assert join.state is States.joining
    effects = stand.handle([DependencyEnded(join, foreign, None, "a future")])

    assert effects.end == [(join, [inner.future, foreign], None)]


def test_a_join_of_nothing_ends_at_once() -> None:
    stand = CoreStand()
    join = stand.submit(joins=True)

    assert stand.finish(join, []).end == [(join, [], None)]


def test_a_join_of_a_failed_task_fails() -> None:
    stand = CoreStand()
    inner, join = stand.submit(), stand.submit(joins=True)
    stand.finish(join, inner.future)

    stand.fail(inner, ValueError("boom"))

    assert isinstance(stand.error_of(join), JoinError)


def test_closing_ends_what_has_not_started_and_lets_run_what_runs() -> None:
    stand = CoreStand(retries=9)
    running, failing = stand.submit(), stand.submit()
    waiting, foreign = stand.submit(running), stand.submit(foreign=1)

    stand.handle([Closing(final=False)])

    assert running.state is States.launched
    for task in (waiting, foreign):
        assert isinstance(stand.error_of(task), NoDataFlowKernelError)
    late = stand.submit(running)
    assert isinstance(stand.error_of(late), NoDataFlowKernelError)
    stand.finish(running, 1)
    error = ValueError("its own")
    stand.fail(failing, error)
    assert stand.error_of(failing) is error  # and not that it could not be tried again
    stand.check_empty()


def test_closing_for_good_ends_everything() -> None:
    stand = CoreStand()
    running = stand.submit()

    stand.handle([Closing(final=True)])

    assert isinstance(stand.error_of(running), NoDataFlowKernelError)
    stand.check_empty()


def test_waiters_are_told_when_all_earlier_tasks_have_ended() -> None:
    stand = CoreStand()
    assert stand.wait() == [None]
    first = stand.submit()
    one = stand.wait()
    second = stand.submit()
    two = stand.wait()

    stand.finish(second)
    assert (one, two) == ([], [])
    stand.finish(first)
    assert (one, two) == ([None], [None])


def test_calls_into_the_kernel_thread_come_after_what_was_posted_before() -> None:
    stand = CoreStand()
    seen: list[int] = []

    stand.handle([stand.new_task(), CallRequested(lambda: seen.append(len(stand.core.tasks)))])

    assert seen == [1]


def test_equal_calls_run_once_and_share_the_result() -> None:
    stand = CoreStand()
    calls = [stand.submit(cache=True) for _ in range(4)]
    assert stand.unkeyed == calls

    stand.handle([MemoKeyed(call, "key") for call in calls])
    assert [call.state for call in calls] == [States.launched, *[States.pending] * 3]
    stand.finish(calls[0], "value")

    assert [call.state for call in calls] == [States.exec_done, *[States.memo_done] * 3]
    assert {end[1] for end in stand.ends.values()} == {"value"}


def test_a_failure_is_not_shared() -> None:
    stand = CoreStand()
    calls = [stand.submit(cache=True) for _ in range(2)]
    stand.handle([MemoKeyed(call, "key") for call in calls])

    stand.fail(calls[0], ValueError("boom"))
    assert calls[1].state is States.launched
    stand.finish(calls[1], "value")

    assert stand.ends[calls[1].id][1] == "value"


def test_thousands_of_equal_calls_on_a_failed_executor_fail_without_a_deep_stack() -> None:
    stand = CoreStand()
    calls = [stand.new_task(cache=True, executors=(LABELS[0],)) for _ in range(3000)]
    stand.core.handle(calls, 0.0)
    stand.core.handle([MemoKeyed(call, "key") for call in calls], 0.0)
    attempt = calls[0].attempt
    assert attempt is not None

    gone = [ExecutorFailed(LABELS[0], OSError("gone")), Lost(attempt, OSError("gone"))]
    effects = stand.core.handle(gone, 0.0)

    assert len(effects.end) == 3000
    assert stand.core.tasks == {}


def test_closing_with_thousands_of_equal_calls_is_quick() -> None:
    stand = CoreStand()
    calls = [stand.new_task(cache=True) for _ in range(20_000)]
    stand.core.handle(calls, 0.0)
    stand.core.handle([MemoKeyed(call, "key") for call in calls], 0.0)

    began = time.process_time()
    stand.core.handle([Closing(final=False)], 0.0)
    stand.core.handle([Closing(final=True)], 0.0)

    assert stand.core.tasks == {}
    assert time.process_time() - began < 2.0


def test_abandoning_ends_tasks_in_every_state_and_tells_the_waiters() -> None:
    stand = CoreStand(retries=1, prices_failures=True)
    running, failing, join = stand.submit(), stand.submit(), stand.submit(joins=True)
    pending = stand.submit(running)
    stand.fail(failing, ValueError("boom"))
    stand.finish(join, running.future)
    told: list[None] = []
    stand.core.handle([WaitRequested(lambda: told.append(None))], 0.0)
    assert {task.state for task in stand.core.tasks.values()} == {
        States.launched, States.fail_retryable, States.joining, States.pending,
    }  # fmt: skip

    error = RuntimeError("a bug")
    effects = stand.core.abandon(error)
    for notify in effects.notify:
        notify()

    assert {(task, cause) for task, _, cause in effects.end} == {
        (task, error) for task in (running, failing, join, pending)
    }
    assert stand.core.counts[States.failed] == 4
    assert stand.core.tasks == {}
    assert told == [None]


def test_the_table_of_moves_is_this_one() -> None:
    moves: dict[str, list[str]] = {}
    for (state, signal), after in TRANSITIONS.items():
        moves.setdefault(state.name, []).append(f"{signal.name.lower()} -> {after.name}")

    assert moves == {
        "pending": [
            "launch -> launched", "fail -> failed", "dependency_fail -> dep_fail",
            "recall -> memo_done", "cancel -> cancelled",
        ],
        "launched": [
            "return -> exec_done", "join -> joining", "retry -> fail_retryable",
            "fail -> failed", "cancel -> cancelled",
        ],
        "fail_retryable": ["again -> pending", "fail -> failed", "cancel -> cancelled"],
        "joining": ["return -> exec_done", "fail -> failed", "cancel -> cancelled"],
    }  # fmt: skip
    assert FINAL_STATES.isdisjoint(States[name] for name in moves)
