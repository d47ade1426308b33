"""The manager's loop: moves messages between the interchange, the pure core and the workers."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from fanflow.errors import ConfigurationError
from fanflow.pilot import wire
from fanflow.pilot.admission import Admission
from fanflow.pilot.chunks import Assembly, AssemblyError
from fanflow.pilot.installed_packages import PackageReader
from fanflow.pilot.manager import ManagerConfig
from fanflow.pilot.manager_core import ManagerCore
from fanflow.pilot.manager_node import Node
from fanflow.pilot.manager_orders import Orders
from fanflow.pilot.manager_peer import Peer
from fanflow.pilot.nursery import Nursery, ZygoteGoneError
from fanflow.pilot.worker_records import PACKET_PAYLOAD
from fanflow.pilot.workforce import Supplies, Workforce

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
        node: What this manager is.
        control: Connection to its zygote.
        zygote_pid: Process id of the zygote.
    """

    def __init__(self, node: Node, control: socket.socket, zygote_pid: int) -> None:
        self._node = node
        self._config = config = node.config
        self._host, self._uid = node.host, node.uid
        admission = Admission(node.plan.workers, time.monotonic(), config.lasts_s or inf)
        self._core = ManagerCore(node.plan.workers, self._host, config.prefetch, admission)
        self._supplies = Supplies()
        nursery = Nursery(control, zygote_pid)
        self._workforce = Workforce(self._core, nursery, self._supplies, node.worker_plan, self._host)
        self._workforce.polls_memory = config.polls_memory
        self._arriving = Assembly()
        self._peer = Peer(config.access, self._registration)
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
        self._is_unfit = False
        """It ends because no worker can live here."""
        self._signals: list[int] = []
        """That came and have not been seen to."""
        self._drain_due = time.monotonic() + config.drain_s if config.drain_s else inf
        self._end_due = inf
        self._packages: PackageReader | None = None
        """At work."""
        self._questions: list[int] = []
        """That wait for it."""
        self._handlers: dict[type, Callable[..., None]] = {
            wire.Accepted: self._on_accepted,
            wire.Refused: self._on_refused,
            wire.Function: self._on_function,
            wire.Tasks: self._on_tasks,
            wire.Chunk: self._on_chunk,
            wire.Passed: self._on_passed,
            wire.Cancel: self._on_cancel,
            wire.Drain: self._on_drain,
            wire.Heartbeat: self._on_heartbeat,
            wire.Ask: self._on_ask,
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
        if self._status:  # what a batch job writes is looked at first
            sys.stderr.write(f"fanflow manager {self._uid} ends: {self._ending}; see {self._node.logs}\n")
        self._core.abandon(f"manager {self._uid} ended: {self._ending}", self._uid)
        self._report(self._core.take_orders(time.monotonic()), time.monotonic())
        if self._peer.is_accepted:
            self._peer.send(wire.Leave(self._ending, is_failure=self._is_unfit))
        self._workforce.close(_PATIENCE_S)
        self._peer.close(_LINGER_MS)
        signal.set_wakeup_fd(-1)
        return self._status

    def _turn(self) -> None:
        if self._goes_on:
            patience = 0
        else:
            due = min(self._core.next_due, self._peer.next_due, self._drain_due, self._end_due)
            patience = max(0, int((due - time.monotonic()) * 1000 + 0.999))
        ready: dict[object, int] = dict(self._peer.poller.poll(patience))
        now = time.monotonic()
        if self._config.parent in ready:
            self._end("its parent has ended", 0)
        if self._wakeup.fileno() in ready:
            self._see_to_signals(now)
        self._see_to_deadlines(now)
        if self._workforce.fileno() in ready or self._has_unfinished:
            self._has_unfinished = self._workforce.serve(now, is_congested=self._peer.is_congested)
        for frames in self._peer.receive(ready, now):
            self._on_message(frames)
        if now >= self._peer.next_due and not self._peer.tick(now):
            self._end(self._peer.failure, 1)
        if now >= self._core.next_due:
            self._core.tick(now)
        self._perform(now)
        if self._packages is not None:
            self._read_packages()
        is_reading = self._packages is not None
        self._goes_on = is_reading or (self._has_unfinished and not self._peer.is_congested)
        if self._core.is_done:
            self._end("it was told to finish, and has", 0)
        if self._core.bad_starts >= max(_BAD_STARTS, self._node.plan.workers):
            why = self._workforce.last_end
            self._is_unfit = True
            self._end(f"its workers end before they are ready, the last one thus: {why}", 1)

    def _end(self, reason: str, status: int) -> None:
        if not self._ending:
            self._ending, self._status = reason, status

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)  # the core may be at work: the next turn looks

    def _see_to_signals(self, now: float) -> None:
        self._wakeup.recv(4096)
        while self._signals:
            number = self._signals.pop(0)
            # A batch system sends it to the workers, too: who dies of it now is not to blame.
            self._workforce.forgives_sigterm = True
            if number == signal.SIGTERM and self._config.grace_s and self._end_due == inf:
                _log.warning("SIGTERM: what runs has %g s to finish", self._config.grace_s)
                self._end_due = now + self._config.grace_s
                self._start_draining()
            else:
                self._end(f"signal {signal.Signals(number).name}", 0)

    def _see_to_deadlines(self, now: float) -> None:
        if now >= self._drain_due:
            self._drain_due = inf
            _log.info("manager %s drains: it has been there for %g s", self._uid, self._config.drain_s)
            self._start_draining()
        if now >= self._end_due:
            self._end("signal SIGTERM, and its grace is over", 0)

    def _start_draining(self) -> None:
        self._core.drain()
        self._peer.send(wire.Drain())

    # -- orders ---------------------------------------------------------------------------------

    def _perform(self, now: float) -> None:
        """Do what the core wants, until it wants nothing more."""
        workforce = self._workforce
        while True:
            orders = self._core.take_orders(now)
            self._report(orders, now)
            for number in orders.start:
                workforce.start(number)
            for number, limit in orders.limits:
                workforce.limit(number, limit)
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
            for attempt, text, is_error, worker in workforce.printed:
                peer.send(wire.Printed(attempt, self._host, text, is_error, worker))
            workforce.printed.clear()
        if workforce.pieces:
            for piece in workforce.pieces:
                self._streaming.setdefault(piece.attempt, peer.connections)
                peer.send_chunk(wire.Chunk(piece.attempt, piece.offset, True), piece.data)
            workforce.pieces.clear()
        items = orders.items
        if items:
            if self._supplies.payloads:
                for item in items:
                    self._supplies.payloads.pop(item.attempt, None)
            self._send_results(orders, now)
        if orders.drains:
            _log.info("manager %s drains: its block ends before the walltime of what waits", self._uid)
            peer.send(wire.Drain())
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
            loss = wire.Loss("manager", -1, self._host, detail, blames_task=False, manager=self._uid)
            item = wire.ResultItem(item.attempt, 0, lost=loss)
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
        held = [*self._core.attempts, *repeated]
        return self._node.registration(held, is_draining=self._core.is_draining)

    def _on_accepted(self, header: wire.Accepted, frames: Frames) -> None:
        _log.info("manager %s of block %s was accepted", self._uid, self._config.block)
        self._peer.accepted(header)
        if self._core.is_draining:
            self._peer.send(wire.Drain())
        elif self._core.wanted != self._node.plan.workers + self._config.prefetch:
            self._peer.send(wire.Want(self._core.wanted))

    def _on_refused(self, header: wire.Refused, frames: Frames) -> None:
        if not self._peer.is_connected:
            return  # it was said over the connection before: once for each message that was sent there
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
        large: list[int] = []
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
                large.append(item.attempt)
        if large:
            self._peer.send(wire.Got(large))
        self._core.tasks_came(items, payloads)

    def _on_chunk(self, header: wire.Chunk, frames: Frames) -> None:
        self._arriving.add(header.attempt, header.offset, frames[1])

    def _on_passed(self, header: wire.Passed, frames: Frames) -> None:
        self._peer.passed(header.size)

    def _on_cancel(self, header: wire.Cancel, frames: Frames) -> None:
        self._core.cancel(header.attempts)

    def _on_drain(self, header: wire.Drain, frames: Frames) -> None:
        _log.info("manager %s drains", self._uid)
        self._core.drain()

    def _on_heartbeat(self, header: wire.Heartbeat, frames: Frames) -> None:
        pass

    def _on_ask(self, header: wire.Ask, frames: Frames) -> None:
        self._questions.append(header.number)
        if self._packages is None:
            path = self._node.config.path
            self._packages = PackageReader(list(sys.path) if path is None else path)

    def _read_packages(self) -> None:
        """Go on reading what was asked for, and answer when everything has been read."""
        found = self._packages.advance() if self._packages is not None else None
        if found is not None:
            for question in self._questions:
                self._peer.send(wire.Answer(question, [found]))
            self._questions.clear()
            self._packages = None


def run(config: ManagerConfig, control: socket.socket, zygote_pid: int) -> int:
    """Be a manager; returns the status for the process."""
    node = Node(config)
    _start_log(node)
    _log.info(
        "manager %s of block %s on %s, Python %s: %s",
        node.uid,
        config.block,
        node.host,
        platform.python_version(),
        node.trouble or node.plan.sentence(),
    )
    try:
        loop = ManagerLoop(node, control, zygote_pid)
    except ConfigurationError as error:  # its key file
        _log.error("the manager cannot begin: %s", error)
        sys.stderr.write(f"fanflow manager {node.uid} cannot begin: {error}\n")
        return 1
    return loop.run()


def _start_log(node: Node) -> None:
    path = os.path.join(node.logs, "manager.log")
    handler: logging.Handler
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        handler = logging.FileHandler(path)
    except OSError as error:
        node.trouble = node.trouble or f"it cannot write its log {path}: {error.strerror}"
        handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
