"""Finds processes by descent and session in Linux's process table. Stateless."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final, NamedTuple

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Entry(NamedTuple):
    """One process."""

    pid: int
    state: str
    parent: int
    group: int
    session: int


def entry_of(pid: int) -> Entry | None:
    """What the kernel says of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may contain anything, parentheses too.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Entry(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]))


def all_entries() -> dict[int, Entry]:
    """Every process of this machine that can be seen from here."""
    found = (entry_of(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {entry.pid: entry for entry in found if entry is not None}


def descendants(roots: set[int], entries: dict[int, Entry]) -> set[int]:
    """Children of `roots`, members of their sessions, and all children of those; not the roots."""
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for entry in entries.values():
        children.setdefault(entry.parent, []).append(entry.pid)
        if entry.session in roots:
            found.add(entry.pid)
    todo = [*roots, *found]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found - roots


def resident_bytes(pid: int) -> int:
    """Memory that a process and its descendants hold; pages that they share count for each."""
    total = 0
    for member in {pid, *descendants({pid}, all_entries())}:
        with (
            contextlib.suppress(OSError, IndexError, ValueError),
            open(f"/proc/{member}/statm", "rb") as file,
        ):
            total += int(file.read().split()[1]) * _PAGE
    return total


def variable_of(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with."""
    prefix = os.fsencode(name) + b"="
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return None
    return next((os.fsdecode(item[len(prefix) :]) for item in variables if item.startswith(prefix)), None)


def kill(pids: set[int]) -> None:
    """Kill these; those that have ended or belong to somebody else are passed over."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
