"""Batches of messages in and out of zmq sockets, without blocking and without needless copies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import zmq

COPY_LIMIT = 1 << 16
"""Bytes; longer frames are handed over, not copied."""

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
    return [socket.recv(zmq.NOBLOCK), *receive_rest(socket)]


def receive_rest(socket: zmq.Socket[bytes]) -> list[bytes | memoryview]:
    """What follows a first frame that has been received."""
    frames: list[bytes | memoryview] = []
    while socket.rcvmore:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        frames.append(frame.bytes if len(frame) <= COPY_LIMIT else frame.buffer)
    return frames


def receive_all(socket: zmq.Socket[bytes], most: int) -> Iterator[list[bytes | memoryview]]:
    """The messages that are there, so many at most."""
    with contextlib.suppress(zmq.Again):
        for _ in range(most):
            yield receive(socket)


def send(socket: zmq.Socket[bytes], frames: Frames) -> None:
    """One message, queued by zmq; long frames are not copied."""
    is_short = all(len(frame) <= COPY_LIMIT for frame in frames)
    socket.send_multipart(frames, zmq.NOBLOCK, copy=is_short)
