"""What this machine has for workers: cores, memory and GPUs, as its limits leave them. Stateless."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Mapping
from typing import Final

from fanflow.errors import ConfigurationError
from fanflow.pilot.control_groups import own_directory
from fanflow.pilot.worker_plan import NodeFacts

_GB: Final = 1 << 30
_GPUS: Final = "/proc/driver/nvidia/gpus"


def look_at_node(environment: Mapping[str, str] = os.environ) -> NodeFacts:
    """The facts; `PARSL_CORES` and `PARSL_MEMORY_GB` win over what is found.

    Raises:
        ConfigurationError: One of these variables is no number.
    """
    numbers = usable_cores()
    cores = _variable(environment, "PARSL_CORES")
    memory = _variable(environment, "PARSL_MEMORY_GB")
    return NodeFacts(
        cores=min(float(len(numbers)), _quota()) if cores is None else cores,
        core_numbers=numbers,
        memory_gb=available_bytes() / _GB if memory is None else memory,
        gpus=_count_gpus(),
    )


def _variable(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name)
    if not text:
        return None
    with contextlib.suppress(ValueError):
        value = float(text)
        if value > 0 and math.isfinite(value):
            return value
    raise ConfigurationError(f"environment variable {name}={text!r}: must be a number above 0")


def usable_cores() -> tuple[int, ...]:
    """The cores on which this process may run."""
    if not sys.platform.startswith("linux"):
        return tuple(range(os.cpu_count() or 1))
    return tuple(sorted(os.sched_getaffinity(0)))


def _quota() -> float:
    """Cores' worth of time that this process's control group may use."""
    with contextlib.suppress(OSError, ValueError):
        directory = own_directory("")
        if directory:
            quota, period = _read(os.path.join(directory, "cpu.max")).split()
            return float(quota) / float(period)
    with contextlib.suppress(OSError, ValueError):
        directory = own_directory("cpu")
        if directory:
            allowed = float(_read(os.path.join(directory, "cpu.cfs_quota_us")))
            if allowed > 0:
                return allowed / float(_read(os.path.join(directory, "cpu.cfs_period_us")))
    return math.inf


def available_bytes() -> int:
    """Memory that new processes can have."""
    return int(min(_free_memory(), _memory_limit()))


def total_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_memory() -> int:
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    import psutil  # where there is no procfs; it takes 10 ms to import

    return psutil.virtual_memory().available


def _memory_limit() -> float:
    """What this process's control group may hold."""
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        with contextlib.suppress(OSError, ValueError):
            directory = own_directory(controller)
            if directory:
                return int(_read(os.path.join(directory, name)))
    return math.inf


def _count_gpus() -> int:
    try:
        return len(os.listdir(_GPUS))
    except OSError:
        return 0


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()
