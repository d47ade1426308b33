"""Finds what a new task depends on, in the thread that submits it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from fanflow.core.arguments import gather_call
from fanflow.core.task import Task


def find_dependencies(
    task: Task,
    gather: Callable[[object], list[Future[object]]],
    task_of: Callable[[Future[object]], Task | None],
) -> None:
    """Note the futures among the task's arguments: tasks of the same kernel apart from all others.

    Args:
        task: Not handed over yet.
        gather: Argument -> the futures inside.
        task_of: Future -> its task, if it is one of the same kernel.

    Raises:
        TypeError: A plug-in found something that is no future.
    """
    found = gather_call(task.args, task.kwargs, gather)
    if not found:
        return
    task.resolve = True
    if len(found) > 1:
        task.order = found
    needs: list[Task] = []
    foreign: list[Future[object]] = []
    for future in found:
        own = task_of(future)
        if own is None:
            if not isinstance(future, Future):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"traverse_to_gather must return futures only, got {future!r}")
            foreign.append(future)
        else:
            needs.append(own)
    task.needs = needs or None
    task.foreign = foreign or None
