"""Bytes that stand for a value in memo keys, and the registry by which users add types."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import cast

from fanflow.memo.containers import Builder
from fanflow.memo.encoder import Encoder, Rules
from fanflow.memo.encoding import payload, type_name
from fanflow.memo.libraries import library_builder
from fanflow.memo.records import record_builder

_Registered = Callable[..., object]


@functools.singledispatch
def id_for_memo(obj: object, output_ref: bool = False) -> bytes:
    """Bytes that are equal for values that no function can tell apart, in every process and run.

    Types count: `1`, `True`, `1.0` and `"1"` are four values. Zeros keep their sign and decimals their
    digits; all NaNs are one value, except inside arrays, which count by their bytes. The order of sets and
    dicts does not count, that of everything else does. Paths count as paths, `File`s by content (see
    `fanflow.memo.files`), functions by source and closure (see `fanflow.memo.functions`), classes and
    modules by name. Known are the types of Python itself, enums, named tuples, dataclasses, attrs and msgspec
    classes, and those of numpy, pandas, pyarrow, torch and pydantic. A subclass of a built-in container is
    unknown until it is registered.

    To add a type, or to replace what is known of one, register a function for it. It may take
    `output_ref`, or not:

    ```python
    @id_for_memo.register(Molecule)
    def id_for_molecule(obj: Molecule) -> bytes:
        return id_for_memo(obj.smiles)
    ```

    Args:
        obj: The value.
        output_ref: It names outputs of a task, so that Files count by where they are.

    Raises:
        MemoKeyError: A part of the value has an unknown type, contains itself, or cannot be read. The
            message gives its path.
    """
    return Encoder(current_rules(), output_ref).encode(obj)


_default = id_for_memo.dispatch(object)
_rules: tuple[int, Rules] | None = None


def current_rules() -> Rules:
    """The rules with everything that has been registered until now."""
    global _rules
    count = len(id_for_memo.registry)  # it only grows
    if _rules is None or _rules[0] != count:
        _rules = (count, Rules(_find, id_for_memo.registry.keys() - {object}))
    return _rules[1]


def _find(kind: type) -> Builder | None:
    registered = cast(_Registered, id_for_memo.dispatch(kind))
    if registered is not _default:
        return _registered_builder(kind, registered)
    return library_builder(kind) or record_builder(kind)


def _registered_builder(kind: type, function: _Registered) -> Builder:
    header = b"@registered;" + type_name(kind)
    takes_output_ref = _takes_output_ref(function)

    def build(value: object, output_ref: bool) -> bytes:
        given = function(value, output_ref=output_ref) if takes_output_ref else function(value)
        if not isinstance(given, bytes):
            raise TypeError(f"the function registered for {kind} returned {type(given).__name__}, not bytes")
        return header + payload(b"b", given)

    return build


def _takes_output_ref(function: _Registered) -> bool:
    try:
        inspect.signature(function).bind(None, output_ref=False)
    except (TypeError, ValueError):
        return False
    return True
