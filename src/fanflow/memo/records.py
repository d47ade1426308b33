"""Values of classes that say which attributes they consist of: dataclasses, enums, named tuples."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, cast

from fanflow.memo.containers import Builder, encode_class
from fanflow.memo.encoding import UNSET, Node, derives, record, text, type_name
from fanflow.memo.files import encode_file
from fanflow.memo.leaves import LEAVES
from fanflow.model.files import File


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]


class _Attribute(Protocol):
    name: str


_CONTAINERS = (list, tuple, dict, set, frozenset, str, bytes, bytearray, int, float, complex)


def record_builder(kind: type) -> Builder | None:
    """How values of this class are encoded, or None."""
    for rule in (_file_rule, _class_rule, _enum_rule, _named_tuple_rule, _fields_rule):
        builder = rule(kind)
        if builder is not None:
            return builder
    return None


def _file_rule(kind: type) -> Builder | None:
    if not derives(kind, File):
        return None
    return lambda value, output_ref: encode_file(cast(File, value), output_ref)


def _class_rule(kind: type) -> Builder | None:
    if not derives(kind, type):
        return None
    return lambda value, _: encode_class(value)


def _enum_rule(kind: type) -> Builder | None:
    if not derives(kind, enum.Enum):
        return None
    header = b"@enum;" + type_name(kind)

    def build(value: object, _: bool) -> bytes:
        member = cast(enum.Enum, value)
        # A member's value counts if it is plain; it may be anything, and the name is enough.
        content = cast(object, member.value)
        plain = LEAVES.get(cast("type", type(content)))
        leaf = plain(content) if plain is not None else b"-"
        return header + text(str(member.name)) + leaf

    return build


def _named_tuple_rule(kind: type) -> Builder | None:
    names = _names(getattr(kind, "_fields", None))
    if names is None or not derives(kind, tuple):
        return None
    fields = names
    header = b"@namedtuple;" + type_name(kind)

    def build(value: object, _: bool) -> Node:
        parts = list(cast("tuple[object, ...]", value))
        labels = [f".{name}" for name in fields] + [f"[{place}]" for place in range(len(fields), len(parts))]
        return _with_extras(Node(header, parts, labels.__getitem__), value, (), kind)

    return build


def _fields_rule(kind: type) -> Builder | None:
    names = _field_names(kind)
    if names is None or derives(kind, *_CONTAINERS):
        return None
    header = b"@record;" + type_name(kind)
    fixed = names

    def build(value: object, _: bool) -> Node:
        return _with_extras(record(header, value, fixed), value, fixed, kind)

    return build


def _field_names(kind: type) -> Sequence[str] | None:
    if getattr(kind, "__dataclass_fields__", None) is not None:
        return [field.name for field in dataclasses.fields(cast("type[_Dataclass]", kind))]
    attrs = getattr(kind, "__attrs_attrs__", None)
    if isinstance(attrs, tuple):
        return [one.name for one in cast("tuple[_Attribute, ...]", attrs)]
    return _names(getattr(kind, "__struct_fields__", None))


def _names(value: object) -> tuple[str, ...] | None:
    """The value, if it is a tuple of strings."""
    if not isinstance(value, tuple):
        return None
    names = cast("tuple[object, ...]", value)
    return cast("tuple[str, ...]", names) if all(isinstance(name, str) for name in names) else None


def _with_extras(node: Node, value: object, names: Sequence[str], kind: type) -> Node:
    """The node, with attributes that are set on the value beside its fields.

    They may come from `InitVar`s or from a subclass that adds to its parent. Results of `cached_property`
    do not count: they follow from the rest, and are there or not by chance.
    """
    attributes = cast("Mapping[str, object]", getattr(value, "__dict__", {}))
    if not attributes or not attributes.keys() - set(names):
        return node
    extras = sorted(name for name in attributes.keys() - set(names) if not _is_cached(kind, name))
    if not extras:
        return node
    added: list[object] = [part for name in extras for part in (name, attributes.get(name, UNSET))]
    inside = len(node.parts)

    def label(index: int) -> str:
        return node.label(index) if index < inside else f".{extras[(index - inside) // 2]}"

    return Node(node.header + b"+", [*node.parts, *added], label)


def _is_cached(kind: type, name: str) -> bool:
    return any(isinstance(vars(cls).get(name), functools.cached_property) for cls in kind.__mro__)
