"""Encodings of values that have no parts, by exact type."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import pathlib
import re
import uuid
from collections.abc import Callable, Mapping
from struct import Struct
from types import MappingProxyType
from typing import TypeVar, cast

from fanflow.memo.encoding import Marker, payload, text

T = TypeVar("T")

_DOUBLE = Struct(">d").pack
_NAN = _DOUBLE(float("nan"))
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def _int(value: int) -> bytes:
    if _LEAST <= value <= _MOST:
        return b"i%d;" % value
    # Not decimal: Python limits the digits of what it converts.
    return payload(b"I", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _real(value: float) -> bytes:
    # Zeros keep their sign, since a function can tell them apart; all NaNs are one.
    return _DOUBLE(value) if value == value else _NAN


def _str(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = value.encode("utf-8", "surrogatepass")
    return payload(b"s", data)


def _memoryview(value: memoryview) -> bytes:
    return b"m%b%b%b" % (text(value.format), text(str(value.shape)), payload(b"b", value.tobytes()))


def _path(flavour: bytes) -> Callable[[pathlib.PurePath], bytes]:
    return lambda path: flavour + text(str(path))


def _timedelta(value: dt.timedelta) -> bytes:
    return b"@timedelta;%d,%d,%d;" % (value.days, value.seconds, value.microseconds)


def _timezone(value: dt.timezone) -> bytes:
    return b"@timezone;" + _timedelta(value.utcoffset(None)) + text(value.tzname(None))


def _range(value: range) -> bytes:
    return b"r" + _int(value.start) + _int(value.stop) + _int(value.step)


def _pattern(value: re.Pattern[str] | re.Pattern[bytes]) -> bytes:
    source = value.pattern
    return b"x%d;" % value.flags + (text(source) if isinstance(source, str) else payload(b"b", source))


def _table() -> dict[type, Callable[[object], bytes]]:
    table: dict[type, Callable[[object], bytes]] = {}

    def leaf(kind: type[T], encode: Callable[[T], bytes]) -> None:
        table[kind] = cast("Callable[[object], bytes]", encode)

    leaf(type(None), lambda _: b"N")
    leaf(type(Ellipsis), lambda _: b"@...;")
    leaf(bool, lambda value: b"T" if value else b"F")
    leaf(int, _int)
    leaf(float, lambda value: b"f" + _real(value))
    leaf(complex, lambda value: b"c" + _real(value.real) + _real(value.imag))
    leaf(str, _str)
    leaf(bytes, lambda value: payload(b"b", value))
    leaf(bytearray, lambda value: payload(b"B", value))
    leaf(memoryview, _memoryview)
    leaf(range, _range)
    leaf(pathlib.PurePosixPath, _path(b"@purepath;"))
    leaf(pathlib.PosixPath, _path(b"@path;"))
    leaf(pathlib.PureWindowsPath, _path(b"@purewindowspath;"))
    leaf(pathlib.WindowsPath, _path(b"@windowspath;"))
    leaf(dt.date, lambda value: b"@date;" + text(value.isoformat()))
    leaf(dt.timedelta, _timedelta)
    leaf(dt.timezone, _timezone)
    leaf(decimal.Decimal, lambda value: b"d" + text(str(value)))
    leaf(fractions.Fraction, lambda value: b"q" + _int(value.numerator) + _int(value.denominator))
    leaf(uuid.UUID, lambda value: b"u" + value.bytes)
    leaf(re.Pattern, _pattern)
    leaf(Marker, lambda value: b"!" + text(value.name))
    return table


LEAVES: Mapping[type, Callable[[object], bytes]] = MappingProxyType(_table())
"""Type to encoder. Exact types only: what a subclass adds is not known here."""
