"""What a manager and its workers say to each other over two socket pairs and a shared page.

Tasks go to a worker in packets over a `SOCK_SEQPACKET` pair whose worker's end the manager keeps a copy
of: it can take back what the worker has not received. Everything else travels in records over a
`SOCK_STREAM` pair. A worker collects the results of short tasks for up to a millisecond before it sends
them; meanwhile they also lie in the page, where the manager finds them if the next task takes long or
kills the worker. A result may therefore reach the manager twice.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from typing import Final, NamedTuple

from fanflow.codec.buffers import make_room

_PAGE_BYTES: Final = 1 << 16
_PAGE_HEAD: Final = struct.Struct("<QQ")
_PAGE_USED: Final = struct.Struct("<Q")


class WorkerEnds(NamedTuple):
    """Descriptors that a worker is born with."""

    packets: int
    stream: int
    page: int


class Page:
    """Shared memory with the records of results that the worker has not sent yet.

    The worker alone writes. The page is read while it may be written: the counter of sendings is
    compared, and a record counts only if it names the attempt that is due.

    Args:
        descriptor: Of the memory.
    """

    __slots__ = ("_map", "_sendings", "_used")

    START: Final = _PAGE_HEAD.size
    ROOM: Final = _PAGE_BYTES - _PAGE_HEAD.size

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _PAGE_BYTES)
        self._used = 0
        self._sendings = 0

    @staticmethod
    def create() -> int:
        """A descriptor of fresh shared memory."""
        descriptor = os.memfd_create("fanflow-results")
        os.truncate(descriptor, _PAGE_BYTES)
        return descriptor

    def append(self, record: bytes) -> None:
        """Keep a record; the caller has made sure that it fits."""
        start = self.START + self._used
        self._used += len(record)
        self._map[start : start + len(record)] = record
        _PAGE_USED.pack_into(self._map, 8, self._used)

    def clear(self) -> None:
        """What was kept has been sent."""
        self._used = 0
        self._sendings += 1
        _PAGE_HEAD.pack_into(self._map, 0, self._sendings, 0)

    def peek(self) -> bytes:
        """The records that have been kept since the last sending."""
        head = self._map[: self.START]
        _, used = _PAGE_HEAD.unpack(head)
        if not 0 < used <= self.ROOM:
            return b""
        records = self._map[self.START : self.START + used]
        return records if self._map[: self.START] == head else b""

    def close(self) -> None:
        """Forget the memory; writing to it raises ValueError from now on."""
        self._map.close()


def receive_exactly(stream: socket.socket, size: int) -> memoryview:
    """So many bytes of a blocking stream.

    Raises:
        EOFError: The other end has been closed.
    """
    data = view = make_room(size)
    while view:
        count = stream.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data
