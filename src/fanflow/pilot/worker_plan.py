"""How many workers a node gets, what each is bound to, and what is said of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeGuard, cast

import msgspec

from fanflow.errors import ConfigurationError, FanflowError
from fanflow.pilot.core_lists import Cores, assign_cores, check_affinity

_MOST_WORKERS: Final = 100_000
_ROUNDING: Final = 1e-9
"""0.3 / 0.1 is a little less than 3."""


class NoRoomError(FanflowError):
    """Not even one worker has room on a node; the message says what it lacks."""


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said of the workers of each node.

    Raises:
        ConfigurationError: A value makes no sense; the message names the option.
    """

    cores_per_worker: float = 1.0
    """Below 1, workers share cores."""
    mem_per_worker: float | None = None
    """GB; None: memory does not limit the number of workers."""
    max_workers_per_node: float | None = None
    """None: no limit of its own."""
    available_accelerators: int | Sequence[str] = ()
    """So many, named from 0 on, or their names; each goes to one worker."""
    cpu_affinity: str = "none"

    def __post_init__(self) -> None:
        _check_positive("cores_per_worker", self.cores_per_worker)
        if self.mem_per_worker is not None:
            _check_positive("mem_per_worker", self.mem_per_worker)
        if self.max_workers_per_node is not None:
            _check_count("max_workers_per_node", self.max_workers_per_node)
        _check_accelerators(self.available_accelerators)
        check_affinity(self.cpu_affinity)

    def accelerators(self) -> Sequence[str]:
        """Their names; none if accelerators play no role."""
        named = self.available_accelerators
        return [str(number) for number in range(named)] if isinstance(named, int) else named


# What is checked may be anything: a constructor takes it as the user has written it.


def _check_positive(option: str, value: object) -> None:
    if not _is_number(value) or not (value > 0 and math.isfinite(value)):
        raise ConfigurationError(f"{option}={value!r}: must be a number above 0")


def _check_count(option: str, value: object) -> None:
    if not _is_number(value) or not (value >= 1 and (math.isinf(value) or value == int(value))):
        raise ConfigurationError(f"{option}={value!r}: must be a whole number, at least 1")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_accelerators(named: object) -> None:
    if _is_number(named):
        is_good = isinstance(named, int) and 0 <= named <= _MOST_WORKERS
    else:
        names = list(cast("Sequence[object]", named)) if isinstance(named, list | tuple) else [None]
        is_good = all(isinstance(name, str) and name for name in names)
    if not is_good:
        raise ConfigurationError(
            f"available_accelerators={named!r}: takes a number, or a list of names such as ['0', '1']"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFacts:
    """What a node has for workers."""

    cores: float
    """How many; a quota may leave a part of one. Infinite: unknown."""
    core_numbers: Cores = ()
    """Of the cores that can be used; empty: from 0 on."""
    memory_gb: float | None = None
    """None: unknown."""
    gpus: int = 0
    """Of NVIDIA."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPlace:
    """What one worker is bound to."""

    cores: Cores = ()
    """Empty: any."""
    accelerator: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    """Variables that tell it so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePlan:
    """The workers of one node."""

    places: Sequence[WorkerPlace]
    idle_cores: int

    @property
    def workers(self) -> int:
        """How many."""
        return len(self.places)

    def sentence(self) -> str:
        """Such as `2 workers, 0 cores idle`."""
        return f"{_counted(self.workers, 'worker')}, {_counted(self.idle_cores, 'core')} idle"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def plan_workers(options: WorkerOptions, facts: NodeFacts, count: int = 0) -> NodePlan:
    """The plan for a node.

    Args:
        options: What the user said.
        facts: What the node has.
        count: Workers, whatever the node has; 0: as many as have room.

    Raises:
        NoRoomError: There is no room for one.
        ConfigurationError: The options ask for cores that the node does not have.
    """
    workers = count or count_workers(options, facts)
    cores = _cores_of(facts)
    bound = assign_cores(options.cpu_affinity, workers, cores)
    accelerators = _share_accelerators(options.accelerators(), workers, facts.gpus)
    places = [
        WorkerPlace(cores=its, accelerator=name, environment=_environment(its, name))
        for its, name in zip(bound, accelerators, strict=True)
    ]
    if any(bound):
        used = float(len({core for its in bound for core in its}))
    else:
        used = workers * options.cores_per_worker
    idle = 0 if math.isinf(facts.cores) else int(facts.cores - used + _ROUNDING)
    return NodePlan(places=places, idle_cores=max(0, idle))


def _cores_of(facts: NodeFacts) -> Cores:
    if math.isinf(facts.cores):
        return facts.core_numbers or (0,)
    count = max(1, math.ceil(facts.cores))
    return facts.core_numbers[:count] or tuple(range(count))


def count_workers(options: WorkerOptions, facts: NodeFacts) -> int:
    """Workers that have room; one, if nothing that is known limits them.

    Raises:
        NoRoomError: None has.
    """
    most = math.inf if options.max_workers_per_node is None else options.max_workers_per_node
    by_cores = facts.cores / options.cores_per_worker + _ROUNDING
    if by_cores < 1:
        raise NoRoomError(
            f"no worker has room: cores_per_worker={options.cores_per_worker:g}, "
            f"and the node has {facts.cores:g} cores; ask for fewer cores for a worker, or for larger nodes"
        )
    workers = min(most, by_cores)
    if options.mem_per_worker is not None and facts.memory_gb is not None:
        by_memory = facts.memory_gb / options.mem_per_worker + _ROUNDING
        if by_memory < 1:
            raise NoRoomError(
                f"no worker has room: mem_per_worker={options.mem_per_worker:g} GB, "
                f"and the node has {facts.memory_gb:.1f} GB free; "
                f"ask for less memory for a worker, or for larger nodes"
            )
        workers = min(workers, by_memory)
    accelerators = len(options.accelerators())
    if accelerators:
        workers = min(workers, accelerators)
    return 1 if math.isinf(workers) else int(min(workers, _MOST_WORKERS))


def _share_accelerators(names: Sequence[str], workers: int, gpus: int) -> list[str | None]:
    """The accelerator of each worker.

    Names beyond the number of GPUs mean that several workers share one, unless they name parts of a GPU.
    """
    if not names:
        return [None] * workers
    if gpus and len(names) > gpus and workers > gpus and all(name.isdigit() for name in names):
        return [str(number * gpus // workers) for number in range(workers)]
    return [names[number % len(names)] for number in range(workers)]


def _environment(cores: Cores, accelerator: str | None) -> dict[str, str]:
    variables: dict[str, str] = {}
    if accelerator is not None:
        variables["CUDA_VISIBLE_DEVICES"] = accelerator
        variables["ROCR_VISIBLE_DEVICES"] = accelerator
        variables["ZE_AFFINITY_MASK"] = accelerator
        variables["ZE_ENABLE_PCI_ID_DEVICE_ORDER"] = "1"
    if cores:
        numbers = [str(core) for core in cores]
        variables["OMP_NUM_THREADS"] = str(len(numbers))
        variables["GOMP_CPU_AFFINITY"] = " ".join(numbers)
        variables["KMP_AFFINITY"] = f"explicit,proclist=[{','.join(numbers)}]"
    return variables
