"""What a test process holds open, and what of it is new."""

import gc
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class Left:
    """What the test process holds, each thing under a key that is not used again."""

    threads: Mapping[object, str]
    processes: Mapping[object, str]
    descriptors: Mapping[object, str]

    @classmethod
    def now(cls) -> Self:
        return cls(held_threads(), held_processes(), held_descriptors())

    def since(self, before: Self) -> list[str]:
        """What is held now and was not held before, one readable line each."""
        found = [
            *(f"thread {name}" for key, name in self.threads.items() if key not in before.threads),
            *(f"process {name}" for key, name in self.processes.items() if key not in before.processes),
        ]
        # A library may close a descriptor and open another in its place: only more of them is a leak.
        if len(self.descriptors) > len(before.descriptors):
            new = self.descriptors.keys() - before.descriptors.keys()
            found += sorted(f"descriptor {self.descriptors[key]}" for key in new)
        return found


def held_threads() -> dict[object, str]:
    """Threads that keep the process alive, and all of ours."""
    return {
        thread: f"{thread.name!r}{' (daemon)' if thread.daemon else ''}"
        for thread in threading.enumerate()
        if not thread.daemon or thread.name.startswith("fanflow")
    }


def held_processes() -> dict[object, str]:
    return {(child.pid, child.create_time()): describe(child) for child in descendants()}


def descendants() -> list[psutil.Process]:
    """Children, grandchildren and zombies; not the two helpers multiprocessing keeps for its whole life."""
    if not has_children():
        return []
    helpers = {
        multiprocessing.resource_tracker._resource_tracker._pid,
        multiprocessing.forkserver._forkserver._forkserver_pid,
    }
    return [child for child in psutil.Process().children(recursive=True) if child.pid not in helpers]


def has_children() -> bool:
    """One system call, where a list of the children takes a look at every process of the machine."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} [{process.status()}] {' '.join(process.cmdline())[:200]}"
    except psutil.ZombieProcess:
        return f"{process.pid} [zombie] never waited for"
    except psutil.NoSuchProcess:
        return f"{process.pid} (ended)"


def held_descriptors() -> dict[object, str]:
    """Open descriptors with what they lead to; empty where the system does not list them."""
    helpers = {
        multiprocessing.resource_tracker._resource_tracker._fd,
        multiprocessing.forkserver._forkserver._forkserver_alive_fd,
    }
    held: dict[object, str] = {}
    if not DESCRIPTORS.is_dir():
        return held
    for name in os.listdir(DESCRIPTORS):
        try:
            target = os.readlink(DESCRIPTORS / name)
        except FileNotFoundError:  # the one that listed the directory
            continue
        if int(name) not in helpers and target != "/dev/urandom":  # NumPy and the ssl module keep one
            held[(name, target)] = f"{name} -> {target}"
    return held


def wait_until(settled: Callable[[], bool], seconds: float) -> None:
    """Polls with a deadline: what is ending right now gets the time to end."""
    deadline = time.monotonic() + seconds
    while not settled() and time.monotonic() < deadline:
        gc.collect()
        threading.Event().wait(0.02)
