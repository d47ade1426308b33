"""One call of an app, as the kernel thread keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from fanflow.errors import DependencyError, JoinError, NoDataFlowKernelError
from fanflow.ids import AttemptId, ExecutorLabel, TaskId
from fanflow.model.states import FINAL_STATES, States

_PENDING = States.pending


class TaskFuture(Protocol):
    """What the rules need of a task's future: nothing but its identity and the latch of its start."""

    def claim(self) -> bool:
        """Whether an attempt may start."""
        ...

    def unclaim(self) -> None:
        """Another attempt is to start; until then it can be cancelled again."""
        ...

    def running(self) -> bool:
        """Whether an attempt has claimed it."""
        ...

    def settle(self, value: object | None, error: BaseException | None) -> bool:
        """Resolve it; False if it was cancelled before."""
        ...

    @property
    def has_callbacks(self) -> bool:
        """Whether `run_callbacks` has anything to do."""
        ...

    def run_callbacks(self) -> None:
        """Call the done-callbacks."""
        ...


@dataclass(slots=True, eq=False)
class AppSpec:
    """What all calls of one app share. Not changed once a call has been made."""

    name: str
    function: Callable[..., object]
    """What the executor calls."""
    executors: tuple[ExecutorLabel, ...] | None = None
    """Allowed labels; None means any but the internal pool."""
    joins: bool = False
    """Whether the function returns futures whose results are the task's result."""
    runs_command: bool = False
    """Whether it waits for a process, which can be ended from outside even in a thread."""
    cache: bool = False
    """Whether equal calls share one result."""
    ignore_for_cache: Sequence[str] = ()
    """Arguments that do not tell calls apart."""
    key_function: Callable[..., object] | None = None
    """The user's function, which identifies the app in memo keys; None: `function`."""


class CallOptions:
    """What one call asked for beyond its arguments; made only when it asked for something."""

    __slots__ = ("outputs", "resources", "stderr", "stdout", "unkeyed", "walltime")

    def __init__(self) -> None:
        self.walltime: float | None = None
        """Seconds."""
        self.resources: Mapping[str, object] | None = None
        self.outputs: list[object] = []
        """The DataFutures of the call's output files."""
        self.unkeyed: tuple[str, ...] = ()
        """Keyword arguments that differ between equal calls: streams that were named for this one."""
        self.stdout: object = None
        self.stderr: object = None


class FailureHistory:
    """What went wrong with a task so far; made at its first failure."""

    __slots__ = ("failures", "losses", "requeues", "retry_cost")

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        """One per attempt that raised or was lost, in order."""
        self.retry_cost = 0.0
        """Spent of the retry budget."""
        self.requeues = 0
        """Attempts lost without any blame on the task."""
        self.losses = 0
        """Attempts lost with what ran them; these do not count against the budget."""


class Task:
    """One call of an app. Written by the kernel thread only, once it is in the inbox."""

    __slots__ = (
        "app",
        "args",
        "attempt",
        "broken",
        "dependants",
        "epoch",
        "error",
        "foreign",
        "future",
        "history",
        "id",
        "joined",
        "key",
        "kwargs",
        "label",
        "needs",
        "options",
        "order",
        "resolve",
        "since",
        "state",
        "tries",
        "waiting",
    )

    def __init__(
        self, task_id: TaskId, app: AppSpec, args: tuple[object, ...], kwargs: dict[str, object] | None
    ) -> None:
        self.id = task_id
        self.app = app
        self.args = args
        """Emptied when the task ends."""
        self.kwargs = kwargs
        self.future: TaskFuture
        self.state = _PENDING
        self.needs: list[Task] | None = None
        """Tasks of the same kernel among its arguments; None once the kernel has linked them."""
        self.foreign: list[Future[object]] | None = None
        """Other futures among its arguments; None once the kernel watches them."""
        self.resolve = False
        """Whether its arguments hold futures whose results take their places before an attempt."""
        self.waiting = 0
        """Dependencies, or joined futures, that have not ended."""
        self.broken: list[tuple[BaseException, str, object]] | None = None
        """Dependencies, or joined futures, that ended badly: error, description, future."""
        self.order: list[Future[object]] | None = None
        """What it waits for, as it came; kept if there are several."""
        self.dependants: list[Task] | None = None
        """Tasks that count this one in `waiting`."""
        self.key: str | None = None
        """Its memo key, once that has been computed."""
        self.joined: object = None
        """What a join app's body returned: a future, or a list of futures."""
        self.epoch = 0
        """Which waiters count it: those of this epoch and later ones."""
        self.attempt: AttemptId | None = None
        """The open attempt; results of any other are dropped."""
        self.label: ExecutorLabel | None = None
        """Where the latest attempt went; retries stay there."""
        self.tries = 0
        """Attempts launched."""
        self.history: FailureHistory | None = None
        self.options: CallOptions | None = None
        self.error: BaseException | None = None
        """Why it ended badly; set in every final failure state but `cancelled`."""
        self.since = 0.0
        """When it took its present state: monotonic seconds."""

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL_STATES

    def __repr__(self) -> str:
        return f"<task {self.id} ({self.app.name}) {self.state.name}>"


def note_failure(task: Task, error: BaseException, description: str, future: object) -> None:
    """One of the futures that the task waits for has ended badly."""
    if task.broken is None:
        task.broken = []
    task.broken.append((error, description, future))


def broken_error(task: Task, broken: list[tuple[BaseException, str, object]]) -> DependencyError | JoinError:
    """Why it cannot go on: what failed, in the order in which the task got it, whichever failed first."""
    if len(broken) > 1:
        places = {id(future): place for place, future in enumerate(task.order or ())}
        broken.sort(key=lambda one: places.get(id(one[2]), len(places)))
    causes = [(error, description) for error, description, _ in broken]
    return (JoinError if task.state is States.joining else DependencyError)(causes, task.id)


def history_of(task: Task) -> FailureHistory:
    """The task's failures, begun if this is the first."""
    if task.history is None:
        task.history = FailureHistory()
    return task.history


def closed_error(task: Task) -> NoDataFlowKernelError:
    """What a task fails with that a cleaned-up kernel did not get to."""
    how = "had not ended" if task.tries else "had not started"
    return NoDataFlowKernelError(
        f"task {task.id} ({task.app.name}) {how} when its kernel was cleaned up; "
        f"call wait_for_current_tasks() first, or load with exit_mode='wait'"
    )
