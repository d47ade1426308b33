"""What a manager and its workers say to each other over two socket pairs and a shared page.

Tasks go to a worker in packets over a `SOCK_SEQPACKET` pair whose worker's end the manager keeps a copy
of: it can take back what the worker has not received. Everything else travels in records over a
`SOCK_STREAM` pair. A worker collects the results of short tasks for up to a millisecond before it sends
them; meanwhile they also lie in the page, where the manager finds them if the next task takes long or
kills the worker. A result may therefore reach the manager twice.
"""

from __future__ import annotations

import contextlib
import marshal
import mmap
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

RESULT: Final = 1
"""Worker: an outcome; the value is the microseconds that it ran."""
READY: Final = 2
"""Worker: it can take tasks."""
PRINTED: Final = 3
"""Worker: text that a task wrote; the value is 1 for standard error."""
WANTS_FUNCTION: Final = 4
"""Worker: it lacks the function whose number is in place of the attempt."""
WANTS_PAYLOAD: Final = 5
"""Worker: it is about to start an attempt with a large payload."""
FUNCTION: Final = 6
"""Manager: the body of a function."""
PAYLOAD: Final = 7
"""Manager: the payload of an attempt."""

HEADER: Final = struct.Struct("<BQQQ")
"""Kind, attempt, value, bytes that follow."""

PACKET_PAYLOAD: Final = 1 << 15
"""Bytes; a longer payload is not in the packet, the worker asks for it."""

PACKET_BYTES: Final = 3 << 15
"""Bytes of the payloads and environments in one packet, at most. It fits into a socket's buffer."""

LARGE_RESULT: Final = 1 << 16
"""Bytes; a longer result is passed on in pieces, while it arrives."""

_PAGE_BYTES: Final = 1 << 16
_PAGE_HEAD: Final = struct.Struct("<QQ")
_PAGE_USED: Final = struct.Struct("<Q")

TaskRecord = tuple[int, int, bytes | None, dict[str, str] | None]
"""Attempt, function, payload (None: ask for it), environment."""


class LinkError(Exception):
    """What came over the link makes no sense: some task's code has written into it."""


def pack_tasks(tasks: Sequence[TaskRecord]) -> bytes:
    """One packet. marshal is fast and safe here: both ends are one program, and tasks cannot write packets."""
    return marshal.dumps(tasks, 4)


def unpack_tasks(packet: bytes) -> list[TaskRecord]:
    """What `pack_tasks` was given."""
    return cast("list[TaskRecord]", marshal.loads(packet))


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


class Record(NamedTuple):
    """What a worker says beside results."""

    kind: int
    attempt: int
    value: int
    data: bytes


class Piece(NamedTuple):
    """A piece of a large result."""

    attempt: int
    offset: int
    data: memoryview


Result = tuple[int, int, bytes, int]
"""Attempt, microseconds that it ran, outcome, bytes of the outcome: of a large one the pieces came before."""


class RecordReader:
    """Takes a worker's stream apart. Pure; the caller empties the lists.

    Args:
        piece_bytes: Size of the pieces of large results.
    """

    def __init__(self, piece_bytes: int) -> None:
        self.results: list[Result] = []
        self.pieces: list[Piece] = []
        self.others: list[Record] = []
        self._piece_bytes = piece_bytes
        self._rest = b""
        self._large: tuple[int, int, int] | None = None
        """Attempt, value and size of the large result that is arriving."""
        self._piece = bytearray()
        self._filled = 0
        self._offset = 0

    @property
    def is_amid_large(self) -> bool:
        """Whether the next bytes go into `awaited`."""
        return self._large is not None

    @property
    def awaited(self) -> memoryview:
        """Where the next bytes of a large result go."""
        return memoryview(self._piece)[self._filled :]

    def filled(self, count: int) -> None:
        """So many bytes have been put into `awaited`."""
        self._filled += count
        if self._large is None or self._filled < len(self._piece):
            return
        attempt, value, size = self._large
        self.pieces.append(Piece(attempt, self._offset, memoryview(self._piece).toreadonly()))
        self._offset += self._filled
        if self._offset == size:
            self._large, self._piece, self._filled = None, bytearray(), 0
            self.results.append((attempt, value, b"", size))
        else:
            self._next_piece(size)

    def _next_piece(self, size: int) -> None:
        self._piece = bytearray(min(self._piece_bytes, size - self._offset))
        self._filled = 0

    def feed(self, data: bytes) -> None:
        """Bytes that came while no large result was arriving.

        Raises:
            LinkError: They are no records.
        """
        if self._rest:
            data = self._rest + data
        position, end, head = 0, len(data), HEADER.size
        unpack, results = HEADER.unpack_from, self.results
        while end - position >= head:
            kind, attempt, value, size = unpack(data, position)
            start = position + head
            stop = start + size
            if kind == RESULT and stop <= end:
                results.append((attempt, value, data[start:stop], size))
            elif kind == RESULT and size > LARGE_RESULT:
                self._rest = b""
                self._begin_large((attempt, value, size), memoryview(data)[start:])
                return
            elif not RESULT <= kind <= WANTS_PAYLOAD or size > LARGE_RESULT:
                raise LinkError(f"a record of kind {kind} with {size} bytes")
            elif stop <= end:
                self.others.append(Record(kind, attempt, value, data[start:stop]))
            else:
                break
            position = stop
        self._rest = data[position:]

    def _begin_large(self, large: tuple[int, int, int], data: memoryview) -> None:
        self._large, self._offset = large, 0
        self._next_piece(large[2])
        while data:  # less than the whole
            room = self.awaited[: len(data)]
            count = len(room)
            room[:] = data[:count]
            data = data[count:]
            self.filled(count)


def read_results(data: bytes) -> list[Result]:
    """The results at the beginning of `data`; what follows the last whole one is passed over."""
    reader = RecordReader(1)
    if data:
        with contextlib.suppress(LinkError):
            reader.feed(data)
    return reader.results


def receive_exactly(stream: socket.socket, size: int) -> bytearray:
    """So many bytes of a blocking stream.

    Raises:
        EOFError: The other end has been closed.
    """
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = stream.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data
