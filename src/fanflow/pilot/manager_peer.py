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
from fanflow.pilot.access import Access
from fanflow.pilot.keys import load_pair
from fanflow.pilot.race import Race, Winner, shut
from fanflow.pilot.sockets import Frames, receive_all, send

_log = logging.getLogger("fanflow.pilot.manager")

_REPEAT_S: Final = 5.0
_REPEAT_BYTES: Final = 32 << 20
_MOST_PER_TURN: Final = 100
_IN: Final = int(zmq.POLLIN)  # arithmetic with zmq's own enumerations takes microseconds
_OUT: Final = int(zmq.POLLOUT)


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
        access: How it is reached.
        register: Makes the registration, given attempts whose outcomes are sent again.
    """

    def __init__(self, access: Access, register: Callable[[list[int]], wire.Register]) -> None:
        self._access = access
        self._pair = load_pair(access.key_file) if access.server_key else None
        self._register = register
        self._context = zmq.Context()
        self._outbox: deque[Frames] = deque()
        self._recent = Recent()
        self._in_flight = 0
        """Bytes of pieces that the interchange has not passed on."""
        self.connections = 0
        """Begun so far: what was sent on one of them never reaches the next."""
        self._has_heard = False
        """There was a connection before."""
        self.poller = zmq.Poller()
        self.is_accepted = False
        self.heartbeat_s = 5.0
        self.threshold_s = 30.0
        self._heard = self._sent = self._asked = self._ticked = time.monotonic()
        self.failure = ""
        """Why the interchange cannot be reached any more; empty while it can, or may be."""
        self._winner: Winner | None = None
        self._dealer: zmq.Socket[bytes]  # the winner's, or the last one's
        self._race: Race | None = self._start_race(self._heard)

    def _start_race(self, now: float) -> Race:
        self.connections += 1
        return Race(
            context=self._context,
            poller=self.poller,
            access=self._access,
            pair=self._pair,
            now=now,
            is_again=self._has_heard,
        )

    def _shut(self, linger_ms: int = 0) -> None:
        if self._race is not None:
            self._race.close()
            self._race = None
        if self._winner is not None:
            self.poller.unregister(self._winner.dealer)
            self.poller.unregister(self._winner.monitor)
            shut(self._winner.dealer, self._winner.monitor, linger_ms)
            self._winner = None

    def close(self, linger_ms: int) -> None:
        """Send what is queued, but not for longer than this."""
        while self._outbox and self._winner and self._winner.dealer.poll(linger_ms, zmq.POLLOUT):
            self.flush()
        self._shut(linger_ms)
        self._context.term()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection; what comes before the next one was said on the last."""
        return self._winner is not None

    @property
    def is_congested(self) -> bool:
        """Whether large results should wait."""
        return bool(self._outbox) or self._in_flight >= wire.RESULTS_WINDOW

    @property
    def next_due(self) -> float:
        """When to call `tick` at the latest."""
        due = min(self._sent, self._asked) + self.heartbeat_s
        return min(due, self._race.next_due) if self._race is not None else due

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
            send(self._dealer, message)
        except zmq.Again:
            self._outbox.appendleft(message)
            self.poller.register(self._dealer, zmq.POLLIN | zmq.POLLOUT)
            return False
        self._sent = time.monotonic()
        return True

    def flush(self) -> None:
        """Send what waits, as far as it goes."""
        while self._outbox and self._send_now(self._outbox.popleft()):
            pass
        if not self._outbox:
            self.poller.register(self._dealer, zmq.POLLIN)

    def tick(self, now: float) -> bool:
        """Time has passed: show that we live; False if the interchange is out of reach, see `failure`."""
        if now - self._ticked > 3 * self.heartbeat_s:  # this process was stopped: what came waits to be read
            self._heard = now
        self._ticked = now
        if self._race is not None and self._race.is_lost(now):
            failures = self._race.failures()
            for address, failure in failures.items():
                _log.error("the interchange cannot be reached at %s: %s", address, failure)
            listed = "; ".join(f"{address}: {failure}" for address, failure in failures.items())
            self.failure = f"no address of the interchange can be used: {listed}"
        elif self._has_heard and now - self._heard > self.threshold_s:
            self.failure = f"nothing was heard of the interchange for {now - self._heard:.0f} s"
        if self.failure:
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
        if self._race is not None:
            self._winner = self._race.follow(ready, now)
            if self._winner is None:
                return messages
            self._connected(self._winner, now)
        dealer = self._dealer
        events = ready.get(dealer, 0)
        if events & _IN:
            messages += receive_all(dealer, _MOST_PER_TURN)
            self._heard = now
        if events & _OUT:
            self.flush()
        if self._winner is not None and self._winner.monitor in ready:
            self._follow(self._winner.monitor)
        return messages

    def _connected(self, winner: Winner, now: float) -> None:
        self._race = None
        self._dealer = winner.dealer
        self.poller.register(winner.dealer, zmq.POLLIN)
        self.poller.register(winner.monitor, zmq.POLLIN)
        if not self._has_heard:
            self._has_heard, self._heard = True, now
        self._sent = now
        _log.info("the interchange answers at %s", winner.url)
        # Past the outbox: nothing may come before it.
        send(winner.dealer, (wire.encode(self._register(self._repeated(now))),))

    def _follow(self, monitor: zmq.Socket[bytes]) -> None:
        while monitor.poll(0):
            if recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED:
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
        self.is_accepted = False
        self._outbox.clear()
        self._in_flight = 0
        self._shut()
        self._race = self._start_race(time.monotonic())

    def accepted(self, header: wire.Accepted) -> None:
        """The interchange knows us: what waited may go."""
        if not self.is_connected:
            return  # it was said on the connection before
        self.is_accepted = True
        self.heartbeat_s = header.heartbeat_ms / 1000
        self.threshold_s = header.threshold_ms / 1000
        self.flush()
