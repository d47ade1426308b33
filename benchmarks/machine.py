"""The shape of the machine: what a figure depends on, and nothing that names it."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and when the figures were taken."""

    date: str
    cores: int
    cpu: str
    memory_gib: int
    python: str
    system: str
    load_before: float
    """Average number of processes that wanted a core in the minute before."""

    @classmethod
    def here(cls) -> "Machine":
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
            cores=usable_cores(),
            cpu=cpu_model(),
            memory_gib=round(psutil.virtual_memory().total / 2**30),
            python=f"{platform.python_implementation()} {platform.python_version()}",
            system=f"{platform.system()} {platform.machine()}",
            load_before=round(os.getloadavg()[0], 2),
        )

    def __str__(self) -> str:
        return (
            f"{self.date}, {self.cores} cores ({self.cpu}), {self.memory_gib} GiB, "
            f"{self.python}, {self.system}, load before {self.load_before}"
        )


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
