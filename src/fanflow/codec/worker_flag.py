"""Marks of processes and threads that run tasks. Any thread may call any function here."""

from __future__ import annotations

import threading


class _Process:
    __slots__ = ("is_worker",)

    def __init__(self) -> None:
        self.is_worker = False


class _Thread(threading.local):
    worker: object | None = None


_process = _Process()
_thread = _Thread()


def enter_worker() -> None:
    """Mark this process, for the rest of its life, as one that runs tasks for another process."""
    _process.is_worker = True


def in_worker() -> bool:
    """Whether this process runs tasks for another process; a call of an app is an error here."""
    return _process.is_worker


def mark_worker_thread(worker: object | None) -> None:
    """Say what the calling thread runs tasks for; None takes the mark away.

    Args:
        worker: Whatever identifies the worker to its executor. It is kept as it is.
    """
    _thread.worker = worker


def current_worker() -> object | None:
    """What `mark_worker_thread` was last given in the calling thread, or None."""
    return _thread.worker
