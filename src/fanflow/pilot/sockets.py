"""Batches of messages in and out of zmq sockets, without blocking and without needless copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import zmq

COPY_LIMIT = 1 << 16
"""Bytes; longer frames are handed over, not copied."""

# Plain numbers: zmq's own enumerations, and attributes such as `rcvmore`, take microseconds each.
_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_RCVMORE: Final = int(zmq.RCVMORE)
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)

Frames = Sequence[bytes | memoryview]


def set_limits(socket: zmq.Socket[bytes], max_bytes: int) -> None:
    """What every socket of the engine has: no high-water marks of its own, and no endless messages."""
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 0)
    socket.set(zmq.MAXMSGSIZE, max_bytes)


def receive(socket: zmq.Socket[bytes]) -> list[bytes | memoryview]:
    """One message that is there; long frames are views of what zmq holds.

    Raises:
        zmq.Again: There is none.
    """
    return [socket.recv(_NOBLOCK), *receive_rest(socket)]


def receive_rest(socket: zmq.Socket[bytes]) -> list[bytes | memoryview]:
    """What follows a first frame that has been received."""
    frames: list[bytes | memoryview] = []
    while socket.getsockopt(_RCVMORE):
        frame = socket.recv(_NOBLOCK, copy=False)
        frames.append(frame.bytes if len(frame) <= COPY_LIMIT else frame.buffer)
    return frames


def has_message(socket: zmq.Socket[bytes]) -> bool:
    """Whether one can be received."""
    return bool(int(socket.getsockopt(_EVENTS)) & _POLLIN)


def receive_all(socket: zmq.Socket[bytes], most: int) -> Iterator[list[bytes | memoryview]]:
    """The messages that are there, so many at most."""
    while most and has_message(socket):
        most -= 1
        yield receive(socket)


def send(socket: zmq.Socket[bytes], frames: Frames) -> None:
    """One message, queued by zmq; long frames are not copied.

    Raises:
        zmq.Again: It would have to wait; nothing of it has been sent.
    """
    *others, last = frames
    for frame in others:
        socket.send(frame, _SNDMORE, copy=len(frame) <= COPY_LIMIT)
    socket.send(last, _NOBLOCK, copy=len(last) <= COPY_LIMIT)
