"""The manager's loop: moves messages between the interchange, the pure core and the workers."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from fanflow._version import __version__
from fanflow.pilot import wire
from fanflow.pilot.chunks import Assembly, AssemblyError
from fanflow.pilot.manager import ManagerConfig
from fanflow.pilot.manager_core import ManagerCore
from fanflow.pilot.manager_orders import Orders
from fanflow.pilot.manager_peer import Peer
from fanflow.pilot.nursery import Nursery, ZygoteGoneError
from fanflow.pilot.worker_records import PACKET_PAYLOAD
from fanflow.pilot.workforce import Supplies, Workforce
from fanflow.pilot.zygote import WorkerPlan

_log = logging.getLogger("fanflow.pilot.manager")

_BAD_STARTS: Final = 3
"""Workers in a row that may end before they are ready."""

_ITEMS_PER_MESSAGE: Final = 500
_PATIENCE_S: Final = 1.0
_LINGER_MS: Final = 500

Frames = Sequence[bytes | memoryview]


class ManagerLoop:
    """Sockets and processes around a `ManagerCore`. Single-threaded.

    Args:
        config: What this manager is.
        control: Connection to its zygote.
        zygote_pid: Process id of the zygote.
    """

    def __init__(self, config: ManagerConfig, control: socket.socket, zygote_pid: int) -> None:
        self._config = config
        self._host = socket.gethostname()
        self._uid = config.uid or os.urandom(6).hex()
        self._core = ManagerCore(config.slots, self._host, config.prefetch)
        self._supplies = Supplies()
        nursery = Nursery(control, zygote_pid)
        self._workforce = Workforce(self._core, nursery, self._supplies, self._plan, self._host)
        self._arriving = Assembly()
        self._peer = Peer(config.access.addresses[0], self._registration)
        self._peer.poller.register(self._workforce.fileno(), 1)
        self._wakeup, outer = socket.socketpair()
        for end in (self._wakeup, outer):
            end.setblocking(False)
        self._outer = outer
        self._peer.poller.register(self._wakeup.fileno(), 1)
        if config.parent >= 0:
            self._peer.poller.register(config.parent, 1)
        self._streaming: dict[int, int] = {}
        """Attempts whose large results are being passed on -> the connection on which that began."""
        self._goes_on = False
        self._has_unfinished = False
        self._ending = ""
        """Why it ends; empty while it goes on."""
        self._status = 0
        self._handlers: dict[type, Callable[..., None]] = {
            wire.Accepted: self._on_accepted,
            wire.Refused: self._on_refused,
            wire.Function: self._on_function,
            wire.Tasks: self._on_tasks,
            wire.Chunk: self._on_chunk,
            wire.Cancel: self._on_cancel,
            wire.Drain: self._on_drain,
            wire.Heartbeat: self._on_heartbeat,
        }
        self.malformed = 0
        """Messages that made no sense."""

    def run(self) -> int:
        """Work until the interchange wants no more of this manager, or is gone; returns the status."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._outer.fileno(), warn_on_full_buffer=False)
        try:
            self._perform(time.monotonic())
            while not self._ending:
                self._turn()
        except ZygoteGoneError:
            self._end("its zygote has ended", 1)
        _log.info("manager %s ends: %s", self._uid, self._ending)
        self._core.abandon(f"manager {self._uid} ended: {self._ending}")
        self._report(self._core.take_orders(time.monotonic()), time.monotonic())
        self._workforce.close(_PATIENCE_S)
        self._peer.close(_LINGER_MS)
        signal.set_wakeup_fd(-1)
        return self._status

    def _turn(self) -> None:
        if self._goes_on:
            patience = 0
        else:
            due = min(self._core.next_due, self._peer.next_due)
            patience = max(0, int((due - time.monotonic()) * 1000 + 0.999))
        ready: dict[object, int] = dict(self._peer.poller.poll(patience))
        now = time.monotonic()
        if self._config.parent in ready:
            self._end("its parent has ended", 0)
        if self._workforce.fileno() in ready or self._has_unfinished:
            self._has_unfinished = self._workforce.serve(now, is_congested=self._peer.is_congested)
        for frames in self._peer.receive(ready, now):
            self._on_message(frames)
        if now >= self._peer.next_due and not self._peer.tick(now):
            self._end("the interchange is gone", 1)
        if now >= self._core.next_due:
            self._core.tick(now)
        self._perform(now)
        self._goes_on = self._has_unfinished and not self._peer.is_congested
        if self._core.is_done:
            self._end("it was told to finish, and has", 0)
        if self._core.bad_starts >= max(_BAD_STARTS, self._config.slots):
            self._end("its workers end before they are ready; see their logs", 1)

    def _end(self, reason: str, status: int) -> None:
        if not self._ending:
            self._ending, self._status = reason, status

    def _on_signal(self, number: int, frame: object) -> None:
        self._end(f"signal {signal.Signals(number).name}", 0)

    # -- orders ---------------------------------------------------------------------------------

    def _perform(self, now: float) -> None:
        """Do what the core wants, until it wants nothing more."""
        workforce = self._workforce
        while True:
            orders = self._core.take_orders(now)
            self._report(orders, now)
            for number in orders.start:
                workforce.start(number)
            for number, tasks in orders.packets:
                workforce.send(number, tasks)
            for number in orders.measure:
                workforce.measure(number, now)
            for number in orders.look:
                workforce.look(number, now)
            for number in orders.kill:
                workforce.kill(number)
            if not (orders.look or orders.measure):
                return

    def _report(self, orders: Orders, now: float) -> None:
        workforce, peer = self._workforce, self._peer
        if workforce.printed:
            for attempt, text, is_error in workforce.printed:
                peer.send(wire.Printed(attempt, self._host, text, is_error))
            workforce.printed.clear()
        if workforce.pieces:
            for piece in workforce.pieces:
                self._streaming.setdefault(piece.attempt, peer.connections)
                peer.send(wire.Chunk(piece.attempt, piece.offset, True), piece.data)
            workforce.pieces.clear()
        items = orders.items
        if items:
            if self._supplies.payloads:
                for item in items:
                    self._supplies.payloads.pop(item.attempt, None)
            self._send_results(orders, now)
        if orders.returned:
            for attempt in orders.returned:
                self._supplies.payloads.pop(attempt, None)
            peer.send(wire.Return(orders.returned))
        if orders.want is not None:
            peer.send(wire.Want(orders.want))

    def _send_results(self, orders: Orders, now: float) -> None:
        items = orders.items
        if self._streaming:
            items = [item for item in items if not self._is_streamed(item)]
        if len(items) <= _ITEMS_PER_MESSAGE:
            self._peer.send_results(wire.Results(items), b"".join(orders.parts), now)
            return
        parts = iter(orders.parts)
        for start in range(0, len(items), _ITEMS_PER_MESSAGE):
            some = items[start : start + _ITEMS_PER_MESSAGE]
            blob = b"".join(next(parts) for item in some if item.size)
            self._peer.send_results(wire.Results(some), blob, now)

    def _is_streamed(self, item: wire.ResultItem) -> bool:
        """Send the end of a large result by itself; it is void if its pieces went to a dead interchange."""
        connection = self._streaming.pop(item.attempt, None)
        if connection is None:
            return False
        if connection != self._peer.connections and item.lost is None:
            detail = "its result was on the way when the interchange was lost"
            item = wire.ResultItem(
                item.attempt, 0, lost=wire.Loss("manager", host=self._host, detail=detail, blames_task=False)
            )
        self._peer.send(wire.Results([item]), b"")
        return True

    # -- messages -------------------------------------------------------------------------------

    def _on_message(self, frames: Frames) -> None:
        try:
            header = wire.decode_to_manager(frames[0])
            self._handlers[type(header)](header, frames)
        except (ValueError, IndexError, AssemblyError):  # msgspec's errors are ValueErrors
            self.malformed += 1
            _log.exception("a message of the interchange makes no sense")

    def _registration(self, repeated: list[int]) -> wire.Register:
        return wire.Register(
            version=wire.VERSION,
            uid=self._uid,
            block=self._config.block,
            host=self._host,
            pid=os.getpid(),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            fanflow=__version__,
            cloudpickle=importlib.metadata.version("cloudpickle"),
            slots=self._config.slots,
            prefetch=self._config.prefetch,
            holds=[*self._core.attempts, *repeated],
        )

    def _on_accepted(self, header: wire.Accepted, frames: Frames) -> None:
        _log.info("manager %s of block %s was accepted", self._uid, self._config.block)
        self._peer.accepted(header)
        if self._core.is_draining:
            self._peer.send(wire.Drain())
        elif self._core.wanted != self._config.slots + self._config.prefetch:
            self._peer.send(wire.Want(self._core.wanted))

    def _on_refused(self, header: wire.Refused, frames: Frames) -> None:
        if self._peer.is_accepted:  # it has given us up, after a silence: begin anew
            _log.warning("the interchange does not know this manager any more: %s", header.reason)
            self._peer.reconnect()
        else:
            _log.error("the interchange refuses this manager: %s", header.reason)
            self._end(f"the interchange refuses it: {header.reason}", 1)

    def _on_function(self, header: wire.Function, frames: Frames) -> None:
        body = bytes(frames[1])
        if hashlib.blake2b(body, digest_size=16).digest() != header.digest:
            raise ValueError(f"the body of function {header.number} is not what its digest says")
        self._supplies.functions[header.number] = body

    def _on_tasks(self, header: wire.Tasks, frames: Frames) -> None:
        items, blob = header.items, bytes(frames[1])
        if sum(item.size for item in items if item.size <= wire.INLINE_LIMIT) != len(blob):
            raise ValueError(f"payloads of {len(blob)} bytes do not fit {len(items)} items")
        functions = self._supplies.functions
        payloads: list[bytes | None] = []
        start = 0
        for item in items:
            size = item.size
            if size < 0 or item.function not in functions:
                raise ValueError(f"attempt {item.attempt} has {size} bytes, or an unknown function")
            if size <= PACKET_PAYLOAD:
                payloads.append(blob[start : start + size])
                start += size
                continue
            payloads.append(None)
            if size <= wire.INLINE_LIMIT:
                self._supplies.payloads[item.attempt] = (blob[start : start + size],)
                start += size
            else:
                self._supplies.payloads[item.attempt] = self._arriving.finish(item.attempt, size)
        self._core.tasks_came(items, payloads)

    def _on_chunk(self, header: wire.Chunk, frames: Frames) -> None:
        self._arriving.add(header.attempt, header.offset, frames[1])

    def _on_cancel(self, header: wire.Cancel, frames: Frames) -> None:
        self._core.cancel(header.attempts)

    def _on_drain(self, header: wire.Drain, frames: Frames) -> None:
        _log.info("manager %s drains", self._uid)
        self._core.drain()

    def _on_heartbeat(self, header: wire.Heartbeat, frames: Frames) -> None:
        pass

    def _plan(self, number: int) -> WorkerPlan:
        config = self._config
        environment = {
            "PARSL_WORKER_RANK": str(number),
            "PARSL_WORKER_COUNT": str(config.slots),
            "PARSL_WORKER_POOL_ID": self._uid,
            "PARSL_WORKER_BLOCK_ID": config.block,
        }
        return WorkerPlan(
            number,
            os.path.join(os.path.abspath(config.log_directory), f"worker_{number}.log"),
            config.directory or os.getcwd(),
            list(sys.path) if config.path is None else config.path,
            list(sys.argv) if config.argv is None else config.argv,
            {**config.environment, **environment},
        )


def run(config: ManagerConfig, control: socket.socket, zygote_pid: int) -> int:
    """Be a manager; returns the status for the process."""
    handler = logging.FileHandler(os.path.join(config.log_directory, "manager.log"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    loop = ManagerLoop(config, control, zygote_pid)
    _log.info(
        "manager with %d workers on %s, Python %s",
        config.slots,
        socket.gethostname(),
        platform.python_version(),
    )
    return loop.run()
