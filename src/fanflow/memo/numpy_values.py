"""Encodings of numpy's arrays, scalars, dtypes and functions; loaded only when numpy is."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Protocol, cast

from fanflow.memo.containers import Builder
from fanflow.memo.encoding import Node, digest, fixed_labels, index_label, payload, record, text, type_name
from fanflow.memo.libraries import is_kind

_Text = str


class _Dtype(Protocol):
    """What is used of `numpy.dtype`."""

    str: _Text
    char: _Text
    hasobject: bool
    isbuiltin: int
    names: tuple[_Text, ...] | None


class _Array(Protocol):
    """What is used of `numpy.ndarray`."""

    dtype: _Dtype
    shape: tuple[int, ...]
    data: memoryview

    def __getitem__(self, key: str, /) -> _Array: ...
    def ravel(self) -> _Array: ...
    def tolist(self) -> list[object]: ...
    def tobytes(self) -> bytes: ...
    def view(self, kind: object, /) -> _Array: ...


def find_builder(kind: type, numpy: types.ModuleType) -> Builder | None:
    """How values of this class are encoded, or None. Of the subclasses of arrays few are known."""
    if is_kind(kind, numpy, "dtype"):
        return lambda value, _: encode_dtype(cast(_Dtype, value))
    if is_kind(kind, numpy, "generic"):
        return lambda value, _: _scalar(value, numpy)
    masked = getattr(getattr(numpy, "ma", None), "MaskedArray", None)
    if kind is masked:
        return lambda value, _: record(b"@masked array;", value, ("data", "mask", "fill_value"))
    if kind in (numpy.ndarray, numpy.memmap, numpy.matrix, numpy.recarray):
        header = b"@array;" + type_name(kind)
        return lambda value, _: _array(header, cast(_Array, value).view(numpy.ndarray), numpy)
    if is_kind(kind, numpy, "ufunc") or kind is type(getattr(numpy, "mean", None)):
        return lambda value, _: _function(value, numpy)
    return None


def encode_dtype(dtype: _Dtype) -> bytes:
    """A dtype with byte order, field names, offsets and all."""
    return b"@dtype;" + text(dtype.str if dtype.isbuiltin == 1 else f"{dtype.str}:{dtype!r}")


def _scalar(value: object, numpy: types.ModuleType) -> bytes | Node:
    as_array: Callable[[object], _Array] = numpy.asarray
    return _array(b"@scalar;", as_array(value), numpy)


def _array(header: bytes, array: _Array, numpy: types.ModuleType) -> bytes | Node:
    dtype = array.dtype
    head = header + encode_dtype(dtype) + text(str(array.shape))
    if dtype.names is not None:
        # Field by field: what lies between fields is not defined.
        names = dtype.names
        return Node(head, [array[name] for name in names], fixed_labels(*[f"[{name!r}]" for name in names]))
    if dtype.hasobject or dtype.char == "T":
        return Node(head, array.ravel().tolist(), index_label)
    if dtype.char in "gG":
        # Bytes of a long double include some that are not defined; its shortest text is exact.
        return Node(head, [str(item) for item in cast("Iterable[object]", array.ravel())], index_label)
    return head + _content(array, numpy)


def _content(array: _Array, numpy: types.ModuleType) -> bytes:
    """Elements in C order, without a copy if they are so in memory."""
    contiguous: _Array = numpy.ascontiguousarray(array)
    if 0 in contiguous.shape:
        return payload(b"b", b"")
    raw = contiguous.ravel().view(numpy.uint8).data
    if raw.nbytes <= 64:
        return payload(b"b", raw.tobytes())
    return b"b#%d:" % raw.nbytes + digest(raw)


def _function(value: object, numpy: types.ModuleType) -> bytes:
    name = str(getattr(value, "__name__", ""))
    if getattr(numpy, name, None) is not value:
        raise TypeError(f"only functions of numpy itself are known by name, {name!r} is none of them")
    return b"@numpy;" + text(name)
