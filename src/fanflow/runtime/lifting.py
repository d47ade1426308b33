"""`future[key]` and `future.name`: operations on results that are not there yet."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from fanflow.core.task import AppSpec, Task
from fanflow.ids import INTERNAL_LABEL, TaskId
from fanflow.model.states import States
from fanflow.runtime.futures import AppFuture, outcome_of

if TYPE_CHECKING:
    from fanflow.runtime.kernel import Kernel

LIFTED: dict[Callable[..., object], AppSpec] = {
    operator.getitem: AppSpec("__getitem__", operator.getitem, executors=(INTERNAL_LABEL,)),
    getattr: AppSpec("__getattr__", getattr, executors=(INTERNAL_LABEL,)),
}
"""The operations as apps of the internal pool."""


def lift_now(
    operation: Callable[..., object], future: AppFuture[object], key: object, kernel: Kernel
) -> AppFuture[object]:
    """The same for a result that is there, when no kernel runs any more: a future that is done."""
    task = Task(TaskId(-1), LIFTED[operation], (), None)
    lifted: AppFuture[object] = AppFuture(task, kernel)
    task.future = lifted
    value, error = outcome_of(future)
    if error is None:
        try:
            value = operation(value, key)
        except Exception as raised:  # noqa: BLE001 - it becomes the future's
            error = raised
    task.state = States.exec_done if error is None else States.failed
    task.error = error
    lifted.settle(value if error is None else None, error)
    return lifted
