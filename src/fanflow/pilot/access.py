"""What the two sides of the way between managers and the interchange are started with."""

from __future__ import annotations

import msgspec


class Access(msgspec.Struct, kw_only=True):
    """How the managers of one block reach the interchange. Holds no secret, only where one is."""

    addresses: list[str]
    """Where it may be reached, such as `tcp://192.0.2.7:54321`; the manager tries all at once."""
    server_key: str = ""
    """The interchange's public key; empty: a Unix socket, which needs none."""
    key_file: str = ""
    """The block's own pair of keys."""
    probe_timeout_s: float = 30.0
    """For one of the addresses to answer, when the manager begins."""


class Listener(msgspec.Struct, kw_only=True):
    """Where an interchange listens for managers, and whom it lets in."""

    urls: list[str]
    """With keys each belongs to a listening descriptor that the interchange is given, in this order."""
    secret_key: str = ""
    """Empty: a Unix socket in a directory that only this user can enter."""
