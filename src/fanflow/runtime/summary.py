"""One line for operators about all tasks, at most once a second and ever more rarely."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fanflow.model.states import States

if TYPE_CHECKING:
    from fanflow.core.task_core import TaskCore
    from fanflow.loop import KernelLoop

_log = logging.getLogger("fanflow")

_FIRST_S = 1.0
_LONGEST_S = 60.0


class Summary:
    """Says how many tasks are where, while that changes. Kernel thread only."""

    def __init__(self, core: TaskCore, loop: KernelLoop) -> None:
        self._core = core
        self._loop = loop
        self._interval = _FIRST_S
        self._is_due = False
        self._said: tuple[int, ...] = ()

    def note(self) -> None:
        """Something happened; a line follows when the interval is over."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_at(self._loop.now() + self._interval, self._say)

    def _say(self) -> None:
        self._is_due = False
        counts = self._core.counts
        now = tuple(counts.values())
        if now == self._said:
            self._interval = _FIRST_S
            return
        self._said = now
        self._interval = min(_LONGEST_S, self._interval * 2)
        _log.info("%s", describe_counts(counts))
        if self._core.tasks:
            self.note()


def describe_counts(counts: dict[States, int]) -> str:
    """Such as `tasks: 3 pending, 2 launched, 40 exec_done`."""
    listed = ", ".join(f"{number} {state.name}" for state, number in counts.items() if number)
    return f"tasks: {listed or 'none'}"
