"""What a kernel is run with: a frozen snapshot of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from fanflow.logs.configs import LogConfig, RunLog
from fanflow.spi.executor import ExecutorSpec, Strategy
from fanflow.spi.resolver import DependencyResolver

RetryHandler = Callable[..., float]
"""(exception, task record) -> what this failure costs of the retries."""

StdAutopath = Callable[..., str]
"""(task record, "stdout" or "stderr") -> name of the file for AUTO_LOGNAME."""

ExitMode = Literal["cleanup", "skip", "wait"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelSettings:
    """A configuration with everything decided. Later changes of the `Config` do not show here."""

    executors: tuple[ExecutorSpec, ...]
    """In the order given; labels are unique."""
    uses_default_executors: bool
    """The configuration named no executors (`executors` is then empty)."""
    dependency_resolver: DependencyResolver | None
    """None: the one that `deep_dependencies` says."""
    exit_mode: ExitMode
    """What leaving `with load(...)` does."""
    garbage_collect: bool
    """Forget tasks that have ended."""
    internal_tasks_max_threads: int
    """Threads for join bodies and lifted operations."""
    max_pending: int | None
    """Most tasks that may be open at once before an ordinary caller waits; None for no limit."""
    retries: int
    """What failures of one task may cost before it fails."""
    retry_handler: RetryHandler | None
    """Gives the cost of one failure; None: 1."""
    run_dir: Path
    """Root of the numbered run directories; absolute."""
    std_autopath: StdAutopath | None
    """Names the files for AUTO_LOGNAME; None: below the run directory."""
    strategy: Strategy
    """How executors with blocks are scaled."""
    strategy_period: timedelta
    """Between two looks at the load."""
    max_idletime: timedelta
    """How long a block may be idle before it is given back."""
    usage_tracking: int
    """The level asked for; nothing is sent."""
    project_name: str | None
    """For usage tracking."""
    initialize_logging: bool | LogConfig
    """True: `run_logs`; False: none; or a plug-in."""
    deep_dependencies: bool
    """Look for futures inside containers."""
    lift_attributes: bool
    """`future.name` makes a task that gets the attribute."""
    errors_in_future: bool
    """A wrong call of an app fails the future instead of raising."""
    rerun_lost: bool
    """Run again what was lost with its worker or node, at no cost of retries."""
    crash_limit: int
    """Losses of one task after which it is not run again."""
    heartbeat_period: timedelta
    """Between two signs of life."""
    heartbeat_threshold: timedelta
    """Silence after which a peer counts as lost."""
    waits_at_exit: bool
    """When the script ends with tasks open, the embedded default waits for them."""
    logger_name: str
    """The logger whose records the run log holds."""
    run_logs: tuple[RunLog, ...]
    """Files of the run log."""
    warnings: tuple[str, ...]
    """What the operator is told once per load."""
