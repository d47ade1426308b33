"""Whatever happens, and in whatever order, every task ends exactly once."""

from concurrent.futures import Future

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fanflow.core.events import (
    ArgumentsFailed,
    CancelRequested,
    Closing,
    CoreEvent,
    DependencyEnded,
    MemoKeyed,
    RetryDecided,
)
from fanflow.core.task import Task
from fanflow.core.transitions import MOVES, TRANSITIONS, InvalidTransitionError, Signal
from fanflow.ids import AttemptId
from fanflow.model.attempts import ExecutorFailed, Returned, Started
from fanflow.model.states import FINAL_STATES, States
from tests.property.core_stand import LABELS, CoreStand, outcome

INDEX = st.integers(min_value=0, max_value=1000)
COST = st.sampled_from([0.5, 1.0, 2.0])


class Run(RuleBasedStateMachine):
    """Events reach the rules one by one or in batches, as they do in the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.stand: CoreStand | None = None
        self.batch: list[CoreEvent] = []
        self.failed_foreign: set[int] = set()

    @property
    def at(self) -> CoreStand:
        if self.stand is None:
            self.stand = CoreStand(retries=1)
        return self.stand

    def pick(self, index: int) -> Task:
        return self.at.tasks[index % len(self.at.tasks)]

    def tell(self, event: CoreEvent, at_once: bool) -> None:
        self.batch.append(event)
        if at_once:
            self.flush()

    @precondition(lambda self: self.stand is None)
    @rule(retries=st.integers(0, 2), prices=st.booleans(), rerun=st.booleans(), crash_limit=st.integers(1, 3))
    def choose_settings(self, retries: int, prices: bool, rerun: bool, crash_limit: int) -> None:
        self.stand = CoreStand(
            retries=retries, prices_failures=prices, rerun_lost=rerun, crash_limit=crash_limit
        )

    @rule(
        parents=st.lists(INDEX, max_size=3),
        foreign=st.integers(0, 1),
        joins=st.booleans(),
        cache=st.booleans(),
        label=st.sampled_from([None, *LABELS]),
        at_once=st.booleans(),
    )
    def submit(
        self, parents: list[int], foreign: int, joins: bool, cache: bool, label: object, at_once: bool
    ) -> None:
        chosen = {self.pick(index).id: self.pick(index) for index in parents} if self.at.tasks else {}
        executors = tuple(one for one in LABELS if one == label) or None
        task = self.at.new_task(list(chosen.values()), foreign, joins=joins, cache=cache, executors=executors)
        self.tell(task, at_once)

    @precondition(lambda self: self.at.core.attempts)
    @rule(index=INDEX, kind=st.sampled_from([0, 0, 0, 1, 2]), at_once=st.booleans(), twice=st.booleans())
    def end_an_attempt(self, index: int, kind: int, at_once: bool, twice: bool) -> None:
        attempts = list(self.at.core.attempts)
        attempt = attempts[index % len(attempts)]
        event = outcome(kind, attempt)
        if kind == 0 and self.at.core.attempts[attempt].app.joins:
            event = Returned(attempt, self.joined(index))
        self.batch.append(Started(attempt))
        self.tell(event, at_once)
        if twice:
            self.tell(outcome(kind, attempt), at_once)

    def joined(self, index: int) -> object:
        futures: list[Future[object]] = [Future()]
        futures += [self.pick(index + step).future for step in range(index % 3)]  # type: ignore[misc]
        return [futures, futures[0], futures[-1], [], "no future", [1]][index % 6]

    @rule(number=st.integers(-3, 60), kind=st.integers(0, 2), at_once=st.booleans())
    def report_an_attempt_that_may_not_be_open(self, number: int, kind: int, at_once: bool) -> None:
        if AttemptId(number) not in self.at.core.attempts:
            self.tell(outcome(kind, AttemptId(number)), at_once)

    @precondition(lambda self: self.at.core.attempts)
    @rule(index=INDEX, at_once=st.booleans())
    def fail_to_make_arguments(self, index: int, at_once: bool) -> None:
        attempts = list(self.at.core.attempts)
        self.tell(ArgumentsFailed(attempts[index % len(attempts)], TypeError("unhashable")), at_once)

    @precondition(lambda self: self.at.tasks)
    @rule(index=INDEX, at_once=st.booleans())
    def cancel(self, index: int, at_once: bool) -> None:
        self.tell(CancelRequested(self.pick(index)), at_once)

    @precondition(lambda self: self.at.watched)
    @rule(index=INDEX, well=st.booleans(), at_once=st.booleans())
    def end_a_foreign_future(self, index: int, well: bool, at_once: bool) -> None:
        task, future = self.at.watched.pop(index % len(self.at.watched))
        if not well and task.state is States.pending:
            self.failed_foreign.add(task.id)
        error = None if well else ValueError("foreign")
        self.tell(DependencyEnded(task, future, error, "a future"), at_once)

    @precondition(lambda self: self.at.asked)
    @rule(index=INDEX, cost=COST, raises=st.booleans(), at_once=st.booleans())
    def price_a_failure(self, index: int, cost: float, raises: bool, at_once: bool) -> None:
        task = self.at.asked.pop(index % len(self.at.asked))
        self.tell(RetryDecided(task, cost, KeyError("handler") if raises else None), at_once)

    @precondition(lambda self: self.at.unkeyed)
    @rule(index=INDEX, key=st.sampled_from("xy"), raises=st.booleans(), at_once=st.booleans())
    def compute_a_memo_key(self, index: int, key: str, raises: bool, at_once: bool) -> None:
        task = self.at.unkeyed.pop(index % len(self.at.unkeyed))
        self.tell(MemoKeyed(task, key, ValueError("no key") if raises else None), at_once)

    @rule()
    def wait_for_all(self) -> None:
        self.flush()
        self.at.wait()

    @rule(which=st.sampled_from(LABELS), at_once=st.booleans(), often=st.integers(0, 5))
    def break_an_executor(self, which: object, at_once: bool, often: int) -> None:
        if often == 0:
            (label,) = (one for one in LABELS if one == which)
            held = [number for number, task in self.at.core.attempts.items() if task.label == label]
            self.batch.append(ExecutorFailed(label, OSError("gone")))
            self.batch += [outcome(2, number) for number in held]
            if at_once:
                self.flush()

    @rule(final=st.booleans(), often=st.integers(0, 5))
    def close(self, final: bool, often: int) -> None:
        if often == 0:
            self.tell(Closing(final=final), at_once=True)

    @rule()
    def flush(self) -> None:
        batch, self.batch = self.batch, []
        self.at.handle(batch)

    @invariant()
    def nobody_runs_over_budget(self) -> None:
        settings_ = self.at.settings
        free = settings_.crash_limit - 1 if settings_.rerun_lost else 0
        priced = 2 if settings_.prices_failures else 1
        for task in self.at.tasks:
            assert task.tries <= 1 + free + priced * settings_.retries

    @invariant()
    def nothing_starts_after_a_foreign_failure(self) -> None:
        for task_id in self.failed_foreign:
            assert self.at.tasks[task_id].tries == 0

    def teardown(self) -> None:
        self.flush()
        self.at.close_all()
        super().teardown()


TestRun = Run.TestCase
TestRun.settings = settings(max_examples=200, stateful_step_count=40)


@given(st.sampled_from(States), st.sampled_from(Signal))
def test_a_signal_that_the_table_does_not_know_is_an_error(state: States, signal: Signal) -> None:
    stand = CoreStand()
    task = stand.submit()
    stand.core.counts[task.state] -= 1
    stand.core.counts[state] += 1
    task.state = state

    if (state, signal) in TRANSITIONS:
        stand.core._move(task, signal)
        assert task.state is TRANSITIONS[state, signal]
    else:
        with pytest.raises(
            InvalidTransitionError, match=f"task 0 is {state.name} and cannot take {signal.name}"
        ):
            stand.core._move(task, signal)
        assert task.state is state
    assert sum(stand.core.counts.values()) == 1


@given(st.lists(st.sampled_from(Signal), max_size=30))
def test_no_signal_leaves_a_final_state(signals: list[Signal]) -> None:
    state = States.pending
    ended: States | None = None

    for signal in signals:
        state = MOVES[signal].get(state, state)
        if state in FINAL_STATES and ended is None:
            ended = state

    assert ended is None or state is ended


def test_every_state_of_the_table_leads_to_an_end() -> None:
    leads_to_end = set(FINAL_STATES)
    for _ in States:
        leads_to_end |= {before for (before, _), after in TRANSITIONS.items() if after in leads_to_end}

    assert {before for before, _ in TRANSITIONS} <= leads_to_end
    assert set(TRANSITIONS.values()) - {before for before, _ in TRANSITIONS} == FINAL_STATES


@settings(max_examples=60)
@given(
    st.lists(st.lists(INDEX, max_size=4), min_size=1, max_size=40),
    st.sets(INDEX, max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_task_runs_exactly_when_all_its_ancestors_ended_well(
    graph: list[list[int]], bad: set[int], random: object
) -> None:
    stand = CoreStand()
    fails: set[int] = {index % len(graph) for index in bad}
    for number, parents in enumerate(graph):
        chosen = {index % number for index in parents} if number else set()
        stand.submit(*(stand.tasks[index] for index in sorted(chosen)))

    while stand.core.attempts:
        attempt = random.choice(list(stand.core.attempts))  # type: ignore[attr-defined]
        kind = 1 if stand.core.attempts[attempt].id in fails else 0
        stand.handle([outcome(kind, attempt)])

    doomed: set[int] = set()
    for task in stand.tasks:
        if any(parent.id in doomed for parent in stand.parents[task.id]):
            doomed.add(task.id)
            assert task.state is States.dep_fail
            assert task.tries == 0
        elif task.id in fails:
            doomed.add(task.id)
            assert task.state is States.failed
        else:
            assert task.state is States.exec_done
    stand.check_empty()
