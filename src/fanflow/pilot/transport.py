"""The ways between managers and the interchange, as the client prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fanflow.pilot.access import Access, Listener


class Transport(Protocol):
    """One engine's way for its managers. Kernel thread only, but for `open` and `close`."""

    def open(self, directory: str) -> None:
        """Begin to listen, for as long as the engine lives.

        Args:
            directory: Of the engine's sockets; only this user can enter it.

        Raises:
            ConfigurationError: It cannot listen as it was told to.
        """
        ...

    def listener(self) -> Listener:
        """For a new interchange."""
        ...

    @property
    def descriptors(self) -> Sequence[int]:
        """Listening sockets that every interchange is given; they stay open here."""
        ...

    def admit(self, block: str) -> tuple[Access, str]:
        """Let the managers of a block in: what they need for it, and their public key ("" if none)."""
        ...

    def revoke(self, block: str) -> None:
        """Forget a block that has ended. An unknown one is no error."""
        ...

    def close(self) -> None:
        """Listen no more, and remove what is secret. Idempotent."""
        ...


class UnixTransport:
    """A Unix socket, for managers on this host; the mode of its directory is the access control."""

    descriptors: Sequence[int] = ()

    def open(self, directory: str) -> None:
        self._url = f"ipc://{directory}/m"

    def listener(self) -> Listener:
        return Listener(urls=[self._url])

    def admit(self, block: str) -> tuple[Access, str]:
        return Access(addresses=[self._url]), ""

    def revoke(self, block: str) -> None:
        pass

    def close(self) -> None:
        pass
