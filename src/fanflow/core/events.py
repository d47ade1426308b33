"""What the rules are told, and what they order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from fanflow.core.task import Task
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Lost, Raised, Returned, Started

__all__ = [
    "ArgumentsFailed",
    "AttemptEvent",
    "CallRequested",
    "CancelRequested",
    "Closing",
    "CoreEvent",
    "DependencyEnded",
    "Effects",
    "ExecutorFailed",
    "Lost",
    "MemoKeyed",
    "Raised",
    "RetryDecided",
    "Returned",
    "Started",
    "WaitRequested",
]


class DependencyEnded:
    """A future that is not a task of this kernel is done."""

    __slots__ = ("description", "error", "future", "task")

    def __init__(
        self, task: Task, future: Future[object], error: BaseException | None, description: str
    ) -> None:
        self.task = task
        self.future = future
        self.error = error
        self.description = description


class ArgumentsFailed:
    """A launched task's arguments could not be put together; nothing was sent."""

    __slots__ = ("attempt", "error")

    def __init__(self, attempt: AttemptId, error: BaseException) -> None:
        self.attempt = attempt
        self.error = error


class RetryDecided:
    """The user's retry handler has put a price on a failure, or has raised."""

    __slots__ = ("cost", "error", "task")

    def __init__(self, task: Task, cost: float, error: BaseException | None = None) -> None:
        self.task = task
        self.cost = cost
        self.error = error


class MemoKeyed:
    """A call's memo key has been computed, or could not be."""

    __slots__ = ("error", "key", "task")

    def __init__(self, task: Task, key: str, error: BaseException | None = None) -> None:
        self.task = task
        self.key = key
        self.error = error


class CancelRequested:
    """A future was cancelled; its latch is closed already."""

    __slots__ = ("task",)

    def __init__(self, task: Task) -> None:
        self.task = task


class WaitRequested:
    """Somebody waits until all tasks submitted so far have ended."""

    __slots__ = ("on_done",)

    def __init__(self, on_done: Callable[[], None]) -> None:
        self.on_done = on_done


class CallRequested:
    """Somebody wants a function called in the kernel thread, after all that was posted before."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function


class Closing:
    """The kernel ends: what has not started never will.

    With `final`, what is still open fails: the executors are closed.
    """

    __slots__ = ("final",)

    def __init__(self, *, final: bool) -> None:
        self.final = final


CoreEvent = (
    Task
    | Started
    | Returned
    | Raised
    | Lost
    | ExecutorFailed
    | DependencyEnded
    | ArgumentsFailed
    | RetryDecided
    | MemoKeyed
    | CancelRequested
    | WaitRequested
    | CallRequested
    | Closing
)


class Effects:
    """Orders of one batch, grouped by kind; performed in the order of the fields."""

    __slots__ = ("ask_retry", "cancel", "end", "key", "launch", "notify", "unclaimed", "watch")

    def __init__(self) -> None:
        self.end: list[tuple[Task, object, BaseException | None]] = []
        """Futures to resolve: task, value, error. A join's value is the futures it waited for."""
        self.launch: list[Task] = []
        """Tasks to put together and hand to the executor `task.label`."""
        self.key: list[Task] = []
        """Tasks whose memo key is to be computed, to be answered by `MemoKeyed`."""
        self.watch: list[tuple[Task, Future[object]]] = []
        """Futures of others to report with `DependencyEnded`."""
        self.cancel: list[tuple[ExecutorLabel, AttemptId]] = []
        """Attempts nobody waits for any more."""
        self.ask_retry: list[Task] = []
        """Failures that the user's retry handler is to price."""
        self.notify: list[Callable[[], None]] = []
        """Waiters that are satisfied."""
        self.unclaimed: list[AttemptEvent] = []
        """Outcomes of attempts that are not open: late results, and jobs of the shell itself."""
