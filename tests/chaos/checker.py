"""The judge of every chaos test: reads the tasks' ledger and the futures' outcomes, and nothing else.

It asserts that each task ended once (I1) with its own value (I2), that nothing ran more often than allowed
(I3), twice at a time (I4) or before what it needs (I5), and that all that ran again had a reason (I7). That
nothing is left behind (I6) is asserted for every test, see `tests/conftest.py`.
"""

import itertools
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.ledger import value_of

MOST_RUNS = 11
"""Of one task: the first, and ten after losses that are not its fault."""


@dataclass(frozen=True)
class Fault:
    """Something that was done to a process."""

    at: float
    kind: str
    pid: int
    victims: frozenset[int] = frozenset()
    """Workers that ended with it, or could not say what they had done."""
    until: float = 0.0
    """When the process went on, if it was only stopped."""


@dataclass
class Run:
    """One execution of a task, as it told itself."""

    task: int
    pid: int
    start: float
    end: float | None = None


@dataclass
class Outcome:
    """What the client saw of a task."""

    resolutions: int = 0
    at: float = 0.0
    value: object = None
    error: str = ""


@dataclass(frozen=True)
class Allowed:
    """What the faults of a test may cause."""

    per_fault: int = 0
    """Executions beyond the first that each fault may cause."""
    share_of_running: float = 0.0
    """The same, as a share of the tasks that ran when a fault was injected."""
    overlap_s: float = 0.0
    """How long two executions of a task may overlap."""
    failures: bool = False
    """Whether tasks may end with an error."""


@dataclass
class History:
    """All that is known of one run."""

    seed: int
    outcomes: Mapping[int, Outcome]
    runs: Sequence[Run]
    faults: Sequence[Fault] = ()
    parents: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        with path.open("w") as file:
            for fault in self.faults:
                print(json.dumps({**asdict(fault), "victims": sorted(fault.victims)}), file=file)
            for run in self.runs:
                print(json.dumps(asdict(run)), file=file)
            for task, outcome in self.outcomes.items():
                print(json.dumps({"task": task, **asdict(outcome), "value": repr(outcome.value)}), file=file)


@dataclass
class Verdict:
    """The row of a table, and what is wrong."""

    faults: int
    tasks: int
    lost: int
    duplicated: int
    wrong: int
    again: int
    """Executions beyond the first of a task."""
    recoveries: list[float]
    problems: list[str]

    def recovered_within(self) -> float:
        """What 99 of 100 recoveries took at most: a new worker may find nothing to do for a moment."""
        return sorted(self.recoveries)[-(-len(self.recoveries) * 99 // 100) - 1]

    def row(self, name: str, seed: int) -> str:
        p50 = statistics.median(self.recoveries) if self.recoveries else 0.0
        most = max(self.recoveries, default=0.0)
        return (
            f"{name:<24}{seed:>5}{self.faults:>8}{self.tasks:>9}{self.lost:>6}{self.duplicated:>6}"
            f"{self.wrong:>7}{self.again:>7}{p50:>10.3f}{most:>10.3f}"
        )


HEADER = (
    f"{'fault':<24}{'seed':>5}{'faults':>8}{'tasks':>9}{'lost':>6}{'dup':>6}{'wrong':>7}{'again':>7}"
    f"{'p50 s':>10}{'max s':>10}"
)


def read_ledger(path: Path) -> list[Run]:
    """The executions in the order in which they began."""
    runs: list[Run] = []
    open_runs: dict[tuple[int, int], Run] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        kind, task, pid, at, _host = line.split()
        key = int(task), int(pid)
        if kind == "start":
            run = open_runs[key] = Run(*key, float(at))
            runs.append(run)
        else:
            open_runs.pop(key).end = float(at)
    runs.sort(key=lambda run: run.start)
    return runs


def judge(history: History, allowed: Allowed) -> Verdict:
    """Compare what happened with what may happen."""
    by_task: dict[int, list[Run]] = defaultdict(list)
    for run in history.runs:
        by_task[run.task].append(run)
    problems: list[str] = []
    lost, duplicated, wrong = _judge_outcomes(history, by_task, allowed, problems)
    again = sum(len(runs) - 1 for runs in by_task.values())
    _judge_runs(history, by_task, allowed, problems)
    limit = allowed.per_fault * len(history.faults) + int(allowed.share_of_running * _running(history))
    if again > limit:
        problems.append(f"{again} executions beyond the first of a task, at most {limit} are allowed")
    return Verdict(
        len(history.faults),
        len(history.outcomes),
        lost,
        duplicated,
        wrong,
        again,
        recoveries(history),
        problems,
    )


def _judge_outcomes(
    history: History, by_task: Mapping[int, Sequence[Run]], allowed: Allowed, problems: list[str]
) -> tuple[int, int, int]:
    lost = duplicated = wrong = 0
    for task, outcome in history.outcomes.items():
        if outcome.resolutions == 0:
            lost += 1
            problems.append(f"task {task} never ended")
            continue
        if outcome.resolutions > 1:
            duplicated += 1
            problems.append(f"task {task} ended {outcome.resolutions} times")
        if outcome.error:
            if not allowed.failures:
                problems.append(f"task {task} failed: {outcome.error}")
        elif outcome.value != value_of(task):
            wrong += 1
            problems.append(f"task {task} returned {outcome.value!r} instead of {value_of(task)}")
        elif not any(run.end is not None and run.end <= outcome.at for run in by_task.get(task, ())):
            wrong += 1
            problems.append(f"task {task} has a value, but had not run to its end")
    return lost, duplicated, wrong


def _judge_runs(
    history: History, by_task: Mapping[int, Sequence[Run]], allowed: Allowed, problems: list[str]
) -> None:
    victims = frozenset[int]().union(*(fault.victims for fault in history.faults))
    for task, runs in by_task.items():
        if len(runs) > MOST_RUNS:
            problems.append(f"task {task} ran {len(runs)} times")
        for earlier, later in itertools.pairwise(runs):
            if earlier.pid not in victims and not allowed.share_of_running:
                problems.append(
                    f"task {task} ran again without a reason: process {earlier.pid} was not harmed"
                )
            if earlier.end is not None and earlier.end - later.start > allowed.overlap_s:
                problems.append(f"task {task} ran twice at a time for {earlier.end - later.start:.3f} s")
    for task, parents in history.parents.items():
        ends = [
            min((run.end for run in by_task[parent] if run.end is not None), default=None)
            for parent in parents
        ]
        early = [run for run in by_task.get(task, ()) if any(end is None or run.start < end for end in ends)]
        if early:
            problems.append(f"task {task} started before what it needs had ended")


def _running(history: History) -> int:
    """Tasks that ran when faults were injected, all together."""
    return sum(
        run.start < fault.at and (run.end is None or run.end > fault.at)
        for fault in history.faults
        for run in history.runs
    )


def recoveries(history: History) -> list[float]:
    """For each fault, how long it took until what had been lost worked again.

    Where workers ended: until one that was not there before starts a task. Where they were cut off, from then
    on when they no longer are: until the outcome of a task arrives that one of them has started since.
    Otherwise: until the outcome of a task arrives that ended after the fault.
    """
    last = {run.task: run for run in history.runs}
    arrivals = [(outcome.at, last[task]) for task, outcome in history.outcomes.items() if task in last]
    arrivals.sort(key=lambda arrival: arrival[0])
    first_start: dict[int, float] = {}
    for run in history.runs:
        first_start.setdefault(run.pid, run.start)
    starts = sorted(first_start.values())
    found: list[float] = []
    for fault in history.faults:
        if fault.until:
            back = [at for at, run in arrivals if run.pid in fault.victims and run.start > fault.until]
            found += [at - fault.until for at in back[:1]]
        elif fault.victims:
            found += [at - fault.at for at in starts if at > fault.at][:1]
        else:
            found += [at - fault.at for at, run in arrivals if (run.end or 0.0) > fault.at][:1]
    return found


def assert_sound(history: History, allowed: Allowed, directory: Path) -> Verdict:
    """Judge, and say how to look into it if something is wrong."""
    verdict = judge(history, allowed)
    if verdict.problems:
        path = directory / f"history-{history.seed}.jsonl"
        history.save(path)
        kinds = Counter(fault.kind for fault in history.faults)
        shown = "\n  ".join(verdict.problems[:20])
        raise AssertionError(
            f"{len(verdict.problems)} problems with seed {history.seed} after {dict(kinds)}; "
            f"the history is in {path}:\n  {shown}"
        )
    return verdict
