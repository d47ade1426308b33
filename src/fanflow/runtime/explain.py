"""Why a task has not ended, or why it failed, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from fanflow.core.arguments import gather_call, gather_deep
from fanflow.core.task import Task
from fanflow.errors import ExecutorError, PropagatedException, WaitInCallbackError
from fanflow.ids import ExecutorLabel
from fanflow.model.states import States
from fanflow.spi.executor import Describing, Executor

_MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What is known about one task."""

    task: int
    """Its number."""
    app: str
    state: str
    """Name of its state."""
    seconds_in_state: float
    waits_for: tuple[str, ...] = ()
    """Futures that have not ended, in words."""
    executor: str | None = None
    """Where its latest attempt went."""
    queue: str | None = None
    """How busy that executor is, while the attempt is there."""
    attempts: int = 0
    """Attempts launched so far."""
    failures: tuple[str, ...] = ()
    """What each failed attempt ended with, in order."""
    error: BaseException | None = None
    """Why it ended badly."""
    path: tuple[str, ...] = ()
    """For a failure elsewhere: the tasks it came through, nearest first."""

    def __str__(self) -> str:
        lines = [f"task {self.task} ({self.app}) is {self.state} since {self.seconds_in_state:.1f} s"]
        if self.waits_for:
            shown = ", ".join(self.waits_for[:_MOST_SHOWN])
            more = len(self.waits_for) - _MOST_SHOWN
            lines.append(f"it waits for {shown}" + (f" and {more} more" if more > 0 else ""))
        if self.executor is not None and self.queue is not None:
            lines.append(f"attempt {self.attempts} is with executor {self.executor!r}, {self.queue}")
        lines.extend(f"attempt {number} failed: {text}" for number, text in enumerate(self.failures, 1))
        if self.path:
            lines.append(f"the cause came through {' <- '.join(self.path)}")
        if self.error is not None:
            cause = self.error.__cause__ if isinstance(self.error, PropagatedException) else self.error
            lines.append(f"cause: {_said(cause or self.error)}")
        return "\n".join(lines)


def explain_task(
    task: Task,
    outstanding: Mapping[ExecutorLabel, int],
    executors: Mapping[ExecutorLabel, Executor],
    now: float,
) -> Explanation:
    """What is known of a task now. Any thread: it reads what the kernel thread may be changing."""
    state, error, history = task.state, task.error, task.history
    if state is States.joining:
        waits = gather_deep(task.joined)
    elif state is States.pending:
        waits = gather_call(task.args, task.kwargs, gather_deep)
    else:
        waits = []
    queue = None
    if state is States.launched and task.label is not None:
        where = "running" if task.future.running() else "queued or running"
        held, places = outstanding.get(task.label, 0), executors[task.label].capacity
        queue = f"{where}; the executor holds {held} attempts and runs up to {places} at a time"
        queue = _described(task, executors[task.label]) or queue
    return Explanation(
        task=task.id,
        app=task.app.name,
        state=state.name,
        seconds_in_state=max(0.0, now - task.since) if task.since else 0.0,
        waits_for=tuple(_named(future) for future in waits if not future.done()),
        executor=task.label,
        queue=queue,
        attempts=task.tries,
        failures=tuple(_said(failure) for failure in history.failures) if history is not None else (),
        error=error,
        path=tuple(error.path()) if isinstance(error, PropagatedException) else (),
    )


def _described(task: Task, executor: Executor) -> str:
    attempt = task.attempt
    if attempt is None or not isinstance(executor, Describing):
        return ""
    try:
        return executor.describe(attempt)
    except (TimeoutError, WaitInCallbackError, ExecutorError):
        return ""  # it does not answer now, cannot be asked here, or has ended meanwhile


def _named(future: Future[object]) -> str:
    task = getattr(future, "task", None)
    if isinstance(task, Task):
        return f"task {task.id} ({task.app.name}, {task.state.name})"
    return repr(future)


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__
        text = "(its text cannot be made)"
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, str) and note.startswith("cause: "):
            text += f" ({note.partition(chr(10))[0].removesuffix(' ends with:')})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
