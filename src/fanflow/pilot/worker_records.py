"""Packets of tasks and records of results between a manager and its workers, as bytes. Pure."""

from __future__ import annotations

import contextlib
import marshal
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
UNFIT: Final = 6
"""Worker: why it cannot even begin, as text."""
RETIRES: Final = 7
"""Worker: it ends; what it holds has not started."""
FUNCTION: Final = 8
"""Manager: the body of a function."""
PAYLOAD: Final = 9
"""Manager: the payload of an attempt."""

CUT_OFF_STATUS: Final = 233
"""Exit status of a worker whose connection some task has closed."""

HEADER: Final = struct.Struct("<BQQQ")
"""Kind, attempt, value, bytes that follow."""

PACKET_PAYLOAD: Final = 1 << 15
"""Bytes; a longer payload is not in the packet, the worker asks for it."""

PACKET_BYTES: Final = 3 << 15
"""Bytes of the payloads and environments in one packet, at most. It fits into a socket's buffer."""

LARGE_RESULT: Final = 1 << 16
"""Bytes; a longer result is passed on in pieces, while it arrives."""

TaskRecord = tuple[int, int, bytes | None, dict[str, str] | None]
"""Attempt, function, payload (None: ask for it), environment."""


class LinkError(Exception):
    """What came over the link makes no sense: some task's code has written into it."""


def pack_tasks(tasks: Sequence[TaskRecord]) -> bytes:
    """One packet. marshal is fast, and safe here: only a manager writes packets, for its own program."""
    return marshal.dumps(list(tasks), 4)


def unpack_tasks(packet: bytes) -> list[TaskRecord]:
    """What `pack_tasks` was given."""
    return cast("list[TaskRecord]", marshal.loads(packet))


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
            if kind == RESULT and size > LARGE_RESULT:
                self._begin_large((attempt, value, size), memoryview(data)[start:stop])
                if stop > end:
                    self._rest = b""
                    return
            elif kind == RESULT and stop <= end:
                results.append((attempt, value, data[start:stop], size))
            elif not RESULT <= kind <= RETIRES or size > LARGE_RESULT:
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
        while data:
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
