"""A task as the dictionary that retry handlers, `std_autopath` and plug-ins of existing programs take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

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


def default_std_autopath(run_dir: Path, record: Mapping[str, object], stream: str) -> str:
    """`task_logs/0000/task_0007_app_label.stdout` below the run directory: what AUTO_LOGNAME stands for."""
    task_id = cast(int, record["id"])
    label = cast("Mapping[str, object]", record["kwargs"]).get("label")
    suffix = f"_{label}" if label is not None else ""
    folder = run_dir / "task_logs" / f"{task_id // 10000:04}"
    return str(folder / f"task_{task_id:04}_{record['func_name']}{suffix}.{stream}")
