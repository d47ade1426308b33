"""The options that the rules of tasks depend on."""

from __future__ import annotations

from dataclasses import dataclass

from fanflow.ids import ExecutorLabel
from fanflow.spi.placement import Placement


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreSettings:
    """What the rules depend on; fixed when the kernel is loaded."""

    labels: tuple[ExecutorLabel, ...]
    """Executors for apps that name none."""
    placement: Placement
    """Chooses among several executors."""
    retries: float = 0
    """Retry budget of one task."""
    prices_failures: bool = False
    """Whether the user's retry handler prices each failure; otherwise each costs 1."""
    rerun_lost: bool = True
    """Whether attempts lost with what ran them run again without touching the budget."""
    requeue_limit: int = 10
    """Attempts lost without blame (a drained block, a partition) that run again."""
    crash_limit: int = 3
    """Lost attempts after which a task is no longer run again for free."""
