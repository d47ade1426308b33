"""Names the parts that pickling an object would visit, for paths in messages."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

_MOST_KEY = 60
_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, types.ModuleType)

_SEQUENCES: frozenset[object] = frozenset({list, tuple, deque})
_SETS: frozenset[object] = frozenset({set, frozenset})

Part = tuple[str, Any]
"""What to append to the path, and the part itself."""


def parts(obj: Any) -> Iterator[Part]:
    """The parts of one object, each with its path suffix; never raises.

    Containers give their elements, functions what they refer to, classes their attributes, and
    everything else what its own reduced form names.
    """
    if isinstance(obj, _PLAIN):
        return
    kind = _kind_of(obj)
    if kind is dict:
        yield from _of_items(obj.items())
    elif kind in _SEQUENCES:
        yield from ((f"[{index}]", element) for index, element in enumerate(obj))
    elif kind in _SETS:
        yield from ((f".<element {_short(element)}>", element) for element in obj)
    elif isinstance(obj, types.FunctionType):
        yield from _of_function(obj)
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    elif isinstance(obj, functools.partial):
        yield ".func", obj.func
        yield from ((f".args[{index}]", value) for index, value in enumerate(obj.args))
        yield from ((f".keywords[{_short(key)}]", value) for key, value in obj.keywords.items())
    elif isinstance(obj, type):
        yield from ((f".{name}", value) for name, value in list(vars(obj).items()) if name != "__dict__")
    else:
        yield from _of_reduced(obj)


def _kind_of(obj: object) -> object:
    return type(obj)


def _of_items(items: Any) -> Iterator[Part]:
    for key, value in items:
        yield f".<key {_short(key)}>", key
        yield f"[{_short(key)}]", value


def _of_function(function: types.FunctionType) -> Iterator[Part]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f".<closure {name}>", cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
    positional = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    for name, value in zip(positional[len(positional) - len(defaults) :], defaults, strict=True):
        yield f".<default {name}>", value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield f".<default {name}>", value
    for name in _global_names(code):
        if name in function.__globals__:
            yield f".<global {name}>", function.__globals__[name]
    for name, value in vars(function).items():
        yield f".{name}", value


def _global_names(code: types.CodeType) -> Iterator[str]:
    """Names that the code may look up in its module, those of functions inside it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _of_reduced(obj: Any) -> Iterator[Part]:
    """Attributes, slots, constructor arguments and elements, as `__reduce_ex__` tells them."""
    try:
        reduced: Any = obj.__reduce_ex__(5)
        if isinstance(reduced, str):  # the name of a global
            return
        whole: tuple[Any, ...] = (*reduced, None, None, None)
        function, arguments, state, elements, items = whole[:5]
    except Exception:  # noqa: BLE001 - the object's own code: then it is itself what cannot be pickled
        return
    yield from _of_state(state)
    label = ".args[{}]" if isinstance(obj, BaseException) else ".<argument {} of its constructor>"
    for index, argument in enumerate(arguments):
        suffix = ".__class__" if argument is type(obj) else label.format(index)
        yield suffix, argument
    yield ".<constructor>", function
    try:
        yield from ((f"[{index}]", element) for index, element in enumerate(elements or ()))
        yield from _of_items(items or ())
    except Exception:  # noqa: BLE001 - iterators of the object's own code
        return


def _of_state(state: Any) -> Iterator[Part]:
    halves: tuple[Any, ...] = state if _kind_of(state) is tuple and len(state) == 2 else (state,)
    for half in halves:
        if _kind_of(half) is dict:
            yield from ((f".{name}", value) for name, value in list(half.items()))
        elif half is not None:
            yield ".<state>", half


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the value's own code
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_KEY else text[: _MOST_KEY - 3] + "..."
