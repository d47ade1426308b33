"""Encodings of pyarrow's tables, arrays, scalars and types; loaded only when pyarrow is."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Protocol, cast

from fanflow.memo.containers import Builder
from fanflow.memo.encoding import payload, type_name
from fanflow.memo.libraries import is_kind


class _Columns(Protocol):
    """What is used of tables, batches and chunked arrays."""

    schema: object

    def combine_chunks(self) -> _Columns: ...


class _Scalar(Protocol):
    type: object

    def as_py(self) -> object: ...


class _Schema(Protocol):
    def serialize(self) -> bytes: ...


class _Writer(Protocol):
    def write(self, table: object, /) -> None: ...
    def close(self) -> None: ...


class _Sink(Protocol):
    def getvalue(self) -> bytes: ...


def find_builder(kind: type, pyarrow: types.ModuleType) -> Builder | None:
    """How values of this class are encoded, or None. How they are cut into chunks does not count."""
    header = b"@arrow;" + type_name(kind)
    to_table = _table_maker(kind, pyarrow)
    if to_table is not None:
        return lambda value, _: header + _stream(to_table(value), pyarrow)
    if is_kind(kind, pyarrow, "Schema"):
        return lambda value, _: header + _schema(cast(_Schema, value))
    if is_kind(kind, pyarrow, "DataType"):
        return lambda value, _: header + _schema(pyarrow.schema([("", value)]))
    if is_kind(kind, pyarrow, "Field"):
        return lambda value, _: header + _schema(pyarrow.schema([value]))
    if is_kind(kind, pyarrow, "Buffer"):
        return lambda value, _: header + payload(b"b", memoryview(cast(bytes, value)))
    return None


def _table_maker(kind: type, pyarrow: types.ModuleType) -> Callable[[object], object] | None:
    if is_kind(kind, pyarrow, "Table"):
        return lambda value: value
    if is_kind(kind, pyarrow, "RecordBatch"):
        return lambda value: pyarrow.Table.from_batches([value])
    if is_kind(kind, pyarrow, "Array", "ChunkedArray"):
        return lambda value: pyarrow.table([value], names=[""])
    if is_kind(kind, pyarrow, "Scalar"):
        return lambda value: _scalar_table(cast(_Scalar, value), pyarrow)
    return None


def _scalar_table(scalar: _Scalar, pyarrow: types.ModuleType) -> object:
    return pyarrow.table([pyarrow.array([scalar.as_py()], type=scalar.type)], names=[""])


def _schema(schema: _Schema) -> bytes:
    return payload(b"b", memoryview(schema.serialize()))


def _stream(table: object, pyarrow: types.ModuleType) -> bytes:
    """The table as an Arrow stream of one batch, which is the library's own portable form."""
    whole = cast(_Columns, table).combine_chunks()
    sink: _Sink = pyarrow.BufferOutputStream()
    writer: _Writer = pyarrow.ipc.new_stream(sink, whole.schema)
    try:
        writer.write(whole)
    finally:
        writer.close()
    return payload(b"b", memoryview(sink.getvalue()))
