"""Finds and signals everything that a command has started.

Found are the members of its session and group, their children, and the sessions that those have begun.
A process that has left the session and whose parent is gone looks like any other and is not found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

_PAUSE_SECONDS = 0.005


class ProcessTree:
    """What a command has started, without the command's own process. One caller.

    Args:
        leader: Process id of the command, the leader of its session and group.
    """

    __slots__ = ("_known", "_leader")

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._known: dict[int, psutil.Process] = {}
        self.refresh()

    def refresh(self) -> None:
        """Looks for what has been started since. What was found before stays, even if its parent ended."""
        others: dict[int, tuple[set[int], psutil.Process]] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                pid = process.pid
                others[pid] = ({process.ppid(), os.getpgid(pid), os.getsid(pid)}, process)
        others.pop(self._leader, None)
        others.pop(os.getpid(), None)
        found = {self._leader, *self._alive()}
        grown = True
        while grown:
            new = {
                pid for pid, (ties, _) in others.items() if pid not in found and not found.isdisjoint(ties)
            }
            grown = bool(new)
            found |= new
            self._known.update((pid, others[pid][1]) for pid in new)

    def send(self, number: signal.Signals) -> None:
        """Signals every process; one that ended or belongs to somebody else is passed over."""
        for process in self._known.values():
            with contextlib.suppress(psutil.Error, OSError):
                process.send_signal(number)

    def wait(self, deadline: float) -> bool:
        """Waits until all have ended, or for `time.monotonic()` to reach `deadline`: then False."""
        while self._alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def is_gone(self) -> bool:
        """Looks once more: nothing is left."""
        self.refresh()
        return not self._alive()

    def _alive(self) -> set[int]:
        for pid, process in list(self._known.items()):
            if not _runs(process):
                del self._known[pid]
        return set(self._known)


def _runs(process: psutil.Process) -> bool:
    """A zombie does not run: it waits for its parent, which may never look."""
    try:
        return process.is_running() and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.Error:
        return False
