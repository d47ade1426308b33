"""A task as the dictionary that retry handlers, `std_autopath` and plug-ins of existing programs take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.core.task import Task
    from fanflow.runtime.kernel import Kernel


def task_record(task: Task, kernel: Kernel) -> dict[str, object]:
    """A snapshot, made on demand: writing to it changes nothing."""
    history, options = task.history, task.options
    return {
        "id": task.id,
        "try_id": max(0, task.tries - 1),
        "func": task.app.function,
        "func_name": task.app.name,
        "args": task.args,
        "kwargs": dict(task.kwargs or {}),
        "status": task.state,
        "app_fu": task.future,
        "executor": task.label,
        "fail_count": len(history.failures) if history is not None else 0,
        "fail_cost": history.retry_cost if history is not None else 0.0,
        "fail_history": [repr(failure) for failure in history.failures] if history is not None else [],
        "memoize": task.app.cache,
        "ignore_for_cache": list(task.app.ignore_for_cache),
        "from_memo": task.state.name == "memo_done",
        "resource_specification": dict(options.resources or {}) if options is not None else {},
        "join": task.app.joins,
        "joins": task.joined,
        "run_id": kernel.run_id,
    }
