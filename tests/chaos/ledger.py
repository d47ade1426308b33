"""What tasks write about themselves while everything around them dies; workers import this."""

import functools
import os
import socket
import time

HOST = socket.gethostname()


@functools.cache
def _open(path: str, process: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def enter(path: str, kind: str, task: int) -> None:
    """One line in one write: lines of several processes do not mix."""
    process = os.getpid()
    line = f"{kind} {task} {process} {time.monotonic():.6f} {HOST}\n"
    os.write(_open(path, process), line.encode())


def value_of(task: int) -> int:
    """What the task is to return."""
    return task * 7919 % 1_000_003


def work(path: str, task: int, seconds: float, *parents: object) -> int:
    """One task: it says when it starts and when it ends."""
    enter(path, "start", task)
    if seconds:
        time.sleep(seconds)
    enter(path, "end", task)
    return value_of(task)


def fail(path: str, task: int, gate: str) -> int:
    """Waits until a file is there, then fails."""
    enter(path, "start", task)
    while not os.path.exists(gate):
        time.sleep(0.01)
    raise ValueError("the root failed")
