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
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_HANDSHAKE_MS = 10_000
"""For a peer to say who it is; it needs milliseconds."""

_PING_MS = 10_000
_SILENCE_MS = 30_000

Frames = Sequence[bytes | memoryview]


def set_limits(socket: zmq.Socket[bytes], max_bytes: int) -> None:
    """What every socket of the engine has: no high-water marks of its own, and no endless messages."""
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 0)
    socket.set(zmq.MAXMSGSIZE, max_bytes)


def monitor_of(
    context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], events: int
) -> zmq.Socket[bytes]:
    """Tells of this socket's connections. It never makes zmq wait, however many strangers knock."""
    name = f"inproc://monitor-{id(socket)}"
    monitor = context.socket(zmq.PAIR)
    monitor.set(zmq.LINGER, 0)
    monitor.set(zmq.RCVHWM, 0)
    socket.monitor(name, events)
    monitor.connect(name)
    return monitor


def url_of(host: str, port: int) -> str:
    """Where to connect to a host, given by name or by number."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def host_and_port(url: str) -> tuple[str, int]:
    """The reverse of `url_of`."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)


def set_network_limits(socket: zmq.Socket[bytes], is_ipv6: bool) -> None:
    """What sockets that leave the host have on top: peers that stall or vanish are cut off."""
    socket.set(zmq.IPV6, int(is_ipv6))
    socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    socket.set(zmq.HEARTBEAT_IVL, _PING_MS)
    socket.set(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
    socket.set(zmq.HEARTBEAT_TTL, _SILENCE_MS)
    socket.set(zmq.TCP_KEEPALIVE, 1)
    socket.set(zmq.TCP_KEEPALIVE_IDLE, _PING_MS // 1000)
    socket.set(zmq.TCP_KEEPALIVE_INTVL, _PING_MS // 1000)
    socket.set(zmq.TCP_KEEPALIVE_CNT, _SILENCE_MS // _PING_MS)


def receive(socket: zmq.Socket[bytes]) -> list[bytes | memoryview]:
    """One message that is there; long frames are views of what zmq holds.

    Raises:
        zmq.Again: There is none.
    """
    first = socket.recv(_NOBLOCK, copy=False)
    return [first.bytes, *receive_rest(socket, first)]


def receive_rest(socket: zmq.Socket[bytes], first: zmq.Frame) -> list[bytes | memoryview]:
    """What follows a first frame that has been received."""
    frames: list[bytes | memoryview] = []
    frame = first
    while frame.more:
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
