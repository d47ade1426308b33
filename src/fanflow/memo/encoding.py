"""The alphabet of memo keys: encodings that end by themselves, so that none is the start of another.

An encoding is a tag and what follows it; everything of variable length is preceded by its length. Two
sequences of encodings are therefore equal only if they are equal one by one. Long contents stand for
themselves as a digest of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

MOST_INLINE = 512
"""Bytes of content that are kept as they are; longer content is replaced by its digest."""


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """32 bytes that stand for the data."""
    return blake2b(data, digest_size=32).digest()


def payload(tag: bytes, data: bytes | bytearray | memoryview) -> bytes:
    """Tag, length, and the data or its digest."""
    size = len(data)
    if size <= MOST_INLINE:
        return b"%b%d:%b" % (tag, size, bytes(data))
    return b"%b#%d:%b" % (tag, size, digest(data))


def text(value: str) -> bytes:
    """A string, lone surrogates included."""
    return payload(b"s", value.encode("utf-8", "surrogatepass"))


def type_name(kind: type) -> bytes:
    """A class by the names that it is imported by."""
    return text(f"{kind.__module__}:{kind.__qualname__}")


def derives(kind: type, *bases: type) -> bool:
    """`issubclass`, without a checker's conclusions about the class."""
    return issubclass(kind, bases)


class Order(Enum):
    """What the order of parts says."""

    GIVEN = 0  # everything
    NONE = 1  # nothing: a set
    PAIRS = 2  # parts are key, value, key, value; the order of pairs says nothing


class Node(NamedTuple):
    """A value that is encoded by its parts."""

    header: bytes
    """What it is, apart from its parts; ends by itself."""
    parts: Sequence[object]
    label: Callable[[int], str]
    """What to append to the path of the value for the path of part i."""
    order: Order = Order.GIVEN


class Marker:
    """A part that stands for something that is no value, such as an attribute that is not set."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


UNSET = Marker("unset")


def index_label(index: int) -> str:
    """`[3]`, for part 3 of a sequence."""
    return f"[{index}]"


def fixed_labels(*labels: str) -> Callable[[int], str]:
    """These, for parts 0, 1, ..."""
    return labels.__getitem__


def attribute_labels(names: Sequence[str]) -> Callable[[int], str]:
    """`.name`, for parts that are attributes of these names."""
    return lambda index: f".{names[index]}"


def pair_labels(parts: Sequence[object]) -> Callable[[int], str]:
    """`['x']` for values and `.<key 'x'>` for keys of a mapping."""
    return lambda index: f"[{short(parts[index - 1])}]" if index % 2 else f".<key {short(parts[index])}>"


def short(value: object) -> str:
    """A bounded repr that never raises."""
    try:
        shown = repr(value)
    except Exception:  # noqa: BLE001 - the value's own code
        return f"<{type(value).__name__}>"
    return shown if len(shown) <= 60 else shown[:57] + "..."


def record(header: bytes, value: object, names: Sequence[str]) -> Node:
    """A value that is told apart by some of its attributes."""
    return Node(header, [getattr(value, name, UNSET) for name in names], attribute_labels(names))
