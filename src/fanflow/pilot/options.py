"""The options of a `HighThroughputExecutor`, checked and frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar, cast

from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.pilot.manager_selector import ManagerSelector
from fanflow.pilot.worker_plan import WorkerOptions
from fanflow.spi.executor import BuildContext

OWNER: Final = "HighThroughputExecutor"


class NotGiven(int):
    """A default that another one may take the place of: it equals its number, but is told apart from it."""


PERIOD: Final = NotGiven(30)
"""Stands for the run's heartbeat period."""
THRESHOLD: Final = NotGiven(120)
"""Stands for the run's heartbeat threshold."""

ErrorHandler = Callable[..., None]
"""(executor, statuses by block) -> None; calls `set_bad_state_and_fail_all` when it has seen enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PilotOptions:
    """A snapshot of the options that the running half needs."""

    label: str
    launch_cmd: str | None
    address: str | None
    """Where workers reach this host, a number or a name; None: every address that it has."""
    loopback_address: str
    """Where workers on this host reach it, if they need a port."""
    worker_port: int | None
    worker_port_range: tuple[int, int]
    worker_debug: bool
    workers: WorkerOptions
    """Of each node."""
    prefetch: int
    max_message: int
    """Bytes of the arguments of a call, or of a result."""
    heartbeat_period: timedelta
    heartbeat_threshold: timedelta
    drain_period: timedelta | None
    """After which a manager takes no new tasks."""
    probe_timeout: timedelta
    """For a manager to find an address that works."""
    log_root: Path
    """Directory below which managers and workers write their logs."""
    selector: ManagerSelector
    error_handler: bool | ErrorHandler


_PROBE_S: Final = 30.0
_PORTS: Final = (54000, 55000)


class _Problems:
    """Collects what is wrong, so that all of it is said at once."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given
        self.types: list[OptionTypeError] = []
        self.values: list[str] = []

    def check(self, name: str, kind: type | tuple[type, ...], expected: str, *, none: bool = False) -> bool:
        """Whether the option has a usable type."""
        value = self._given[name]
        if value is None and none:
            return False
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return True
        self.types.append(OptionTypeError(OWNER, name, value, f"{expected}{', or None' if none else ''}"))
        return False

    def number(self, name: str, least: float, *, above: bool = False, none: bool = False) -> None:
        """A number, at least so much, or above that."""
        if self.check(name, (int, float), "a number", none=none):
            value = cast("float", self._given[name])
            if not math.isfinite(value) or value < least or (above and value == least):
                self.values.append(f"{name}={value!r}: must be {'above' if above else 'at least'} {least:g}")

    def whole(self, name: str, least: int, *, none: bool = False) -> None:
        """A whole number, at least so much."""
        if self.check(name, int, "an int", none=none) and cast("int", self._given[name]) < least:
            self.values.append(f"{name}={self._given[name]!r}: must be at least {least}")

    def raise_any(self) -> None:
        """One error for everything that is wrong."""
        if len(self.types) == 1 and not self.values:
            raise self.types[0]
        texts = [*map(str, self.types), *self.values]
        if len(texts) == 1:
            raise ConfigurationError(f"{OWNER}({texts[0]})")
        if texts:
            lines = "\n".join(f"  {text}" for text in texts)
            raise ConfigurationError(f"{OWNER} has {len(texts)} problems:\n{lines}")


def check(given: Mapping[str, object]) -> None:
    """Check the options as they were given or set since.

    Raises:
        OptionTypeError: One has a wrong type.
        ConfigurationError: Something else is wrong; the message lists all of it.
    """
    problems = _Problems(given)
    problems.check("label", str, "a str")
    problems.check("loopback_address", str, "a str")
    problems.whole("max_message", 1)
    for name in ("address", "launch_cmd", "working_dir", "worker_logdir_root"):
        problems.check(name, str, "a str", none=True)
    problems.check("cores_per_worker", (int, float), "a number")
    problems.check("mem_per_worker", (int, float), "a number of GB", none=True)
    problems.check("max_workers_per_node", (int, float), "an int", none=True)
    problems.check("cpu_affinity", str, "a str")
    problems.whole("prefetch_capacity", 0)
    problems.number("heartbeat_period", 0, above=True)
    problems.number("heartbeat_threshold", 0, above=True)
    problems.number("drain_period", 0, none=True)
    problems.number("address_probe_timeout", 0, above=True, none=True)
    problems.check("worker_debug", bool, "True or False")
    problems.check("manager_selector", ManagerSelector, "a ManagerSelector")
    _check_ports(problems, given)
    if not callable(given["block_error_handler"]):
        problems.check("block_error_handler", bool, "True, False or a function")
    _check_accelerators(problems, given)
    if not problems.types:
        try:
            worker_options(given)
        except ConfigurationError as error:
            problems.values.append(str(error))
    period, threshold = given["heartbeat_period"], given["heartbeat_threshold"]
    both_given = not isinstance(period, NotGiven) and not isinstance(threshold, NotGiven)
    is_sound = not problems.types and not problems.values
    if both_given and is_sound and cast("float", threshold) < cast("float", period):
        problems.values.append(
            f"heartbeat_threshold={threshold!r}: must not be less than heartbeat_period={period!r}"
        )
    problems.raise_any()


def _check_ports(problems: _Problems, given: Mapping[str, object]) -> None:
    if problems.check("worker_port", int, "an int", none=True):
        port = cast("int", given["worker_port"])
        if not 0 < port < 1 << 16:
            problems.values.append(f"worker_port={port!r}: must be a port, from 1 to 65535")
    for name in ("worker_port_range", "interchange_port_range"):
        ports = given[name]
        if ports is None:
            continue
        pair = cast("Sequence[object]", ports) if isinstance(ports, Sequence) else ()
        if len(pair) != 2:
            problems.types.append(OptionTypeError(OWNER, name, given[name], "two ports, as (first, last)"))
            continue
        first, last = pair
        if not (isinstance(first, int) and isinstance(last, int) and 0 < first < last <= 1 << 16):
            problems.values.append(f"{name}={ports!r}: must be the first port and the one after the last")


def _check_accelerators(problems: _Problems, given: Mapping[str, object]) -> None:
    option = "available_accelerators"
    value = given[option]
    if isinstance(value, int) and not isinstance(value, bool):
        return
    names = cast("Sequence[object]", value) if isinstance(value, Sequence) else (None,)
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        expected = "a number of accelerators, or a list of their names"
        problems.types.append(OptionTypeError(OWNER, option, given[option], expected))


_T = TypeVar("_T")


def freeze(given: Mapping[str, object], context: BuildContext) -> PilotOptions:
    """A snapshot of options that `check` has passed."""

    def option(name: str, kind: type[_T]) -> _T:
        return cast("_T", given[name])

    def seconds(name: str) -> timedelta | None:
        value = given[name]
        return None if value is None else timedelta(seconds=cast("float", value))

    ports = cast("Sequence[int]", given["worker_port_range"] or _PORTS)
    root = cast("str | None", given["worker_logdir_root"])
    label = option("label", str)
    period, threshold = _heartbeats(given, context)
    return PilotOptions(
        label=label,
        launch_cmd=cast("str | None", given["launch_cmd"]),
        address=cast("str | None", given["address"]),
        loopback_address=option("loopback_address", str),
        worker_port=cast("int | None", given["worker_port"]),
        worker_port_range=(ports[0], ports[1]),
        worker_debug=option("worker_debug", bool),
        workers=worker_options(given),
        prefetch=option("prefetch_capacity", int),
        max_message=option("max_message", int),
        heartbeat_period=period,
        heartbeat_threshold=threshold,
        drain_period=seconds("drain_period"),
        probe_timeout=seconds("address_probe_timeout") or timedelta(seconds=_PROBE_S),
        log_root=(context.run_dir if root is None else Path(root).expanduser().absolute()) / label,
        selector=option("manager_selector", ManagerSelector),  # type: ignore[type-abstract]  # only a name
        error_handler=cast("bool | ErrorHandler", given["block_error_handler"]),
    )


def worker_options(given: Mapping[str, object]) -> WorkerOptions:
    """What the options say of the workers of a node.

    Raises:
        ConfigurationError: A value makes no sense; the message names the option.
    """
    return WorkerOptions(
        cores_per_worker=float(cast("float", given["cores_per_worker"])),
        mem_per_worker=cast("float | None", given["mem_per_worker"]),
        max_workers_per_node=cast("float | None", given["max_workers_per_node"]),
        available_accelerators=cast("int | Sequence[str]", given["available_accelerators"]),
        cpu_affinity=cast("str", given["cpu_affinity"]),
    )


def _heartbeats(given: Mapping[str, object], context: BuildContext) -> tuple[timedelta, timedelta]:
    """Period and threshold; one that is left alone keeps its distance from one that was given."""
    period, threshold = context.heartbeat_period, context.heartbeat_threshold
    wanted_period, wanted_threshold = given["heartbeat_period"], given["heartbeat_threshold"]
    if not isinstance(wanted_period, NotGiven):
        period = timedelta(seconds=cast("float", wanted_period))
        threshold = max(threshold, 2 * period)
    if not isinstance(wanted_threshold, NotGiven):
        threshold = timedelta(seconds=cast("float", wanted_threshold))
        if isinstance(wanted_period, NotGiven):
            period = min(period, threshold / 2)
    return period, threshold
