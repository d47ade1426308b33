"""Which addresses of this host workers may connect to; found without asking the network.

Only a name that the user gives is looked up.
"""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fanflow.errors import ConfigurationError

_LAST_PORT: Final = 65535
_MOST_TRIES: Final = 100
_BACKLOG: Final = 4096
"""Connections that wait while one interchange takes over from another; the system may allow fewer."""

PortRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """Where an interchange listens, and where managers look for it."""

    bound: Sequence[str]
    """Addresses of this host, as numbers."""
    published: Sequence[str]
    """Addresses and names that managers try."""


def places(address: str | None, *, is_local: bool, loopback: str) -> Places:
    """Where to listen for managers.

    Args:
        address: What the user says; None: find out.
        is_local: Whether all managers run on this host.
        loopback: The address for these.

    Raises:
        ConfigurationError: The address is wrong; the message says why and names those of this host.
    """
    if address is not None:
        return _given(address, is_local=is_local)
    if is_local:
        if not is_number(loopback) or not ipaddress.ip_address(loopback).is_loopback:
            raise ConfigurationError(
                f"loopback_address={loopback!r} is no loopback address: give '127.0.0.1' or '::1'"
            )
        return Places([loopback], [loopback])
    found = own_addresses()
    if not found:
        raise ConfigurationError(
            "this host has no address that another host can reach, only loopback: "
            "give address= if workers reach it all the same"
        )
    name = socket.gethostname()
    return Places(found, [*found, name] if name and not is_number(name) else found)


def own_addresses() -> list[str]:
    """Addresses of this host that other hosts may reach, IPv4 first."""
    import psutil  # programs that stay on one host never pay for it

    states = psutil.net_if_stats()
    found = [
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family in {socket.AF_INET, socket.AF_INET6} and (name not in states or states[name].isup)
    ]
    reachable = [text for text in found if _is_reachable(text)]
    return sorted(dict.fromkeys(reachable), key=lambda text: ":" in text)


def _is_reachable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (
        address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    )


def is_number(text: str) -> bool:
    """Whether this is an address as such, not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _given(address: str, *, is_local: bool) -> Places:
    if is_number(address):
        if not ipaddress.ip_address(address).is_unspecified:
            return Places([address], [address])
        family = ":" in address
        same = [text for text in own_addresses() if (":" in text) is family]
        return Places([address], same or ["::1" if family else "127.0.0.1"])
    try:
        resolved = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name"
        raise ConfigurationError(f"address={address!r} is not known here ({reason}): {_instead()}") from error
    numbers = list(dict.fromkeys(str(entry[4][0]) for entry in resolved))
    is_loopback = all(ipaddress.ip_address(number).is_loopback for number in numbers)
    if is_loopback and not is_local and address != "localhost":
        raise ConfigurationError(
            f"address={address!r} means {', '.join(numbers)} on this host, "
            f"which no other host can reach: {_instead()}"
        )
    return Places(numbers, numbers if is_loopback else [*numbers, address])


def _instead() -> str:
    own = own_addresses()
    return f"give one of {', '.join(own)}" if own else "this host has loopback addresses only"


def listen(bound: Sequence[str], port: int | None, ports: PortRange) -> list[socket.socket]:
    """Listening sockets on all these addresses, with one port.

    Args:
        bound: Addresses of this host.
        port: The one to use; None: one of `ports`, at random.
        ports: First, and the one after the last.

    Raises:
        ConfigurationError: An address is not of this host, or no port is free.
    """
    low, high = ports
    if port is not None:
        if not 1 <= port <= _LAST_PORT:
            raise ConfigurationError(f"worker_port={port} is no port: they are 1 to {_LAST_PORT}")
        found = _try(bound, port)
        if isinstance(found, str):
            raise ConfigurationError(
                f"worker_port={port} is taken on {found}: choose another port, or leave the choice to us"
            )
        return found
    if not 1 <= low < high <= _LAST_PORT + 1:
        raise ConfigurationError(
            f"worker_port_range={ports} is no range of ports: give the first and the one after the last, "
            f"within 1 and {_LAST_PORT}"
        )
    tries = min(_MOST_TRIES, high - low)
    for candidate in random.sample(range(low, high), tries):
        found = _try(bound, candidate)
        if not isinstance(found, str):
            return found
    raise ConfigurationError(
        f"worker_port_range={ports}: none of {tries} ports that were tried is free on {', '.join(bound)}: "
        f"give a wider range"
    )


def _try(bound: Sequence[str], port: int) -> list[socket.socket] | str:
    """The sockets, or the address on which the port is taken."""
    opened: list[socket.socket] = []
    for address in bound:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            for other in opened:
                other.close()
            if error.errno == errno.EADDRINUSE:
                return address
            raise ConfigurationError(_why_not(address, port, error)) from error
        listening.setblocking(False)
        opened.append(listening)
    return opened


def _why_not(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"address {address} is not one of this host's: {_instead()}"
    if isinstance(error, PermissionError):
        return f"worker_port={port}: this user may not listen there; ports from 1024 on are for everybody"
    return f"it is not possible to listen on {address}, port {port}: {error}"
