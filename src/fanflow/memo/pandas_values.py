"""Encodings of pandas' frames, series, indexes and scalars; loaded only when pandas is."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Protocol, cast

from fanflow.memo.containers import Builder
from fanflow.memo.encoding import Node, fixed_labels, record, text, type_name
from fanflow.memo.libraries import is_kind


class _Frame(Protocol):
    """What is used of `pandas.DataFrame`."""

    columns: object
    index: object
    attrs: dict[object, object]
    iloc: _Columns

    @property
    def shape(self) -> tuple[int, int]: ...


class _Columns(Protocol):
    def __getitem__(self, place: tuple[slice, int], /) -> _Column: ...


class _Column(Protocol):
    """What is used of `Series` and `Index`."""

    array: _Extension
    dtype: object
    name: object
    index: object
    attrs: dict[object, object]


class _MultiIndex(Protocol):
    names: Iterable[object]
    nlevels: int

    def get_level_values(self, level: int, /) -> object: ...


class _Extension(Protocol):
    """What is used of the arrays inside columns."""

    dtype: object

    def to_numpy(self, dtype: object = ...) -> object: ...


def find_builder(kind: type, pandas: types.ModuleType) -> Builder | None:
    """How values of this class are encoded, or None. Subclasses of frames and series are not known."""
    header = b"@pandas;" + type_name(kind)
    if kind is getattr(pandas, "DataFrame", None):
        return lambda value, _: _frame(header, cast(_Frame, value))
    if kind is getattr(pandas, "Series", None):
        return lambda value, _: record(header, value, ("name", "index", "array", "attrs"))
    if is_kind(kind, pandas, "RangeIndex"):
        return lambda value, _: record(header, value, ("start", "stop", "step", "name"))
    if is_kind(kind, pandas, "MultiIndex"):
        return lambda value, _: _levels(header, cast(_MultiIndex, value))
    if is_kind(kind, pandas, "Index"):
        return lambda value, _: record(header, value, ("name", "array"))
    return _scalar_builder(kind, pandas, header) or _array_builder(kind, pandas, header)


def _scalar_builder(kind: type, pandas: types.ModuleType, header: bytes) -> Builder | None:
    if kind in (type(getattr(pandas, "NaT", None)), type(getattr(pandas, "NA", None))):
        return lambda value, _: header
    if is_kind(kind, pandas, "Timestamp"):
        return lambda value, _: record(header, value, ("value", "unit", "tz", "fold"))
    if is_kind(kind, pandas, "Timedelta"):
        return lambda value, _: record(header, value, ("value", "unit"))
    if is_kind(kind, pandas, "Period"):
        return lambda value, _: record(header, value, ("ordinal", "freqstr"))
    if is_kind(kind, pandas, "Interval"):
        return lambda value, _: record(header, value, ("left", "right", "closed"))
    return None


def _array_builder(kind: type, pandas: types.ModuleType, header: bytes) -> Builder | None:
    if is_kind(kind, pandas, "Categorical"):
        return lambda value, _: record(header, value, ("codes", "categories", "ordered"))
    extension = getattr(getattr(getattr(pandas, "api", None), "extensions", None), "ExtensionArray", None)
    if isinstance(extension, type) and issubclass(kind, extension):
        return lambda value, _: _array(header, cast(_Extension, value))
    if is_kind(kind, pandas, "CategoricalDtype"):
        return lambda value, _: record(header, value, ("categories", "ordered"))
    base = getattr(getattr(getattr(pandas, "api", None), "extensions", None), "ExtensionDtype", None)
    if isinstance(base, type) and issubclass(kind, base):
        return lambda value, _: header + text(repr(value))
    return None


def _frame(header: bytes, frame: _Frame) -> Node:
    count = frame.shape[1]
    columns = [frame.iloc[:, place].array for place in range(count)]
    labels = [".columns", ".index", ".attrs", *(f".iloc[:, {place}]" for place in range(count))]
    return Node(header, [frame.columns, frame.index, frame.attrs, *columns], labels.__getitem__)


def _levels(header: bytes, index: _MultiIndex) -> Node:
    # Value by value: how they are split into levels and codes is not always the same.
    values = [index.get_level_values(level) for level in range(index.nlevels)]
    labels = [".names", *(f".get_level_values({level})" for level in range(index.nlevels))]
    return Node(header, [list(index.names), *values], fixed_labels(*labels))


def _array(header: bytes, array: _Extension) -> Node:
    """An array by dtype and elements: numpy's own and times as they are, all others one by one."""
    dtype = array.dtype
    counts = getattr(array, "asi8", None)  # of times: the integers that, with unit and zone, they are
    if counts is not None:
        return Node(header + text(repr(dtype)), [counts], fixed_labels(""))
    is_plain = type(array).__name__ in {"NumpyExtensionArray", "PandasArray"}
    elements = array.to_numpy() if is_plain else array.to_numpy(dtype=object)
    return Node(header + text(repr(dtype)), [elements], fixed_labels(""))
