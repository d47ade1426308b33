"""Answers zmq's question whether the key of a peer that connects is admitted (ZAP, RFC 27).

It lives in the loop of the process whose sockets it guards; without it nobody gets in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

import zmq

DOMAIN: Final = b"fanflow"
_ENDPOINT: Final = "inproc://zeromq.zap.01"
_VERSION: Final = b"1.0"
_ENVELOPE: Final = 2  # who asks, and an empty frame
_FIELDS: Final = 7  # version, request id, domain, address, routing id, mechanism, key
_MOST_PER_TURN: Final = 100

_PATIENCE_S: Final = 1.5
"""For a key that is not known: a manager may be faster than the client's word that it is admitted."""

_MOST_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class _Question:
    envelope: list[bytes]
    number: bytes
    key: bytes
    """Empty if the question itself is wrong."""
    deadline: float


class Authenticator:
    """Knows no keys itself. One for each context, made before anything listens.

    Args:
        context: Whose sockets it guards.
        block_of: Whose key this is; None: nobody's.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], block_of: Callable[[bytes], str | None]
    ) -> None:
        self._block_of = block_of
        self._waiting: deque[_Question] = deque()
        """Those with the first deadline come first."""
        self.socket = context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)
        self.refused = 0
        """Peers whose key nobody has admitted."""

    @property
    def next_due(self) -> float:
        """When to call `serve` at the latest."""
        return self._waiting[0].deadline if self._waiting else inf

    def serve(self, now: float) -> None:
        """Answer what is asked now, and what waited for a key that is known by now."""
        for _ in range(_MOST_PER_TURN):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._waiting.append(_read(frames, now + _PATIENCE_S))
        waiting: deque[_Question] = deque()
        for question in self._waiting:
            block = self._block_of(question.key) if question.key else None
            is_hopeless = not question.key or now >= question.deadline or len(waiting) >= _MOST_WAITING
            if block is not None or is_hopeless:
                self._answer(question, block)
            else:
                waiting.append(question)
        self._waiting = waiting

    def _answer(self, question: _Question, block: str | None) -> None:
        if block is None:
            self.refused += 1
            answer = [b"400", b"this key is not admitted", b"", b""]
        else:
            answer = [b"200", b"", block.encode(), b""]
        self.socket.send_multipart([*question.envelope, _VERSION, question.number, *answer])

    def close(self) -> None:
        """From now on nobody gets in."""
        self.socket.close()


def _read(frames: list[bytes], deadline: float) -> _Question:
    envelope, request = frames[:_ENVELOPE], frames[_ENVELOPE:]
    number = request[1] if len(request) > 1 else b""
    if len(request) != _FIELDS:
        return _Question(envelope, number, b"", deadline)
    version, _, domain, _, _, mechanism, key = request
    is_right = (version, domain, mechanism) == (_VERSION, DOMAIN, b"CURVE")
    return _Question(envelope, number, key if is_right else b"", deadline)
