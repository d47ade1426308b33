"""Tries all addresses of the interchange at once: the first that shakes hands wins, the others are closed."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from fanflow.pilot import wire
from fanflow.pilot.access import Access
from fanflow.pilot.addresses import is_number
from fanflow.pilot.keys import KeyPair
from fanflow.pilot.lookups import Lookups
from fanflow.pilot.reach import why_unreachable
from fanflow.pilot.sockets import host_and_port, monitor_of, set_limits, set_network_limits, url_of

_log = logging.getLogger("fanflow.pilot.manager")

_MOST_QUEUED: Final = 64
"""Messages that zmq keeps for a slow peer; further ones wait in our hands and stop large results."""

_RETRY_MS: Final = 50
_SETTLED_S: Final = 5.0
"""Addresses that all fail for so long will not get better: the client holds the port."""

_OTHERS_S: Final = 3.0
"""What is left for the other addresses when one says that the key is refused: anybody could say so."""

_EVENTS: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_CONNECTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
)

_KEY_REFUSED: Final = (
    "the interchange refuses the key of this block: the block has ended, or the key is of another run"
)
_SILENT: Final = "something listens there, but it does not speak as an interchange does"
_NOT_OURS: Final = "what listens there is not this run's interchange"

Context = zmq.Context[zmq.Socket[bytes]]


@dataclass(slots=True)
class _Candidate:
    """One address on its way."""

    url: str
    dealer: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    failure: str = ""
    """How it failed last; empty: nothing has been heard yet."""
    is_refused: bool = False
    """Its key, for good."""


@dataclass(frozen=True, slots=True)
class Winner:
    """A connection that has shaken hands."""

    url: str
    dealer: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]


class Race:
    """One attempt to reach the interchange. Never blocks, but for `failures`.

    Args:
        context: For its sockets.
        poller: Polls for them; what is ready is passed to `follow`.
        access: The addresses.
        pair: The block's keys; None for a Unix socket.
        now: Monotonic seconds.
        is_again: Whether there was a connection before. Then only its key ends a race; how long to
            go on is for others to say.
    """

    def __init__(
        self,
        *,
        context: Context,
        poller: zmq.Poller,
        access: Access,
        pair: KeyPair | None,
        now: float,
        is_again: bool,
    ) -> None:
        self._context, self._poller = context, poller
        self._access, self._pair = access, pair
        self._ends = math.inf if is_again else now + access.probe_timeout_s
        # A Unix socket comes back with the next interchange, and may not be there yet.
        self._settles = math.inf if is_again or pair is None else now + _SETTLED_S
        self._refused_at = math.inf
        self._candidates: dict[zmq.Socket[bytes], _Candidate] = {}
        """By monitor."""
        self._unknown: dict[str, str] = {}
        """Names that nobody knows -> why."""
        self._ports: dict[str, int] = {}
        """Of the names."""
        for url in access.addresses:
            host, port = host_and_port(url) if url.startswith("tcp://") else ("", 0)
            if host and not is_number(host):
                self._ports[host] = port
            else:
                self._connect(url)
        self._lookups = Lookups(list(self._ports)) if self._ports else None
        if self._lookups is not None:
            poller.register(self._lookups.fileno(), zmq.POLLIN)

    def _connect(self, url: str) -> None:
        if any(candidate.url == url for candidate in self._candidates.values()):
            return
        dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        set_limits(dealer, wire.MAX_MESSAGE_BYTES)
        dealer.set(zmq.SNDHWM, _MOST_QUEUED)
        dealer.set(zmq.RECONNECT_IVL, _RETRY_MS)
        dealer.set(zmq.RECONNECT_IVL_MAX, 20 * _RETRY_MS)
        if self._pair is not None:
            set_network_limits(dealer, "[" in url)
            dealer.set(zmq.CURVE_SERVERKEY, self._access.server_key.encode())
            dealer.set(zmq.CURVE_PUBLICKEY, self._pair.public.encode())
            dealer.set(zmq.CURVE_SECRETKEY, self._pair.secret.encode())
        monitor = monitor_of(self._context, dealer, _EVENTS)
        dealer.connect(url)
        self._poller.register(monitor, zmq.POLLIN)
        self._candidates[monitor] = _Candidate(url, dealer, monitor)

    def follow(self, ready: dict[object, int], now: float) -> Winner | None:
        """See what came of the candidates; the race is over when one has won."""
        if self._lookups is not None and self._lookups.fileno() in ready:
            for found in self._lookups.take():
                if found.failure:
                    self._unknown[found.name] = found.failure
                for number in found.numbers:
                    self._connect(url_of(number, self._ports[found.name]))
        for candidate in list(self._candidates.values()):
            while candidate.monitor in ready and candidate.monitor.poll(0):
                if self._has_won(candidate, recv_monitor_message(candidate.monitor)["event"], now):
                    del self._candidates[candidate.monitor]
                    self._poller.unregister(candidate.monitor)
                    self.close()
                    return Winner(candidate.url, candidate.dealer, candidate.monitor)
        return None

    def _has_won(self, candidate: _Candidate, event: int, now: float) -> bool:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return True
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            candidate.failure, candidate.is_refused = _KEY_REFUSED, True
            self._refused_at = min(self._refused_at, now)
        elif event in {zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL}:
            candidate.failure = _NOT_OURS
        elif event == zmq.EVENT_CLOSED and not candidate.failure:
            candidate.failure = "refused"  # in the end it is asked once more why
        return False

    @property
    def next_due(self) -> float:
        """When to ask `is_lost` again at the latest."""
        if self._is_key_refused(-math.inf):
            return self._refused_at
        due = min(self._ends, self._refused_at + _OTHERS_S)
        return min(due, self._settles) if self._have_all_failed() else due

    def _have_all_failed(self) -> bool:
        waits = self._lookups is not None and self._lookups.waiting
        return not waits and all(candidate.failure for candidate in self._candidates.values())

    def _is_key_refused(self, now: float) -> bool:
        everywhere = all(candidate.is_refused for candidate in self._candidates.values())
        return self._refused_at < math.inf and (everywhere or now >= self._refused_at + _OTHERS_S)

    def is_lost(self, now: float) -> bool:
        """Whether it is in vain to wait any longer."""
        if self._is_key_refused(now) or now >= self._ends:
            return True
        return now >= self._settles and self._have_all_failed()

    def failures(self) -> dict[str, str]:
        """Address -> why it failed; takes up to a second."""
        found = dict(self._unknown)
        if self._lookups is not None:
            found.update(dict.fromkeys(self._lookups.waiting, "name not known: nobody has answered yet"))
        unclear = [item.url for item in self._candidates.values() if item.failure in {"", "refused"}]
        reasons = why_unreachable(unclear)
        for candidate in self._candidates.values():
            found[candidate.url] = reasons.get(candidate.url) or candidate.failure or _SILENT
        return found

    def close(self) -> None:
        """Let go of all candidates."""
        if self._lookups is not None:
            self._poller.unregister(self._lookups.fileno())
            self._lookups.close()
            self._lookups = None
        for candidate in self._candidates.values():
            self._poller.unregister(candidate.monitor)
            shut(candidate.dealer, candidate.monitor)
        self._candidates.clear()


def shut(dealer: zmq.Socket[bytes], monitor: zmq.Socket[bytes], linger_ms: int = 0) -> None:
    """Close a connection and what watches it."""
    dealer.disable_monitor()
    monitor.close(linger=0)
    dealer.close(linger=linger_ms)
