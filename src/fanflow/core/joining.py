"""What a join app's body may return."""

from __future__ import annotations

from concurrent.futures import Future
from typing import cast

from fanflow.core.task import Task
from fanflow.errors import DataFlowException

_LONGEST_SHOWN = 200


def futures_to_join(task: Task, value: object) -> list[Future[object]] | Exception:
    """The futures that the body of a task returned, or what is wrong with them."""
    futures = joinable_futures(value)
    if futures is None:
        got = f"{_shown(value)} of type {type(value)}"
        wrong = TypeError(f"join_app body must return a Future or list of Futures, got {got}")
        fix = (
            "add the return statement"
            if value is None
            else "return the futures themselves, or a list of them"
        )
        wrong.add_note(f"it is the body of {task.app.name!r} (task {task.id}); {fix}")
        return wrong
    if any(id(future) == id(task.future) for future in futures):
        return DataFlowException(
            f"join app {task.app.name!r} (task {task.id}) returned its own future, which can never end"
        )
    return futures


def joinable_futures(value: object) -> list[Future[object]] | None:
    """The futures in a value; None for anything but a future or a list of futures."""
    if isinstance(value, Future):
        return [cast("Future[object]", value)]
    if isinstance(value, list):
        items = cast("list[object]", value)
        if all(isinstance(item, Future) for item in items):
            return [cast("Future[object]", item) for item in items]
    return None


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except Exception as error:  # noqa: BLE001 - a user's __repr__, called in the kernel thread
        return f"something whose repr raises {type(error).__name__}"
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "..."
