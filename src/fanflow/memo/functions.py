"""What a function is: its name, its text, its closure and its defaults.

Which part counts how:

* Module and qualified name always count.
* The text of the function counts without its decorators, if the source can be read and is what the running
  code was made from. Otherwise the bytecode with its constants counts: for lambdas, for functions typed in
  or made by `exec`, and for those whose file has changed since it was loaded. Bytecode differs between
  versions of Python.
* The values of defaults and of closure variables count.
* Globals, and the functions that it calls, do not count.
* A function with the attribute `__fanflow_version__` counts by name and that value only.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from fanflow.memo.encoding import UNSET, Marker, Node, digest, fixed_labels, payload, text
from fanflow.memo.leaves import LEAVES

VERSION_ATTRIBUTE = "__fanflow_version__"

_EMPTY_CELL = Marker("empty cell")
_SENTINEL = Marker("object()")
_LAMBDA = "<lambda>"
_MOST_FILES = 32

_Place = tuple[str, int]
"""Qualified name and first line: where in its file a function is."""

_headers: weakref.WeakKeyDictionary[types.FunctionType, tuple[types.CodeType, bytes]] = (
    weakref.WeakKeyDictionary()
)


class _Source(NamedTuple):
    """The functions of one file."""

    lines: list[str]
    functions: dict[_Place, tuple[str, bytes]]
    """Text, and digest of the bytecode that the text gives."""


_sources: dict[str, _Source] = {}


def describe_function(function: types.FunctionType) -> bytes | Node:
    """A function by its code, its closure and its defaults.

    Defaults and closures are looked at anew each time; the text is read once per function.
    """
    version = getattr(function, VERSION_ATTRIBUTE, UNSET)
    if version is not UNSET:
        header = b"@function version;" + _name(function)
        return Node(header, [version], fixed_labels(f".{VERSION_ATTRIBUTE}"))
    closure, defaults, named = function.__closure__, function.__defaults__, function.__kwdefaults__
    code = function.__code__
    known = _headers.get(function)
    if known is None or known[0] is not code:
        known = (code, b"@function;" + _name(function) + _code(function))
        _headers[function] = known
    if closure is None and defaults is None and named is None:
        return known[1] + b"0,0;"
    parts = [_cell_value(cell) for cell in closure or ()]
    labels = [f".<closure {name}>" for name in code.co_freevars]
    for number, value in enumerate(defaults or ()):
        parts.append(_stateless(value))
        labels.append(f".__defaults__[{number}]")
    for keyword, value in sorted(cast("Mapping[str, object]", named or {}).items(), key=_first):
        parts.extend((keyword, _stateless(value)))
        labels.extend((keyword, f".__kwdefaults__[{keyword!r}]"))
    shape = b"%d,%d;" % (len(closure or ()), len(defaults or ()))
    return Node(known[1] + shape, parts, labels.__getitem__)


def _name(function: types.FunctionType) -> bytes:
    return text(f"{function.__module__}:{function.__qualname__}")


def _first(item: tuple[str, object]) -> str:
    return item[0]


def _cell_value(cell: types.CellType) -> object:
    try:
        return _stateless(cell.cell_contents)
    except ValueError:
        return _EMPTY_CELL


def _stateless(value: object) -> object:
    """The value; one that only its identity tells from others, as sentinels are, by a marker."""
    return _SENTINEL if type(value) is object else value


def _code(function: types.FunctionType) -> bytes:
    code = function.__code__
    mark = encode_code(code)
    if code.co_name != _LAMBDA:
        source = _find_source(function, digest(mark))
        if source is not None:
            return b"t" + text(source)
    return b"b" + text(str(sys.implementation.cache_tag)) + mark


def _find_source(function: types.FunctionType, mark: bytes) -> str | None:
    """The text that gives this very code, or None."""
    code = function.__code__
    place = (code.co_qualname, code.co_firstlineno)
    for attempt in range(2):
        source = _source_of(code.co_filename, function.__globals__)
        if source is None:
            return None
        found = source.functions.get(place)
        if found is not None and found[1] == mark:
            return found[0]
        if attempt == 0:
            linecache.checkcache(code.co_filename)  # what is remembered may be older than the code
    return None


def _source_of(filename: str, module_globals: dict[str, object]) -> _Source | None:
    lines = linecache.getlines(filename, module_globals)
    if not lines:
        return None
    known = _sources.get(filename)
    if known is not None and known.lines is lines:
        return known
    source = _Source(lines, dict(_read_functions(lines, filename)))
    if len(_sources) >= _MOST_FILES:
        _sources.clear()
    _sources[filename] = source
    return source


def _read_functions(lines: list[str], filename: str) -> Iterator[tuple[_Place, tuple[str, bytes]]]:
    try:
        tree = ast.parse("".join(lines), filename)
        module = compile(tree, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    texts: dict[tuple[str, int], str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            texts[node.name, first] = "".join(lines[node.lineno - 1 : node.end_lineno])
    for code in _codes(module):
        found = texts.get((code.co_name, code.co_firstlineno))
        if found is not None:
            yield (code.co_qualname, code.co_firstlineno), (found, digest(encode_code(code)))


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield constant
            yield from _codes(constant)


def encode_code(code: types.CodeType) -> bytes:
    """Everything in code that has an effect, which leaves out file, lines and columns."""
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    fields = [
        text(code.co_qualname),
        *(b"%d," % count for count in counts),
        payload(b"b", code.co_code),
        payload(b"b", code.co_exceptiontable),
        *map(_constant, (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)),
        _constant(code.co_consts),
    ]
    return payload(b"@code;", b"".join(fields))


def _constant(value: object) -> bytes:
    """A constant of code. The compiler makes no others, and nests them no deeper than the source is."""
    leaf = LEAVES.get(type(value))
    if leaf is not None:
        return leaf(value)
    if isinstance(value, types.CodeType):
        return encode_code(value)
    if isinstance(value, tuple):
        items = [_constant(item) for item in cast("tuple[object, ...]", value)]
        return b"U%d:" % len(items) + b"".join(items)
    if isinstance(value, frozenset):
        items = sorted(_constant(item) for item in cast("frozenset[object]", value))
        return b"Z%d:" % len(items) + b"".join(items)
    return text(f"{type(value)}:{value!r}")
