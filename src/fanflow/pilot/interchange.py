"""The interchange process: one loop that moves frames between sockets and the pure core."""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from fanflow.pilot import wire
from fanflow.pilot.access import Listener
from fanflow.pilot.admissions import Admissions
from fanflow.pilot.authenticator import DOMAIN, Authenticator
from fanflow.pilot.interchange_core import InterchangeCore
from fanflow.pilot.manager_selector import order_of
from fanflow.pilot.outbox import ResultChunk
from fanflow.pilot.registration import InterchangeSettings
from fanflow.pilot.sockets import (
    Frames,
    has_message,
    monitor_of,
    receive_all,
    receive_rest,
    send,
    set_limits,
    set_network_limits,
)

_log = logging.getLogger("fanflow.pilot.interchange")

_SRCFD: Final = int(zmq.SRCFD)

_MOST_PER_TURN = 200
"""Messages taken from one socket before the others get their turn."""

_MOST_QUEUED = 16
"""Messages that zmq keeps for a slow client: large results must wait at their managers, not here."""
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class InterchangeConfig(msgspec.Struct, kw_only=True):
    """What an interchange is started with."""

    settings: InterchangeSettings
    client_url: str
    """Where the client has bound its socket."""
    listener: Listener
    """Where managers connect to."""
    selector: bytes = b""
    """A pickled `ManagerSelector`; empty: managers take turns."""


class Interchange:
    """Sockets around an `InterchangeCore`. Single-threaded.

    Args:
        config: What to bind and what to be.
        descriptors: Listening sockets for managers; none: a Unix socket of its own.
    """

    def __init__(self, config: InterchangeConfig, descriptors: Sequence[int] = ()) -> None:
        listener = config.listener
        # Decision 0019: this comes from our parent over a private socket, before anybody can connect.
        order = order_of(pickle.loads(config.selector)) if config.selector else None
        admissions = Admissions({} if listener.secret_key else None)
        self._core = InterchangeCore(config.settings, order, admissions)
        self._context = zmq.Context()
        self._client = self._context.socket(zmq.DEALER)
        self._managers = self._context.socket(zmq.ROUTER)
        for socket in (self._client, self._managers):
            set_limits(socket, wire.MAX_MESSAGE_BYTES)
        self._client.set(zmq.SNDHWM, _MOST_QUEUED)
        self._connections: dict[int, list[bytes]] = {}
        """Descriptor -> identities that were heard on its connection."""
        self._monitor = monitor_of(self._context, self._managers, _EVENTS)
        self._authenticator: Authenticator | None = None
        self._closed: Sequence[tuple[str, int]] = ()
        """Addresses, and their descriptors, on which nobody is served before the client has said whom."""
        if listener.secret_key:
            self._authenticator = Authenticator(self._context, admissions.block_of)
            self._closed = tuple(zip(listener.urls, descriptors, strict=True))
            self._guard(listener)
        else:
            self._managers.bind(listener.urls[0])
        self._client.bind(config.client_url)
        self._unsent: deque[Frames] = deque()
        """Messages for the client, which is slow or has not connected yet."""
        self._waits_for_client = False
        self._poller = zmq.Poller()
        for socket in (self._client, self._managers, self._monitor):
            self._poller.register(socket, zmq.POLLIN)
        if self._authenticator is not None:
            self._poller.register(self._authenticator.socket, zmq.POLLIN)

    def _guard(self, listener: Listener) -> None:
        socket = self._managers
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, listener.secret_key.encode())
        socket.set(zmq.ZAP_DOMAIN, DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without an authenticator zmq would let everybody in

    def _listen(self) -> None:
        """Go on where the interchange before has stopped: who has come since then waits in its sockets."""
        for url, descriptor in self._closed:
            set_network_limits(self._managers, "[" in url)
            self._managers.set(zmq.USE_FD, descriptor)
            self._managers.bind(url)
        self._closed = ()

    def run(self) -> None:
        """Relay until the client says goodbye, or this process is ended with its parent."""
        core = self._core
        next_tick = core.tick(time.monotonic())
        while True:
            due = min(next_tick, self._authenticator.next_due) if self._authenticator else next_tick
            patience = max(0, int((due - time.monotonic()) * 1000) + 1)
            ready = dict(self._poller.poll(patience))
            now = time.monotonic()
            if self._client in ready:
                self._drain_client(now)  # first: it may say whom to admit
                if self._closed and core.admissions.is_open:
                    self._listen()
            if self._authenticator is not None:
                self._authenticate(self._authenticator, now)
            if self._managers in ready:
                self._drain_managers(now)
            if self._monitor in ready:
                self._drain_monitor()
            if now >= next_tick or not ready:
                next_tick = core.tick(now)
            outbox = core.take_outbox()
            for identity, frames in outbox.to_manager:
                send(self._managers, (identity, *frames))
            self._unsent.extend(outbox.to_client)
            self._send_to_client()
            if outbox.ends:
                break
        self._managers.disable_monitor()
        for socket in (self._client, self._managers):
            socket.close(linger=500)
        self._monitor.close(linger=0)
        if self._authenticator is not None:
            self._authenticator.close()
        self._context.term()

    def _send_to_client(self) -> None:
        """What can be sent; the rest waits until the client has connected."""
        unsent = self._unsent
        waited = bool(self._waits_for_client)
        try:
            while unsent:
                message = unsent[0]
                send(self._client, message)
                if isinstance(message, ResultChunk):
                    passed = wire.encode(wire.Passed(len(message[1])))
                    send(self._managers, (message.origin, passed))
                unsent.popleft()
        except zmq.Again:
            pass
        self._waits_for_client = bool(unsent)
        if waited != self._waits_for_client:
            events = zmq.POLLIN | zmq.POLLOUT if unsent else zmq.POLLIN
            self._poller.modify(self._client, events)

    def _drain_client(self, now: float) -> None:
        for frames in receive_all(self._client, _MOST_PER_TURN):
            self._core.from_client(frames, now)

    def _authenticate(self, authenticator: Authenticator, now: float) -> None:
        before = authenticator.refused
        authenticator.serve(now)
        self._core.admissions.refused += authenticator.refused - before

    def _drain_managers(self, now: float) -> None:
        for _ in range(_MOST_PER_TURN):
            if not has_message(self._managers):
                return
            first = self._managers.recv(zmq.NOBLOCK, copy=False)
            frames = receive_rest(self._managers, first)
            identity = first.bytes
            if identity not in self._connections.get(first.get(_SRCFD), ()):
                self._on_connection(first)
            self._core.from_manager(identity, frames, now)

    def _on_connection(self, first: zmq.Frame) -> None:
        """The first message of a connection: from now on its end is the end of this peer."""
        self._drain_monitor()  # what is said of this descriptor so far is about earlier connections
        self._connections.setdefault(first.get(_SRCFD), []).append(first.bytes)
        if self._authenticator is not None:
            self._core.admissions.connected(first.bytes, str(first.get("User-Id")))

    def _drain_monitor(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._core.admissions.strangers += 1
            elif event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._core.admissions.strangers -= 1
            else:
                for identity in self._connections.pop(event["value"], ()):
                    self._core.connection_ended(identity)


decode_config = msgspec.msgpack.Decoder(InterchangeConfig).decode
"""Bytes -> configuration, for the fork server."""


def main(config: InterchangeConfig, *descriptors: int) -> None:
    """Be the interchange, until it ends."""
    _log.info("interchange %d of run %s", os.getpid(), config.settings.run_id)
    Interchange(config, descriptors).run()
