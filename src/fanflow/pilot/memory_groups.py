"""Control groups that hold workers to the memory limits of their tasks. Single-threaded.

The kernel enforces a group's limit at once and for the whole process tree. Of version 2 the group that
this manager is in must be its own, of version 1 it must be writable; else nothing is made, and the caller
polls.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from fanflow.pilot.control_groups import count_oom_kills, own_directory
from fanflow.pilot.process_table import all_entries, descendants

_MOST_ROUNDS: Final = 10


class MemoryGroup:
    """The group of one worker.

    Args:
        directory: Of the group; it exists.
        is_v2: Which version.
    """

    def __init__(self, directory: str, *, is_v2: bool) -> None:
        self.directory = directory
        self.limit = 0
        """Bytes; 0: none."""
        self._is_v2 = is_v2
        self._kills = 0
        if is_v2:
            with contextlib.suppress(OSError):
                self._write("memory.oom.group", "1")

    def add(self, pid: int) -> None:
        """Take a process in, with what it starts from now on.

        Raises:
            OSError: It cannot be done.
        """
        self._write("cgroup.procs", str(pid))

    def set_limit(self, limit: int) -> bool:
        """Limit what the group may hold, 0: not at all; False if it holds more already."""
        self._kills = count_oom_kills(self.directory) or 0
        self.limit = 0
        try:
            if self._is_v2:
                self._write("memory.max", str(limit) if limit else "max")
                with contextlib.suppress(OSError):  # no swap accounting
                    self._write("memory.swap.max", "0" if limit else "max")
            else:
                with contextlib.suppress(OSError):
                    self._write("memory.memsw.limit_in_bytes", "-1")
                self._write("memory.limit_in_bytes", str(limit or -1))
                with contextlib.suppress(OSError):
                    self._write("memory.memsw.limit_in_bytes", str(limit or -1))
                self._write("memory.max_usage_in_bytes", "0")
        except OSError:
            return False
        self.limit = limit
        return True

    def has_killed(self) -> bool:
        """Whether the kernel has ended a process of the group since the limit was set."""
        return bool(self.limit) and (count_oom_kills(self.directory) or 0) > self._kills

    def peak(self) -> int:
        """The most that it held, in bytes."""
        for name in ("memory.max_usage_in_bytes", "memory.peak", "memory.current"):
            with (
                contextlib.suppress(OSError, ValueError),
                open(f"{self.directory}/{name}", encoding="ascii") as file,
            ):
                return int(file.read())
        return 0

    def _write(self, name: str, value: str) -> None:
        with open(f"{self.directory}/{name}", "w", encoding="ascii") as file:
            file.write(value)


class MemoryGroups:
    """The groups of one manager's workers, beside each other in `directory`.

    Args:
        directory: Where they are made.
        prefix: Of their names.
        is_v2: Which version.
    """

    def __init__(self, directory: str, prefix: str, *, is_v2: bool) -> None:
        self._directory, self._prefix, self._is_v2 = directory, prefix, is_v2
        self._ended: set[str] = set()

    def make(self, number: int) -> MemoryGroup | None:
        """A group for a worker; None if it cannot be made."""
        self._remove_ended()
        directory = f"{self._directory}/{self._prefix}{number}"
        try:
            os.makedirs(directory, exist_ok=True)
            return MemoryGroup(directory, is_v2=self._is_v2)
        except OSError:
            return None

    def remove(self, group: MemoryGroup) -> None:
        """Its worker has ended; what is ending still keeps a group for a moment."""
        self._ended.add(group.directory)
        self._remove_ended()

    def _remove_ended(self) -> None:
        for directory in list(self._ended):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
            if not os.path.isdir(directory):
                self._ended.discard(directory)


def prefix_of(zygote: int) -> str:
    """How the groups of a zygote's workers are called."""
    return f"fanflow-{zygote}-"


def open_groups(zygote: int) -> MemoryGroups | None:
    """Find where this manager may make groups.

    Args:
        zygote: Process id.

    Returns:
        None if there is no such place.
    """
    prefix = prefix_of(zygote)
    directory = own_directory("")
    if directory and take_over(directory, f"{prefix}node", zygote):
        return MemoryGroups(directory, prefix, is_v2=True)
    directory = own_directory("memory")
    if directory and os.access(directory, os.W_OK) and count_oom_kills(directory) is not None:
        return MemoryGroups(directory, prefix, is_v2=False)
    return None


def remove_groups(zygote: int) -> bool:
    """Remove the groups of a zygote's workers; returns whether none is left."""
    is_done = True
    for controller in ("", "memory"):
        directory = own_directory(controller)
        if os.path.basename(directory) == f"{prefix_of(zygote)}node":
            directory = os.path.dirname(directory)
        with contextlib.suppress(OSError):
            for name in os.listdir(directory) if directory else ():
                if name.startswith(prefix_of(zygote)):
                    try:
                        os.rmdir(f"{directory}/{name}")
                    except OSError:
                        is_done = False
    return is_done


def take_over(directory: str, leaf: str, zygote: int) -> bool:
    """Let groups of version 2 below a group have limits.

    For that it may hold no process itself: they move into another one, below it.

    Args:
        directory: Of the group.
        leaf: Name of the other.
        zygote: Process id.

    Returns:
        Whether it was done: there is such a controller, we may, and nobody else is in the group.
    """
    try:
        if "memory" not in _read(f"{directory}/cgroup.controllers") or not os.access(directory, os.W_OK):
            return False
        home = f"{directory}/{leaf}"
        os.makedirs(home, exist_ok=True)
        try:
            for _ in range(_MOST_ROUNDS):
                found = {int(pid) for pid in _read(f"{directory}/cgroup.procs")}
                if not found:
                    break
                if not found <= _relatives(zygote):
                    raise PermissionError("others run in this group")
                _move(found, home)
            _write(f"{directory}/cgroup.subtree_control", "+memory")
        except OSError:
            with contextlib.suppress(OSError):
                _move((int(pid) for pid in _read(f"{home}/cgroup.procs")), directory)
                os.rmdir(home)
            return False
    except (OSError, ValueError):
        return False
    return True


def _relatives(zygote: int) -> set[int]:
    """This process, those that it comes from, the zygote and what comes from it."""
    entries = all_entries()
    found = {os.getpid(), zygote, *descendants({zygote}, entries)}
    entry = entries.get(os.getpid())
    while entry is not None and entry.parent > 1:
        found.add(entry.parent)
        entry = entries.get(entry.parent)
    return found


def _move(pids: Iterable[int], directory: str) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            _write(f"{directory}/cgroup.procs", str(pid))


def _read(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)
