"""The ways between managers and the interchange, as the client prepares them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from fanflow.pilot import addresses, keys
from fanflow.pilot.access import Access, Listener
from fanflow.pilot.sockets import url_of


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

    @property
    def admitted(self) -> Mapping[str, bytes]:
        """Block -> its public key, for every interchange."""
        ...

    def admit(self, block: str) -> tuple[Access, bytes]:
        """Let the managers of a block in: what they need for it, and their public key (empty: none)."""
        ...

    def revoke(self, block: str) -> None:
        """Forget a block that has ended. An unknown one is no error."""
        ...

    def close(self) -> None:
        """Listen no more, and remove what is secret. Idempotent."""
        ...


class UnixTransport:
    """A Unix socket, for managers on this host; the mode of its directory is the access control.

    Args:
        probe_timeout_s: For a manager to find that the interchange answers.
    """

    descriptors: Sequence[int] = ()
    admitted: Mapping[str, bytes] = MappingProxyType({})

    def __init__(self, probe_timeout_s: float = 30.0) -> None:
        self._probe_timeout_s = probe_timeout_s

    def open(self, directory: str) -> None:
        self._url = f"ipc://{directory}/m"

    def listener(self) -> Listener:
        return Listener(urls=[self._url])

    def admit(self, block: str) -> tuple[Access, bytes]:
        return Access(addresses=[self._url], probe_timeout_s=self._probe_timeout_s), b""

    def revoke(self, block: str) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpSettings:
    """How managers reach the interchange over the network."""

    key_directory: str
    """For the blocks' keys, where they can read it; it is made, and must not be open to other users."""
    is_local: bool
    """Whether all managers run on this host."""
    address: str | None = None
    """Of this host, as a number or a name; None: every address that other hosts may reach."""
    loopback_address: str = "127.0.0.1"
    """Used where managers are local."""
    worker_port: int | None = None
    """None: one of the range."""
    worker_port_range: tuple[int, int] = (54_000, 55_000)
    """The first, and the one after the last."""
    probe_timeout_s: float = 30.0
    """For a manager to find an address that answers."""


class TcpTransport:
    """Encrypted connections, for which each block has a key of its own.

    The port is held here, so that it stays ours while one interchange takes over from another. The
    server's secret goes to the interchange alone, and to no disk.

    Args:
        settings: Addresses, port and place of the keys.
    """

    def __init__(self, settings: TcpSettings) -> None:
        self._settings = settings
        self._server = keys.make_pair()
        self._listening: list[socket.socket] = []
        self._admitted: dict[str, bytes] = {}
        self._files: dict[str, str] = {}
        self._urls: list[str] = []
        self.addresses: list[str] = []
        """Where managers look for the interchange."""

    def open(self, directory: str) -> None:
        settings = self._settings
        keys.require_curve()
        found = addresses.places(
            settings.address, is_local=settings.is_local, loopback=settings.loopback_address
        )
        keys.make_key_directory(settings.key_directory)
        self._listening = addresses.listen(found.bound, settings.worker_port, settings.worker_port_range)
        port: int = self._listening[0].getsockname()[1]
        self._urls = [url_of(host, port) for host in found.bound]
        self.addresses = [url_of(host, port) for host in found.published]

    def listener(self) -> Listener:
        return Listener(urls=self._urls, secret_key=self._server.secret)

    @property
    def admitted(self) -> Mapping[str, bytes]:
        return self._admitted

    @property
    def descriptors(self) -> Sequence[int]:
        return [listening.fileno() for listening in self._listening]

    def admit(self, block: str) -> tuple[Access, bytes]:
        self.revoke(block)
        pair = keys.make_pair()
        path = keys.write_pair(self._settings.key_directory, f"block_{block}", pair)
        self._files[block] = path
        self._admitted[block] = keys.raw(pair.public)
        access = Access(
            addresses=self.addresses,
            server_key=self._server.public,
            key_file=path,
            probe_timeout_s=self._settings.probe_timeout_s,
        )
        return access, self._admitted[block]

    def revoke(self, block: str) -> None:
        self._admitted.pop(block, None)
        path = self._files.pop(block, None)
        if path is not None:
            with contextlib.suppress(OSError):  # a directory that is gone holds no secret
                os.unlink(path)

    def close(self) -> None:
        for block in list(self._files):
            self.revoke(block)
        with contextlib.suppress(OSError):
            os.rmdir(self._settings.key_directory)
        for listening in self._listening:
            listening.close()
