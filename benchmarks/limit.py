"""The limit: client, relay, manager and two workers that pass pickled calls on and do nothing else.

`python -m benchmarks.limit` shows what it comes to here. The rows of the pilot engine are measured against it
in the same run: it has the engine's processes and hops, and none of its features.
"""

import itertools
import marshal
import os
import pickle
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import cast

import zmq

from benchmarks.clocks import TreeClock, descendants

BATCH = 64
"""Calls that travel together at most, on every hop."""
WORKERS = 2
WORKER_HOLDS = 2 * BATCH
"""Calls that a worker has at one time: one batch runs, one waits."""
MANAGER_HOLDS = 2 * WORKERS * WORKER_HOLDS
LOOK_MS = 1_000
"""How often a process looks whether its parent still lives."""
PACKET_ROOM = 1 << 20

Items = list[tuple[int, bytes]]
"""Number of a call, and its pickled arguments or its pickled value."""

pack = marshal.dumps


def unpack(message: bytes) -> Items:
    return cast("Items", marshal.loads(message))


def noop() -> None:
    pass


FUNCTIONS: tuple[Callable[..., object], ...] = (noop,)
"""What can be called; all processes are forks of the one that knows it."""


class LazyFuture:
    """Has no lock of its own, and nothing to wait for until someone waits."""

    __slots__ = ("_event", "_is_done", "_value")

    def __init__(self) -> None:
        self._is_done = False
        self._event: threading.Event | None = None

    def resolve(self, value: object) -> None:
        self._value = value
        self._is_done = True  # before the event is looked for: a waiter does it the other way round
        if self._event is not None:
            self._event.set()

    def wait(self) -> object:
        if not self._is_done:
            self._event = threading.Event()
            if not self._is_done:
                self._event.wait()
        return self._value


class Ends:
    """A process's two sockets towards a neighbour.

    Args:
        context: Of this process.
        inward: Address to receive from.
        outward: Address to send to.
        binds: Whether this is the side that the other connects to.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], inward: str, outward: str, binds: bool
    ) -> None:
        self.inward, self.outward = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        for end, address in ((self.inward, inward), (self.outward, outward)):
            end.set(zmq.RCVHWM, 0)
            end.set(zmq.SNDHWM, 0)
            (end.bind if binds else end.connect)(address)

    def close(self) -> None:
        self.inward.close(linger=0)
        self.outward.close(linger=1_000)


class Limit:
    """The client's half. One calling thread; a second one resolves futures."""

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="ff")
        urls = [f"ipc://{self._place.name}/{hop}" for hop in ("calls", "values", "tasks", "results")]
        self._children = [fork(lambda: relay(*urls)), fork(lambda: manager(*urls[2:]))]
        self._context = zmq.Context()
        self._ends = Ends(self._context, urls[1], urls[0], binds=False)
        self._open: dict[int, LazyFuture] = {}
        self._numbers = itertools.count()
        self._batch: Items = []
        self._thread = threading.Thread(target=self._resolve, name="limit", daemon=True)
        self._thread.start()

    def submit(self, function: int, *args: object) -> LazyFuture:
        number = next(self._numbers)
        future = self._open[number] = LazyFuture()
        batch = self._batch
        batch.append((number, pickle.dumps((function, args), 5)))
        if len(batch) >= BATCH:
            self.flush()
        return future

    def flush(self) -> None:
        """Send what has not filled a batch."""
        if self._batch:
            self._ends.outward.send(pack(self._batch))
            self._batch.clear()

    def _resolve(self) -> None:
        pop, receive = self._open.pop, self._ends.inward.recv
        while message := receive():
            for number, value in unpack(message):
                pop(number).resolve(pickle.loads(value))

    def close(self) -> None:
        self._ends.outward.send(b"")
        self._thread.join()
        for pid in self._children:
            os.waitpid(pid, 0)
        self._ends.close()
        self._context.term()
        self._place.cleanup()


def fork(work: Callable[[], None]) -> int:
    """Start a process that ends with its work; there must be no thread and no zmq context yet."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - a fork must never return into its parent's program
        traceback.print_exc()
    finally:
        os._exit(status)


def relay(calls: str, values: str, tasks: str, results: str) -> None:
    """Passes calls on as the manager has room, and values as they come."""
    context, parent = zmq.Context(), os.getppid()
    client, node = Ends(context, calls, values, binds=True), Ends(context, results, tasks, binds=True)
    poller = zmq.Poller()
    for end in (client, node):
        poller.register(end.inward, zmq.POLLIN)
    waiting: deque[tuple[int, bytes]] = deque()
    room, goes_on = MANAGER_HOLDS, True
    while goes_on and os.getppid() == parent:
        ready = dict(poller.poll(LOOK_MS))
        if client.inward in ready:
            message = client.inward.recv()
            goes_on = bool(message)
            waiting.extend(unpack(message) if message else ())
        if node.inward in ready:
            done = unpack(node.inward.recv())
            room += len(done)
            client.outward.send(pack(done))
        while waiting and room:
            group = [waiting.popleft() for _ in range(min(BATCH, room, len(waiting)))]
            room -= len(group)
            node.outward.send(pack(group))
    for end in (client, node):
        end.outward.send(b"")
        end.close()
    context.term()


def manager(tasks: str, results: str) -> None:
    """Keeps two workers in work."""
    links: dict[int, socket.socket] = {}
    pids: list[int] = []
    for _ in range(WORKERS):
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        older = list(links.values())
        pids.append(fork(lambda its=its, closed=(*older, ours): worker(its, closed)))
        its.close()
        links[ours.fileno()] = ours
    context, parent = zmq.Context(), os.getppid()
    ends, poller = Ends(context, tasks, results, binds=False), zmq.Poller()
    for source in (ends.inward, *links):
        poller.register(source, zmq.POLLIN)
    waiting: deque[tuple[int, bytes]] = deque()
    holds, goes_on = dict.fromkeys(links, 0), True
    while goes_on and os.getppid() == parent:
        done: Items = []
        for source, _ in poller.poll(LOOK_MS):
            if source is ends.inward:
                message = ends.inward.recv()
                goes_on = bool(message)
                waiting.extend(unpack(message) if message else ())
            else:
                values = unpack(links[source].recv(PACKET_ROOM))
                holds[source] -= len(values)
                done += values
        if done:
            ends.outward.send(pack(done))
        while waiting and (least := min(holds, key=holds.__getitem__)) in links and holds[least] <= BATCH:
            share = -(-len(waiting) // WORKERS) if holds[least] == 0 else BATCH
            group = [waiting.popleft() for _ in range(min(BATCH, share, len(waiting)))]
            holds[least] += len(group)
            links[least].send(pack(group))
    for link in links.values():
        link.close()
    for pid in pids:
        os.waitpid(pid, 0)
    ends.close()
    context.term()


def worker(link: socket.socket, closed: tuple[socket.socket, ...]) -> None:
    """Runs what comes until the manager is gone."""
    for end in closed:
        end.close()
    while packet := link.recv(PACKET_ROOM):
        done: Items = []
        for number, call in unpack(packet):
            function, args = pickle.loads(call)
            done.append((number, pickle.dumps(FUNCTIONS[function](*args), 5)))
        link.send(pack(done))


def run_calls(limit: Limit, count: int) -> None:
    futures = [limit.submit(0) for _ in range(count)]
    limit.flush()
    for future in futures:
        future.wait()


def figures(count: int) -> list[float]:
    """Calls per second, and CPU per call in µs: of the client, and of the other processes together."""
    limit = Limit()
    run_calls(limit, min(count, 2_000))
    clock, began = TreeClock(descendants()), time.perf_counter()
    run_calls(limit, count)
    wall = time.perf_counter() - began
    client, others = clock.own(), clock.others()
    limit.close()
    return [count / wall, client / count * 1e6, others / count * 1e6]


def main() -> int:
    for count in (10_000, 200_000):
        rate, client, others = figures(count)
        print(f"{count:,} calls: {rate:,.0f}/s, client {client:.2f} µs, the others {others:.2f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
