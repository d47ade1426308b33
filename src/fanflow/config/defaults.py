"""The two sets of defaults: ours, and the one under which existing programs behave as they did."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fanflow.logs.configs import RUN_LOG_FORMAT, RunLog
from fanflow.logs.outputs import DEFAULT_FORMAT, place_under


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What holds where a configuration is silent, or can say nothing."""

    name: str
    """For messages."""
    embedded_default: bool
    """Calling an app with nothing loaded starts the embedded default; otherwise it is an error."""
    load_without_config: Literal["embedded", "threads"]
    """What `load()` starts when no configuration is found."""
    deep_dependencies: bool
    """Futures are found inside lists, tuples, sets, dicts and dataclasses."""
    lift_attributes: bool
    """`future.name` makes a task that gets the attribute; otherwise it is an error."""
    errors_in_future: bool
    """A wrong call of an app fails the future; otherwise it raises at the call."""
    rerun_lost: bool
    """Tasks lost with their worker or node run again at no cost of retries."""
    crash_limit: int
    """Losses of one task after which it is not run again."""
    heartbeat_period: timedelta
    """Between two signs of life."""
    heartbeat_threshold: timedelta
    """Silence after which a peer counts as lost."""
    waits_at_exit: bool
    """When the script ends with tasks open, the embedded default waits for them."""
    logger_name: str
    """The logger that existing set-ups know; `fanflow` is it, or a child of it."""
    run_logs: tuple[RunLog, ...]
    """Log files in every run directory."""


_FANFLOW_LOG = RunLog(file="fanflow.log", level=logging.INFO, format=RUN_LOG_FORMAT)
_PARSL_LOG = RunLog(file="parsl.log", level=logging.DEBUG, format=DEFAULT_FORMAT)

NATIVE = Defaults(
    name="native",
    embedded_default=True,
    load_without_config="embedded",
    deep_dependencies=True,
    lift_attributes=False,
    errors_in_future=False,
    rerun_lost=True,
    crash_limit=3,
    heartbeat_period=timedelta(seconds=5),
    heartbeat_threshold=timedelta(seconds=30),
    waits_at_exit=True,
    logger_name="fanflow",
    run_logs=(_FANFLOW_LOG,),
)
"""For programs written for fanflow."""

PARSL = Defaults(
    name="parsl",
    embedded_default=False,
    load_without_config="threads",
    deep_dependencies=False,
    lift_attributes=True,
    errors_in_future=True,
    rerun_lost=False,
    crash_limit=3,
    heartbeat_period=timedelta(seconds=30),
    heartbeat_threshold=timedelta(seconds=120),
    waits_at_exit=False,
    logger_name="parsl",
    run_logs=(_FANFLOW_LOG, _PARSL_LOG),
)
"""For programs that import the alias."""

_selected = NATIVE


def current_defaults() -> Defaults:
    """The set that this process uses. Any thread."""
    return _selected


def select_defaults(defaults: Defaults) -> Defaults:
    """Makes the process use another set, from the next `load()` on.

    Returns:
        The set used before.
    """
    global _selected
    before, _selected = _selected, defaults
    place_under(defaults.logger_name)
    return before
