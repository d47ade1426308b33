"""Ends all that is open when the kernel thread itself has failed, so that nobody waits for ever."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from fanflow.core.events import CallRequested, CoreEvent, Effects, WaitRequested
from fanflow.core.task import Task
from fanflow.core.task_core import TaskCore
from fanflow.errors import InternalConsistencyError
from fanflow.runtime.futures import AppFuture

_log = logging.getLogger("fanflow")


def crash_error(error: BaseException) -> InternalConsistencyError:
    """What every open future ends with."""
    told = InternalConsistencyError(
        f"the kernel thread failed with {type(error).__name__}: {error}; please report it with the log"
    )
    told.__cause__ = error
    return told


def end_all(
    core: TaskCore, performing: Effects | None, inbox: deque[CoreEvent], error: BaseException
) -> None:
    """End every future that is open, and everybody's waiting.

    Args:
        core: The rules.
        performing: Orders that were being performed when it happened.
        inbox: What nobody has handled; emptied.
        error: What futures end with.
    """
    ends: list[tuple[Task, object, BaseException | None]] = []
    notify: list[Callable[[], None]] = []
    for effects in (performing, core.abandon(error)):
        if effects is not None:
            ends += effects.end
            notify += effects.notify
    with suppress(IndexError):
        while True:
            event = inbox.popleft()
            if isinstance(event, Task):
                ends.append((event, None, error))
            elif isinstance(event, WaitRequested):
                notify.append(event.on_done)
            elif isinstance(event, CallRequested):
                notify.append(event.function)
    for task, value, cause in ends:
        _end(task, value, cause, error)
    for tell in notify:
        try:
            tell()
        except Exception:  # noqa: BLE001 - the others are to be told all the same
            _log.exception("a call in the failed kernel thread failed")


def _end(task: Task, value: object, cause: BaseException | None, error: BaseException) -> None:
    future = cast("AppFuture[object]", task.future)
    if not future.done():
        if cause is None and task.app.joins:
            cause = error  # its value is not put together any more
        future.settle(None if cause is not None else value, cause)
    if future.has_callbacks:
        future.run_callbacks()
