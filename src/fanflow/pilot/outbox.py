"""Messages of one batch that an interchange is to send. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fanflow.pilot import wire
from fanflow.pilot.backlog import Parcel

Frames = Sequence[bytes | memoryview]


class ResultChunk(list[bytes | memoryview]):
    """Frames of a piece of a large result. Its manager is told when they are on their way to the client."""

    __slots__ = ("origin",)

    origin: bytes
    """Identity of the manager's connection."""

    @classmethod
    def of(cls, origin: bytes, frames: Frames) -> ResultChunk:
        """A piece that came from there."""
        chunk = cls(frames)
        chunk.origin = origin
        return chunk


class Outbox:
    """In order for each receiver; headers are encoded when they are put in."""

    __slots__ = ("ends", "to_client", "to_manager")

    def __init__(self) -> None:
        self.to_client: list[Frames] = []
        self.to_manager: list[tuple[bytes, Frames]] = []
        """Identity of the connection, frames."""
        self.ends = False
        """The client said goodbye: send what is there, then exit."""

    def send(self, identity: bytes, header: wire.Message, *frames: bytes | memoryview) -> None:
        """For a manager."""
        self.to_manager.append((identity, (wire.encode(header), *frames)))

    def send_parcel(self, identity: bytes, parcel: Parcel) -> None:
        """Attempts for a manager, which has their functions."""
        for attempt, pieces in parcel.large:
            offset = 0
            for piece in pieces:
                self.send(identity, wire.Chunk(attempt, offset), piece)
                offset += len(piece)
        self.send(identity, wire.Tasks(parcel.items), parcel.blob())

    def tell(self, header: wire.Message, *frames: bytes | memoryview) -> None:
        """For the client."""
        self.to_client.append((wire.encode(header), *frames))
