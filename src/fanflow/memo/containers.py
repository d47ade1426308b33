"""Values that Python itself makes of others: which parts each has, by exact type."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import types
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar, cast

from fanflow.memo.encoding import Node, Order, fixed_labels, index_label, pair_labels, record, text, type_name
from fanflow.memo.functions import describe_function

T = TypeVar("T")

Builder = Callable[[object, bool], "bytes | Node"]
"""Makes an encoding, or the parts to encode, of a value; the flag is `output_ref`."""

_Pairs = Mapping[object, object]


def flat_pairs(mapping: _Pairs) -> list[object]:
    """Key, value, key, value."""
    # One step of C code, so that another thread's change is seen whole or not at all.
    return [part for pair in list(mapping.items()) for part in pair]


def _list(value: list[object]) -> Node:
    return Node(b"L", value.copy(), index_label)


def _tuple(value: tuple[object, ...]) -> Node:
    return Node(b"U", value, index_label)


def _dict(value: dict[object, object]) -> Node:
    parts = flat_pairs(value)
    return Node(b"D", parts, pair_labels(parts), Order.PAIRS)


def _elements(header: bytes) -> Callable[[set[object] | frozenset[object]], Node]:
    return lambda value: Node(header, list(value), _element_label, Order.NONE)


def _element_label(_: int) -> str:
    return ".<element>"


def _ordered_dict(value: collections.OrderedDict[object, object]) -> Node:
    parts = flat_pairs(value)
    return Node(b"@OrderedDict;", parts, pair_labels(parts))


def _default_dict(value: collections.defaultdict[object, object]) -> Node:
    return Node(b"@defaultdict;", [value.default_factory, dict(value)], fixed_labels(".default_factory", ""))


def _wrapped(header: bytes, copy: Callable[[T], object]) -> Callable[[T], Node]:
    """A value that is told apart by its type and one plain copy of what it holds."""
    return lambda value: Node(header, [copy(value)], fixed_labels(""))


def _deque_parts(value: collections.deque[object]) -> object:
    return list(value), value.maxlen


def _slice(value: slice) -> Node:
    return record(b"@slice;", value, ("start", "stop", "step"))


def _datetime(value: dt.datetime) -> Node:
    stamp = text(value.replace(tzinfo=None).isoformat())
    return Node(b"@datetime;%d" % value.fold + stamp, [value.tzinfo], fixed_labels(".tzinfo"))


def _time(value: dt.time) -> Node:
    stamp = text(value.replace(tzinfo=None).isoformat())
    return Node(b"@time;%d" % value.fold + stamp, [value.tzinfo], fixed_labels(".tzinfo"))


def _partial(value: functools.partial[object]) -> Node:
    return Node(
        b"@partial;", [value.func, value.args, value.keywords], fixed_labels(".func", ".args", ".keywords")
    )


def _method(value: types.MethodType) -> Node:
    return record(b"@method;", value, ("__func__", "__self__"))


def _builtin(value: types.BuiltinFunctionType) -> bytes | Node:
    owner: object = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return b"@builtin;" + text(f"{value.__module__}:{value.__qualname__}")
    return Node(b"@builtin method;" + text(value.__name__), [owner], fixed_labels(".__self__"))


def _descriptor(value: types.MethodDescriptorType) -> bytes:
    return b"@descriptor;" + type_name(value.__objclass__) + text(value.__name__)


def _module(value: types.ModuleType) -> bytes:
    return b"@module;" + text(value.__name__)


def _cached_function(value: object) -> Node:
    return record(b"@cached function;", value, ("__wrapped__",))


def _class(value: type) -> bytes:
    return encode_class(value)


def encode_class(kind: object) -> bytes:
    """A class as a value: by its qualified name."""
    return b"@class;" + type_name(cast("type", kind))


def _table() -> dict[type, Builder]:
    table: dict[type, Builder] = {}

    def builder(kind: type[T], build: Callable[[T], bytes | Node]) -> None:
        take = cast("Callable[[object], bytes | Node]", build)
        table[kind] = lambda value, _: take(value)

    builder(list, _list)
    builder(tuple, _tuple)
    builder(dict, _dict)
    builder(set, _elements(b"S"))
    builder(frozenset, _elements(b"Z"))
    builder(collections.OrderedDict, _ordered_dict)
    builder(collections.defaultdict, _default_dict)
    builder(collections.Counter, _wrapped(b"@Counter;", dict))
    builder(collections.deque, _wrapped(b"@deque;", _deque_parts))
    builder(types.MappingProxyType, _wrapped(b"@mappingproxy;", dict))
    builder(types.SimpleNamespace, _wrapped(b"@namespace;", lambda value: dict(vars(value))))
    builder(slice, _slice)
    builder(dt.datetime, _datetime)
    builder(dt.time, _time)
    builder(functools.partial, _partial)
    builder(types.FunctionType, describe_function)
    builder(types.MethodType, _method)
    builder(types.BuiltinFunctionType, _builtin)
    builder(types.MethodDescriptorType, _descriptor)
    builder(types.ModuleType, _module)
    builder(type, _class)
    table[type(functools.lru_cache(_class))] = lambda value, _: _cached_function(value)
    return table


BUILDERS: Mapping[type, Builder] = MappingProxyType(_table())
"""Type to builder. Exact types only: what a subclass adds is not known here."""
