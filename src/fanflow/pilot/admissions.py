"""Who may connect to an interchange, and for which block each connection speaks. Pure."""

from __future__ import annotations

from collections.abc import Mapping


class Admissions:
    """Keys of blocks, as the client says.

    Args:
        admitted: Block -> its public key; None: the transport lets in nobody but this user, without keys.
    """

    def __init__(self, admitted: Mapping[str, bytes] | None = None) -> None:
        self._has_keys = admitted is not None
        self._keys = dict(admitted or {})
        self._blocks = {key: block for block, key in self._keys.items()}
        self._revoked: set[str] = set()
        self._speaks_for: dict[bytes, str] = {}
        """Connection -> the block whose key it has shown."""
        self.is_open = False
        """The client has said whom to let in."""
        self.refused = 0
        """Peers and managers that were turned away."""
        self.strangers = 0
        """Connections that have not said who they are, open or closed."""

    def counters(self) -> dict[str, object]:
        """How many were not let in."""
        return {"refused": self.refused, "strangers": self.strangers}

    def open(self, admitted: Mapping[str, bytes]) -> None:
        """The client says for the first time who may connect: block -> its key."""
        self.is_open = True
        for block, key in admitted.items():
            self.admit(block, key)

    def admit(self, block: str, key: bytes) -> None:
        """Let a block in; a key that it had before is void."""
        self._blocks.pop(self._keys.get(block, b""), None)
        self._revoked.discard(block)
        self._keys[block] = key
        self._blocks[key] = block

    def revoke(self, block: str) -> None:
        """A block has ended."""
        self._blocks.pop(self._keys.pop(block, b""), None)
        self._revoked.add(block)

    def block_of(self, key: bytes) -> str | None:
        """Whose key this is; None: nobody's that may come in."""
        return self._blocks.get(key)

    def connected(self, connection: bytes, block: str) -> None:
        """A connection has shown this block's key."""
        self._speaks_for[connection] = block

    def ended(self, connection: bytes) -> None:
        """A connection is gone."""
        self._speaks_for.pop(connection, None)

    def why_not(self, connection: bytes, block: str) -> str:
        """Why this connection cannot register for this block; empty if it can."""
        if block in self._revoked:
            return f"block {block} has ended"
        if not self._has_keys:
            return ""
        shown = self._speaks_for.get(connection)
        if shown is None:
            return "it has shown no key"
        if shown != block:
            return f"it has the key of block {shown}, and claims to belong to block {block}"
        return "" if block in self._keys else f"block {block} has ended"
