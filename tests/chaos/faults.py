"""Does things to processes, from outside, at random times."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence

import psutil

from tests.chaos.checker import Fault


class Processes:
    """The engine's processes, found by whose children they are."""

    def __init__(self) -> None:
        [self._server] = [
            child for child in psutil.Process().children() if "fork_server" in " ".join(child.cmdline())
        ]

    def managers(self) -> list[psutil.Process]:
        """Those that have a child: its zygote."""
        return [child for child in children(self._server) if children(child)]

    def interchange(self) -> list[psutil.Process]:
        """The one that has none; a manager that has just begun may look like it."""
        return [child for child in children(self._server) if not children(child)]

    def workers(self) -> list[psutil.Process]:
        """Those of all managers."""
        return [worker for manager in self.managers() for worker in workers_of(manager)]


def children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    return []


def workers_of(manager: psutil.Process) -> list[psutil.Process]:
    return [worker for zygote in children(manager) for worker in children(zygote)]


def kill(process: psutil.Process, kind: str, victims: Sequence[psutil.Process] = ()) -> Fault | None:
    """Kill it at once; None if it had gone already."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return Fault(time.monotonic(), kind, process.pid, frozenset(victim.pid for victim in victims))


def kill_worker(processes: Processes, chance: random.Random) -> Fault | None:
    workers = processes.workers()
    if not workers:
        return None
    worker = chance.choice(workers)
    return kill(worker, "worker killed", [worker])


def kill_manager(processes: Processes, chance: random.Random) -> Fault | None:
    managers = processes.managers()
    if not managers:
        return None
    manager = chance.choice(managers)
    return kill(manager, "manager killed", workers_of(manager))


def kill_interchange(processes: Processes, chance: random.Random) -> Fault | None:
    found = processes.interchange()
    return kill(found[0], "interchange killed") if len(found) == 1 else None


def kill_anything(processes: Processes, chance: random.Random) -> Fault | None:
    return chance.choice((kill_worker, kill_manager, kill_interchange))(processes, chance)


def stop_manager(seconds: float) -> Callable[[Processes, random.Random], Fault | None]:
    """Makes a manager deaf and dumb for so long; its workers run on."""

    def inject(processes: Processes, chance: random.Random) -> Fault | None:
        managers = processes.managers()
        if not managers:
            return None
        manager = chance.choice(managers)
        workers = frozenset(worker.pid for worker in workers_of(manager))
        stopped = time.monotonic()
        manager.suspend()
        threading.Event().wait(seconds)
        manager.resume()
        return Fault(stopped, "manager stopped", manager.pid, workers, until=time.monotonic())

    return inject


class Trouble:
    """Injects faults from a thread of its own, at random intervals, inside a `with` block.

    Args:
        inject: Does something; None if there was nothing to do it to.
        seed: Of all that is random.
        every_s: Between two faults, on average.
        most: Faults.
    """

    def __init__(
        self,
        inject: Callable[[Processes, random.Random], Fault | None],
        seed: int,
        every_s: float,
        most: int = 1_000_000,
    ) -> None:
        self._inject, self._every_s, self._most = inject, every_s, most
        self._chance = random.Random(seed)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trouble")
        self.faults: list[Fault] = []

    def __enter__(self) -> "Trouble":
        self._processes = Processes()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        while len(self.faults) < self._most:
            if self._ends.wait(self._every_s * self._chance.uniform(0.5, 1.5)):
                return
            fault = self._inject(self._processes, self._chance)
            if fault is not None:
                self.faults.append(fault)
