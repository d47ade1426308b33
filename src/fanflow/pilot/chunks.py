"""Puts large payloads together from pieces that come in order. Pure."""

from __future__ import annotations

from fanflow.pilot.wire import CHUNK_BYTES


class AssemblyError(ValueError):
    """A piece does not fit: it is out of order, too long, or something is missing."""


class Assembly:
    """Payloads that are arriving, by attempt. Pieces are kept as they are, without copying."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[bytes | memoryview]] = {}
        self._bytes: dict[int, int] = {}

    def add(self, attempt: int, offset: int, piece: bytes | memoryview) -> None:
        """The next piece of an attempt's payload.

        Raises:
            AssemblyError: It does not follow the one before.
        """
        so_far = self._bytes.get(attempt, 0)
        if offset == 0:  # sent again, from the beginning
            self.drop(attempt)
            so_far = 0
        if offset != so_far or not 0 < len(piece) <= CHUNK_BYTES:
            self.drop(attempt)
            raise AssemblyError(f"a piece of {len(piece)} bytes at {offset}, after {so_far} bytes")
        self._pieces.setdefault(attempt, []).append(piece)
        self._bytes[attempt] = so_far + len(piece)

    def finish(self, attempt: int, size: int) -> list[bytes | memoryview]:
        """All pieces of a payload that is complete; they are forgotten here.

        Raises:
            AssemblyError: They do not make up `size` bytes.
        """
        so_far = self._bytes.get(attempt, 0)
        pieces = self._pieces.get(attempt, [])
        self.drop(attempt)
        if so_far != size:
            raise AssemblyError(f"attempt {attempt} has {so_far} of {size} bytes")
        return pieces

    def drop(self, attempt: int) -> None:
        """Forget what has come of a payload."""
        self._pieces.pop(attempt, None)
        self._bytes.pop(attempt, None)
