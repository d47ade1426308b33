"""A pickle and the buffers that it refers to, one behind the other, so that large arrays are seldom copied.

Layout: a mark, the number of buffers (4 bytes), the lengths of the pickle and of each buffer (8 bytes
each), the pickle, the buffers, each of which starts at a multiple of 64 bytes. A pickle without buffers
stands alone.
"""

from __future__ import annotations

import contextlib
import mmap
import pickle
from collections.abc import Sequence
from typing import Any

from fanflow.codec.pickling import dumps

Pieces = Sequence[bytes | memoryview]

_MARK = b"B"  # no pickle starts with it, and no packed error
_MARK_CODE = _MARK[0]
_COUNT = 4
_LENGTH = 8
_ALIGNMENT = 64
_WHOLE_BYTES = 1 << 16
"""What is shorter is put together at once."""

_HUGE_BYTES = 1 << 22
"""From here on memory is asked for in huge pages: the page faults of 100 MB take 40 ms otherwise."""


def pack_value(value: Any) -> bytes | Pieces:
    """Pickle a value. Large buffers in it, such as those of arrays, are handed out as they are.

    Raises:
        Exception: Whatever the pickler or the value's own methods raise.
    """
    found: list[pickle.PickleBuffer] = []
    data = dumps(value, found)
    if not found:
        return data
    buffers = [buffer.raw() for buffer in found]
    lengths = [len(data), *(buffer.nbytes for buffer in buffers)]
    head = _MARK + len(buffers).to_bytes(_COUNT, "big")
    head += b"".join(length.to_bytes(_LENGTH, "big") for length in lengths)
    pieces: list[bytes | memoryview] = [head, data]
    end = len(head) + len(data)
    for buffer in buffers:
        pieces += (bytes(-end % _ALIGNMENT), buffer)
        end += -end % _ALIGNMENT + buffer.nbytes
    return b"".join(pieces) if end <= _WHOLE_BYTES else pieces


def unpack_value(data: bytes | bytearray | memoryview) -> Any:
    """The value that `pack_value` was given. Its buffers stay in `data`, unless that can only be read.

    Raises:
        Exception: Whatever unpickling raises; ValueError if the layout makes no sense.
    """
    if data[0] != _MARK_CODE:
        return pickle.loads(data)
    view = memoryview(data)
    if view.readonly:
        view = memoryview(bytearray(view))  # an array that could be written where it came from can be here
    lengths_at = 1 + _COUNT
    count = int.from_bytes(view[1:lengths_at], "big")
    start = lengths_at + (count + 1) * _LENGTH
    if start > len(view):
        raise ValueError(f"{count} buffers in {len(view)} bytes")
    lengths = [
        int.from_bytes(view[place : place + _LENGTH], "big") for place in range(lengths_at, start, _LENGTH)
    ]
    parts: list[memoryview] = []
    for length in lengths:
        if parts:
            start += -start % _ALIGNMENT
        parts.append(view[start : start + length])
        start += length
    if start != len(view):
        raise ValueError(f"{count} buffers that end at {start} in {len(view)} bytes")
    return pickle.loads(parts[0], buffers=parts[1:])


def pickle_in(pieces: Pieces) -> bytes | memoryview:
    """What `pack_value` pickled, without the buffers."""
    return pieces[1]


def unpack_pieces(pieces: Pieces) -> Any:
    """The value that `pack_value` made pieces of, on top of the buffers themselves, which it cannot write."""
    return pickle.loads(pieces[1], buffers=[memoryview(piece).toreadonly() for piece in pieces[3::2]])


def size_of(pieces: Pieces) -> int:
    """Bytes of all pieces together."""
    return sum(len(piece) for piece in pieces)


def whole(pieces: Pieces) -> bytes | memoryview:
    """The pieces, one behind the other; if there are several, a copy that can be written."""
    if len(pieces) == 1:
        return pieces[0]
    room = make_room(size_of(pieces))
    start = 0
    for piece in pieces:
        room[start : start + len(piece)] = piece
        start += len(piece)
    return room


def make_room(size: int) -> memoryview:
    """So many zeros."""
    if size < _HUGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return memoryview(bytearray(size))
    room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # this kernel has none
        room.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(room)
