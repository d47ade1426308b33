"""What an executor is given for one attempt, and what it reports of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from fanflow.ids import AttemptId, ExecutorLabel, TaskId


class Latch(Protocol):
    """Decides, once, between starting an attempt and cancelling its task. Any thread may call it."""

    def claim(self) -> bool:
        """True: the attempt may start, and can no longer be cancelled by its caller alone."""
        ...


class Launch:
    """One attempt, ready to run: every argument is a plain value."""

    __slots__ = ("args", "attempt", "function", "kwargs", "latch", "name", "resources", "task", "walltime")

    def __init__(
        self,
        attempt: AttemptId,
        task: TaskId,
        name: str,
        function: Callable[..., object],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        latch: Latch,
    ) -> None:
        self.attempt = attempt
        """Fences results: what carries an attempt id that is not open is dropped."""
        self.task = task
        self.name = name
        """The app's name, for messages."""
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.latch = latch
        """Executors that cannot stop a running attempt claim it before they start one."""
        self.walltime: float | None = None
        """Seconds, or None for no limit."""
        self.resources: Mapping[str, object] | None = None
        """The call's resource specification, or None."""

    def __repr__(self) -> str:
        return f"<Launch attempt {self.attempt} of task {self.task} ({self.name})>"


class Started:
    """A worker began the attempt."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: AttemptId) -> None:
        self.attempt = attempt


class Returned:
    """The attempt ended with a value."""

    __slots__ = ("attempt", "value")

    def __init__(self, attempt: AttemptId, value: object) -> None:
        self.attempt = attempt
        self.value = value


class Raised:
    """The attempt ended with an exception of the user's code, or could not be started."""

    __slots__ = ("attempt", "error")

    def __init__(self, attempt: AttemptId, error: BaseException) -> None:
        self.attempt = attempt
        self.error = error


class Lost:
    """The attempt ended with what ran it: a worker, a manager, a block, a pool."""

    __slots__ = ("attempt", "blames_task", "cause")

    def __init__(self, attempt: AttemptId, cause: BaseException, *, blames_task: bool = True) -> None:
        self.attempt = attempt
        self.cause = cause
        self.blames_task = blames_task
        """Whether it was running when its worker died unexpectedly, so that it may be the reason."""


AttemptEvent = Started | Returned | Raised | Lost


class ExecutorFailed:
    """An executor cannot go on: what it holds has been reported as lost, what comes is refused."""

    __slots__ = ("error", "label")

    def __init__(self, label: ExecutorLabel, error: BaseException) -> None:
        self.label = label
        self.error = error
