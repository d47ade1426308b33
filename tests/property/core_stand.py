"""A stand on which the rules of tasks run alone; it keeps books of its own and compares after every batch."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from fanflow.core.events import Closing, CoreEvent, Effects, WaitRequested
from fanflow.core.settings import CoreSettings
from fanflow.core.task import AppSpec, Task
from fanflow.core.task_core import TaskCore
from fanflow.ids import AttemptId, ExecutorLabel, TaskId
from fanflow.model.attempts import Lost, Raised, Returned
from fanflow.model.states import FINAL_FAILURE_STATES, FINAL_STATES, States
from fanflow.spi.placement import least_loaded

LABELS = (ExecutorLabel("a"), ExecutorLabel("b"))
OUTCOMES = (Returned, Raised, Lost)


def do_nothing() -> None:
    """What every app of the stand would call; the rules never do."""


class StandFuture(Future[object]):
    """A future that knows its task, as those of the kernel do."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def claim(self) -> bool:
        return True


def task_of(future: Future[object]) -> Task | None:
    return future.task if isinstance(future, StandFuture) else None


class CoreStand:
    """A `TaskCore` with books of its own beside it."""

    def __init__(
        self,
        *,
        retries: float = 0,
        prices_failures: bool = False,
        rerun_lost: bool = True,
        crash_limit: int = 3,
    ) -> None:
        self.settings = CoreSettings(
            labels=LABELS,
            placement=least_loaded,
            retries=retries,
            prices_failures=prices_failures,
            rerun_lost=rerun_lost,
            crash_limit=crash_limit,
        )
        self.core = TaskCore(self.settings, task_of)
        self.tasks: list[Task] = []
        self.parents: dict[TaskId, list[Task]] = {}
        self.ends: dict[TaskId, tuple[States, object, BaseException | None]] = {}
        self.watched: list[tuple[Task, Future[object]]] = []
        """Not answered yet; so are `asked` and `unkeyed`."""
        self.asked: list[Task] = []
        self.unkeyed: list[Task] = []
        self.waits: list[tuple[set[TaskId], list[None]]] = []

    # -- events ---------------------------------------------------------------------------------

    def new_task(
        self,
        parents: Sequence[Task] = (),
        foreign: int = 0,
        *,
        joins: bool = False,
        cache: bool = False,
        executors: tuple[ExecutorLabel, ...] | None = None,
    ) -> Task:
        app = AppSpec("app", do_nothing, executors=executors, joins=joins, cache=cache)
        task = Task(TaskId(len(self.tasks)), app, (), None)
        task.future = StandFuture(task)
        task.needs = list(parents) or None
        task.foreign = [Future() for _ in range(foreign)] or None
        self.tasks.append(task)
        self.parents[task.id] = list(parents)
        return task

    def submit(self, *parents: Task, foreign: int = 0, joins: bool = False, cache: bool = False) -> Task:
        task = self.new_task(parents, foreign, joins=joins, cache=cache)
        self.handle([task])
        return task

    def wait(self) -> list[None]:
        """Wait for all tasks so far; the list gets an item when that is over."""
        told: list[None] = []
        self.waits.append((set(self.core.tasks), told))
        self.handle([WaitRequested(lambda: told.append(None))])
        return told

    def finish(self, task: Task, value: object = None) -> Effects:
        assert task.attempt is not None
        return self.handle([Returned(task.attempt, value)])

    def fail(self, task: Task, error: BaseException) -> Effects:
        assert task.attempt is not None
        return self.handle([Raised(task.attempt, error)])

    def lose(self, task: Task, cause: BaseException) -> Effects:
        assert task.attempt is not None
        return self.handle([Lost(task.attempt, cause)])

    def error_of(self, task: Task) -> BaseException:
        error = self.ends[task.id][2]
        assert error is not None
        return error

    # -- the books ------------------------------------------------------------------------------

    def handle(self, events: Iterable[CoreEvent]) -> Effects:
        """Pass a batch on and compare everything afterwards."""
        events = list(events)
        open_before = set(self.core.attempts)
        next_attempt = max(open_before, default=0)
        effects = self.core.handle(events, now=1.0)
        for task, value, error in effects.end:
            assert task.id not in self.ends, f"{task} ended twice"
            assert task.state in FINAL_STATES
            assert (error is not None) == (task.state in FINAL_FAILURE_STATES)
            self.ends[task.id] = (task.state, value, error)
        for task in effects.launch:
            for parent in self.parents[task.id]:
                assert self.ends[parent.id][0] not in FINAL_FAILURE_STATES, f"{task}: {parent} ended badly"
        for event in events:
            if isinstance(event, OUTCOMES) and event.attempt <= next_attempt:
                assert event.attempt in open_before or event in effects.unclaimed
        self.watched += effects.watch
        self.asked += effects.ask_retry
        self.unkeyed += effects.key
        for notify in effects.notify:
            notify()
        self.check()
        return effects

    def check(self) -> None:
        """What must hold between batches."""
        core = self.core
        known = [task for task in self.tasks if task.id in core.tasks or task.id in self.ends]
        assert sum(core.counts.values()) == len(known)
        for state in States:
            assert core.counts[state] == sum(task.state is state for task in known), state
        assert core.tasks.keys() == {task.id for task in known if task.state not in FINAL_STATES}
        assert core.tasks.keys().isdisjoint(self.ends)
        for task_id, (state, _, _) in self.ends.items():
            assert self.tasks[task_id].state is state, f"{self.tasks[task_id]} left its final state {state}"
        for label, number in core.places.outstanding.items():
            assert number == sum(task.label == label for task in core.attempts.values())
        for attempt, task in core.attempts.items():
            assert task.attempt == attempt
            assert task.state is States.launched
        for awaited, told in self.waits:
            assert len(told) == int(awaited <= self.ends.keys())

    def close_all(self) -> None:
        """End the run, and check that nothing is left."""
        self.handle([Closing(final=False)])
        self.handle([Closing(final=True)])
        self.check_empty()

    def check_empty(self) -> None:
        assert self.core.tasks == {}
        assert self.core.attempts == {}
        assert set(self.core.places.outstanding.values()) <= {0}
        assert len(self.ends) == len(self.tasks)


def outcome(kind: int, attempt: AttemptId) -> Returned | Raised | Lost:
    """One of the three ends of an attempt."""
    if kind == 0:
        return Returned(attempt, attempt)
    return Raised(attempt, ValueError("raised")) if kind == 1 else Lost(attempt, OSError("lost"))
