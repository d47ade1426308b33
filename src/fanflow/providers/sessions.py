"""Ends whole sessions of processes: first politely, then not."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from typing import Final

import psutil

_PAUSE_S: Final = 0.02
_KILL_S: Final = 5.0
"""Seconds after which a process that does not even end by SIGKILL is left to the system."""


def members(sessions: set[int]) -> set[int]:
    """Processes of these sessions that still run; a session's number is taken as long as it has one."""
    found: set[int] = set()
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) in sessions and not _is_zombie(pid):
                found.add(pid)
    return found


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def end_sessions(sessions: Iterable[int], grace_s: float) -> None:
    """SIGTERM to the leaders' groups; SIGKILL to what is left of the sessions `grace_s` seconds later.

    Returns as soon as nothing is left. Other groups hear from their leaders: a second SIGTERM would mean
    more haste to many programs.
    """
    ending = set(sessions)
    for leader in ending:
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGTERM)
    _wait(ending, time.monotonic() + grace_s)
    kill_sessions(ending)


def kill_sessions(sessions: Iterable[int]) -> None:
    """SIGKILL to every process of these sessions, also to those that are started meanwhile."""
    ending = set(sessions)
    deadline = time.monotonic() + _KILL_S
    while (left := members(ending)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _wait(ending, time.monotonic() + _PAUSE_S)


def _wait(sessions: set[int], deadline: float) -> None:
    while members(sessions) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
