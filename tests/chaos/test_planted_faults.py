"""The judge is judged: engines that lose, repeat or change something are found out."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Launch, Returned
from fanflow.pilot.running import Engine
from fanflow.spi.executor import EventSink, Loop
from tests.chaos.checker import Allowed, Fault, History, Outcome, Run, judge, read_ledger
from tests.chaos.engines import Planted, Wave, loaded
from tests.chaos.ledger import value_of

TASKS = 2_000
RARELY = 1_000
"""One attempt in so many is mistreated."""


def is_chosen(attempt: int) -> bool:
    return attempt % RARELY == RARELY // 2


class ChangingEngine(Engine):
    """Passes outcomes on, but not as they are."""

    def change(self, events: Sequence[AttemptEvent | ExecutorFailed]) -> list[AttemptEvent | ExecutorFailed]:
        raise NotImplementedError

    def start(self, events: EventSink, loop: Loop) -> None:
        super().start(lambda batch: events(self.change(batch)), loop)


class LosesOutcomes(ChangingEngine):
    def change(self, events: Sequence[AttemptEvent | ExecutorFailed]) -> list[AttemptEvent | ExecutorFailed]:
        return [event for event in events if not (isinstance(event, Returned) and is_chosen(event.attempt))]


class ChangesValues(ChangingEngine):
    def change(self, events: Sequence[AttemptEvent | ExecutorFailed]) -> list[AttemptEvent | ExecutorFailed]:
        for event in events:
            if isinstance(event, Returned) and is_chosen(event.attempt):
                event.value = 7
        return list(events)


class RunsTwice(Engine):
    def submit(self, batch: Sequence[Launch]) -> None:
        super().submit(batch)
        for launch in batch:
            if is_chosen(launch.attempt):
                twin = Launch(
                    AttemptId(launch.attempt + 10**9), launch.task, launch.name, launch.function,
                    launch.args, launch.kwargs, launch.latch,
                )  # fmt: skip
                super().submit([twin])


def problems_of(engine: type[Engine], directory: Path, patience_s: float) -> list[str]:
    wave = Wave(directory / "ledger")
    with loaded(Planted(engine), 1) as kernel:
        wave.submit_many(TASKS, 0)
        wave.wait(patience_s)
        history = History(0, {**wave.outcomes}, read_ledger(wave.path), (), wave.parents)
        problems = judge(history, Allowed()).problems
        kernel.cleanup()
    return problems


def test_a_sound_engine_passes(tmp_path: Path) -> None:
    assert problems_of(Engine, tmp_path, 30.0) == []


@pytest.mark.parametrize(
    ("engine", "complaint", "patience_s"),
    [
        (LosesOutcomes, "never ended", 3.0),
        (ChangesValues, "returned 7 instead", 30.0),
        (RunsTwice, "ran again without a reason", 30.0),
    ],
)
def test_one_fault_in_a_thousand_is_found(
    engine: type[Engine], complaint: str, patience_s: float, tmp_path: Path
) -> None:
    problems = problems_of(engine, tmp_path, patience_s)

    assert any(complaint in problem for problem in problems)


def history(**changes: object) -> History:
    """Two tasks, the second needs the first; all is well but for the changes."""
    plain: dict[str, object] = {
        "seed": 0,
        "outcomes": {task: Outcome(1, 3.0 + task, value_of(task)) for task in (0, 1)},
        "runs": [Run(0, 50, 1.0, 2.0), Run(1, 51, 2.5, 3.0)],
        "parents": {1: [0]},
    }
    return History(**{**plain, **changes})  # type: ignore[arg-type]


def outcomes_with(outcome: Outcome) -> dict[int, Outcome]:
    return {0: Outcome(1, 3.0, 0), 1: outcome}


KILL = Fault(1.5, "worker killed", 50, frozenset({50}))


@pytest.mark.parametrize(
    ("changes", "allowed", "complaint"),
    [
        ({"outcomes": outcomes_with(Outcome())}, Allowed(), "task 1 never ended"),
        ({"outcomes": outcomes_with(Outcome(2, 4.0, 7919))}, Allowed(), "task 1 ended 2 times"),
        ({"outcomes": outcomes_with(Outcome(1, 4.0, 3))}, Allowed(), "task 1 returned 3"),
        (
            {"outcomes": outcomes_with(Outcome(1, 4.0, None, "OSError: x"))},
            Allowed(),
            "task 1 failed: OSError",
        ),
        ({"outcomes": outcomes_with(Outcome(1, 2.9, 7919))}, Allowed(), "had not run to its end"),
        ({"runs": [Run(0, 50, 1.0, 2.0), Run(1, 51, 1.5, 3.0)]}, Allowed(), "before what it needs"),
        (
            {"runs": [Run(0, 50, 1.0), Run(0, 51, 1.6, 2.0), Run(1, 51, 2.5, 3.0)]},
            Allowed(per_fault=1),
            "again without a reason",
        ),
        (
            {"runs": [Run(0, 50, 1.0, 1.9), Run(0, 51, 1.6, 2.0), Run(1, 51, 2.5, 3.0)], "faults": [KILL]},
            Allowed(per_fault=1),
            "twice at a time",
        ),
        (
            {"runs": [Run(0, 50, 1.0), Run(0, 51, 1.6, 2.0), Run(1, 51, 2.5, 3.0)], "faults": [KILL]},
            Allowed(),
            "at most 0 are allowed",
        ),
    ],
)
def test_each_rule_sees_its_violation(changes: dict[str, object], allowed: Allowed, complaint: str) -> None:
    problems = judge(history(**changes), allowed).problems

    assert any(complaint in problem for problem in problems)


def test_what_a_fault_explains_is_no_problem() -> None:
    runs = [Run(0, 50, 1.0), Run(0, 51, 1.6, 2.0), Run(1, 51, 2.5, 3.0)]

    verdict = judge(history(runs=runs, faults=[KILL]), Allowed(per_fault=1))

    assert verdict.problems == []
    assert (verdict.faults, verdict.again) == (1, 1)
    assert verdict.recoveries == [pytest.approx(0.1)]
