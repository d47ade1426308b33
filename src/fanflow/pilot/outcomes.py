"""Outcomes that pass an interchange: their sizes, and those of a message that may go on. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set

from fanflow.pilot import wire


def check_sizes(items: Sequence[wire.ResultItem], blob: bytes | memoryview) -> None:
    """Refuse payloads that the client could not take apart.

    Raises:
        ValueError: The frame is not exactly as long as the items say.
    """
    small = [item.size for item in items if item.size <= wire.INLINE_LIMIT]
    if sum(small) != len(blob) or (small and min(small) < 0):
        raise ValueError("payloads do not fit their items")


def pick(
    items: Sequence[wire.ResultItem], blob: bytes | memoryview, attempts: Set[int]
) -> tuple[wire.Results, bytes]:
    """Header and payloads of the first outcome of each of these attempts."""
    left, kept, parts = set(attempts), list[wire.ResultItem](), list[bytes | memoryview]()
    for item, part in zip(items, wire.split(items, blob), strict=True):
        if item.attempt in left:
            left.discard(item.attempt)
            kept.append(item)
            parts.append(part)
    return wire.Results(kept), b"".join(parts)
