"""A manager's connection to the interchange: made, lost, made again, judged by silence."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from fanflow.pilot import wire
from fanflow.pilot.sockets import Frames, receive_all, send, set_limits

_log = logging.getLogger("fanflow.pilot.manager")

_MOST_QUEUED: Final = 64
"""Messages that zmq keeps for a slow peer; further ones wait here and stop large results."""

_REPEAT_S: Final = 5.0
_REPEAT_BYTES: Final = 32 << 20
_MOST_PER_TURN: Final = 100
_RETRY_MS: Final = 50
_IN: Final = int(zmq.POLLIN)  # arithmetic with zmq's own enumerations takes microseconds
_OUT: Final = int(zmq.POLLOUT)
_EVENTS: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Recent:
    """Outcomes that were sent a short while ago: an interchange that died may not have passed them on."""

    def __init__(self) -> None:
        self._messages: deque[tuple[float, list[int], Frames, int]] = deque()
        self._bytes = 0

    def add(self, attempts: list[int], frames: Frames, now: float) -> None:
        """These have been sent."""
        size = sum(len(frame) for frame in frames)
        self._messages.append((now, attempts, frames, size))
        self._bytes += size
        while self._messages and (self._bytes > _REPEAT_BYTES or self._messages[0][0] < now - _REPEAT_S):
            self._bytes -= self._messages.popleft()[3]

    def take(self, now: float) -> list[tuple[list[int], Frames]]:
        """All of them, to be sent again."""
        taken = [
            (attempts, frames) for sent, attempts, frames, _ in self._messages if sent >= now - _REPEAT_S
        ]
        self._messages.clear()
        self._bytes = 0
        return taken


class Peer:
    """The interchange, as this manager sees it. Single-threaded, never blocks.

    Each connection is a new socket, so that nothing that was queued for a dead interchange reaches its
    successor before the registration does.

    Args:
        address: Where it listens.
        register: Makes the registration, given attempts whose outcomes are sent again.
    """

    def __init__(self, address: str, register: Callable[[list[int]], wire.Register]) -> None:
        self._address = address
        self._register = register
        self._context = zmq.Context()
        self._outbox: deque[Frames] = deque()
        self._recent = Recent()
        self._in_flight = 0
        """Bytes of pieces that the interchange has not passed on."""
        self.is_connected = False
        self.connections = 0
        """Sockets opened so far: what was sent on one of them never reaches the next."""
        self.poller = zmq.Poller()
        self.is_accepted = False
        self.heartbeat_s = 5.0
        self.threshold_s = 30.0
        self._heard = self._sent = self._asked = self._ticked = time.monotonic()
        self._socket, self._monitor = self._open()

    def _open(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        self.connections += 1
        dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        set_limits(dealer, wire.MAX_MESSAGE_BYTES)
        dealer.set(zmq.SNDHWM, _MOST_QUEUED)
        dealer.set(zmq.RECONNECT_IVL, _RETRY_MS)
        dealer.set(zmq.RECONNECT_IVL_MAX, 20 * _RETRY_MS)
        monitor: zmq.Socket[bytes] = dealer.get_monitor_socket(_EVENTS)
        dealer.connect(self._address)
        self.poller.register(dealer, zmq.POLLIN)
        self.poller.register(monitor, zmq.POLLIN)
        return dealer, monitor

    def _shut(self, linger_ms: int = 0) -> None:
        self.poller.unregister(self._socket)
        self.poller.unregister(self._monitor)
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=linger_ms)

    def close(self, linger_ms: int) -> None:
        """Send what is queued, but not for longer than this."""
        while self._outbox and self._socket.poll(linger_ms, zmq.POLLOUT):
            self.flush()
        self._shut(linger_ms)
        self._context.term()

    @property
    def is_congested(self) -> bool:
        """Whether large results should wait."""
        return bool(self._outbox) or self._in_flight >= wire.RESULTS_WINDOW

    @property
    def next_due(self) -> float:
        """When to call `tick` at the latest."""
        return min(self._sent, self._asked) + self.heartbeat_s

    # -- out ------------------------------------------------------------------------------------

    def send(self, header: wire.Message, *frames: bytes | memoryview) -> None:
        """A message; before the registration is accepted it waits."""
        message = (wire.encode(header), *frames)
        if not self.is_accepted or self._outbox:
            self._outbox.append(message)
        else:
            self._send_now(message)

    def send_chunk(self, header: wire.Chunk, piece: bytes | memoryview) -> None:
        """A piece of a large result."""
        self._in_flight += len(piece)
        self.send(header, piece)

    def passed(self, size: int) -> None:
        """The interchange has passed so many bytes of pieces on."""
        self._in_flight = max(0, self._in_flight - size)

    def send_results(self, header: wire.Results, blob: bytes, now: float) -> None:
        """Outcomes; they are sent once more if the interchange is lost soon."""
        message = (wire.encode(header), blob)
        self._recent.add([item.attempt for item in header.items], message, now)
        if not self.is_connected:
            return  # what is recent follows the registration
        if self._outbox or not self.is_accepted:
            self._outbox.append(message)
        else:
            self._send_now(message)

    def _send_now(self, message: Frames) -> bool:
        try:
            send(self._socket, message)
        except zmq.Again:
            self._outbox.appendleft(message)
            self.poller.register(self._socket, zmq.POLLIN | zmq.POLLOUT)
            return False
        self._sent = time.monotonic()
        return True

    def flush(self) -> None:
        """Send what waits, as far as it goes."""
        while self._outbox and self._send_now(self._outbox.popleft()):
            pass
        if not self._outbox:
            self.poller.register(self._socket, zmq.POLLIN)

    def tick(self, now: float) -> bool:
        """Time has passed: show that we live; False if the interchange has been gone for too long."""
        if now - self._ticked > 3 * self.heartbeat_s:  # this process was stopped: what came waits to be read
            self._heard = now
        self._ticked = now
        if now - self._heard > self.threshold_s:
            _log.error(
                "nothing was heard of the interchange at %s for %.0f s", self._address, now - self._heard
            )
            return False
        if self.is_accepted and now >= self.next_due:
            self._asked = now
            self.send(wire.Heartbeat())
        elif not self.is_accepted:
            self._asked = self._sent = now
        return True

    # -- in -------------------------------------------------------------------------------------

    def receive(self, ready: dict[object, int], now: float) -> list[Sequence[bytes | memoryview]]:
        """Messages that have come; connections that came and went are seen to."""
        messages: list[Sequence[bytes | memoryview]] = []
        events = ready.get(self._socket, 0)
        if events & _IN:
            messages += receive_all(self._socket, _MOST_PER_TURN)
            self._heard = now
        if events & _OUT:
            self.flush()
        if self._monitor in ready:
            self._follow(now)
        return messages

    def _follow(self, now: float) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_connected = True
                self._sent = now
                # Past the outbox: nothing may come before it.
                send(self._socket, (wire.encode(self._register(self._repeated(now))),))
            elif event == zmq.EVENT_DISCONNECTED and self.is_connected:
                _log.warning("the connection to the interchange ended")
                self.reconnect()
                return

    def _repeated(self, now: float) -> list[int]:
        again = self._recent.take(now)
        for attempts, frames in again:
            self._recent.add(attempts, frames, now)
            self._outbox.append(frames)
        return [attempt for attempts, _ in again for attempt in attempts]

    def reconnect(self) -> None:
        """Begin anew; what was queued for the old interchange is void."""
        self.is_connected = self.is_accepted = False
        self._outbox.clear()
        self._in_flight = 0
        self._shut()
        self._socket, self._monitor = self._open()

    def accepted(self, header: wire.Accepted) -> None:
        """The interchange knows us: what waited may go."""
        self.is_accepted = True
        self.heartbeat_s = header.heartbeat_ms / 1000
        self.threshold_s = header.threshold_ms / 1000
        self.flush()
