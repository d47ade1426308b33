"""Where attempts may go, and how many are where. Pure; part of `TaskCore`."""

from __future__ import annotations

from fanflow.core.task import AppSpec
from fanflow.ids import ExecutorLabel
from fanflow.spi.placement import Load, Placement


class Places:
    """The executors as the rules see them.

    Args:
        labels: Executors for apps that name none.
        placement: Chooses among several.
    """

    def __init__(self, labels: tuple[ExecutorLabel, ...], placement: Placement) -> None:
        self.labels = labels
        """More may be added."""
        self.outstanding: dict[ExecutorLabel, int] = {}
        """Open attempts by executor."""
        self.capacities: dict[ExecutorLabel, int] = {}
        """Places to run attempts by executor; the shell keeps it up to date when there are several."""
        self.failed: dict[ExecutorLabel, BaseException] = {}
        """Executors that cannot go on, and why."""
        self._placement = placement

    def choose(self, app: AppSpec) -> ExecutorLabel | None:
        """An executor for the next attempt; None if all that the app may use have failed."""
        allowed = app.executors or self.labels
        usable = [label for label in allowed if label not in self.failed] if self.failed else allowed
        if len(usable) == 1:
            return usable[0]
        if not usable:
            return None
        loads = [
            Load(label, self.outstanding.get(label, 0), self.capacities.get(label, 1)) for label in usable
        ]
        return self._placement(loads)

    def why_none(self, app: AppSpec) -> tuple[ExecutorLabel, BaseException]:
        """The first executor that the app may use, and why it failed."""
        label = (app.executors or self.labels)[0]
        return label, self.failed[label]
