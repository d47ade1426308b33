"""Finds this process's control groups, and reads what they count. Stateless."""

from __future__ import annotations

import contextlib
import os
from typing import Final

ROOT: Final = "/sys/fs/cgroup"
_UNIFIED: Final = (ROOT, f"{ROOT}/unified")


def own_directory(controller: str) -> str:
    """Directory of the group that this process is in; empty if there is none.

    Args:
        controller: Of version 1, such as `memory`; empty for version 2.
    """
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (controller or not controllers):
            mounts = (f"{ROOT}/{controllers}", f"{ROOT}/{controller}") if controller else _UNIFIED
            marker = "tasks" if controller else "cgroup.controllers"
            for mount in mounts:
                directory = mount + path.rstrip("/")
                if os.path.exists(f"{directory}/{marker}"):
                    return directory
    return ""


def count_oom_kills(directory: str) -> int | None:
    """Processes of a memory group that the kernel has killed for want of memory; None if it does not say."""
    for name in ("memory.events", "memory.oom_control"):
        with contextlib.suppress(OSError, ValueError), open(f"{directory}/{name}", encoding="ascii") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return None


def count_system_oom_kills() -> int:
    """Processes of this machine that the kernel has killed for want of memory since it started."""
    with contextlib.suppress(OSError, ValueError), open("/proc/vmstat", "rb") as file:
        for line in file:
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
    return 0
