"""Pickles values for other processes, and finds what in a value cannot be pickled."""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import sys
import time
import types
from collections import ChainMap
from typing import Any

from fanflow.codec.parts import parts
from fanflow.errors import FanflowError, PicklingError

PROTOCOL = 5
"""First protocol with out-of-band buffers; every supported Python has it."""

_MAIN = b"__main__"
_MOST_DEPTH = 40
_MOST_NODES = 10_000
_MOST_SECONDS = 2.0
_MOST_REASON = 300


class UnpicklingError(PicklingError):
    """What was sent cannot be rebuilt in the process that received it.

    Args:
        what: What was sent, such as `the result of app 'f'`.
        path: The same, as in paths: `result`, `args`.
        error: What unpickling raised.
    """

    def __init__(self, what: str, path: str, error: BaseException) -> None:
        self.what, self.path, self.reason = what, path, reason_of(error)
        FanflowError.__init__(
            self,
            f"{what} was received but cannot be rebuilt: unpickling it raised {self.reason}; "
            f"make sure that both processes import the same modules and versions",
        )


def dumps(value: Any, buffers: list[pickle.PickleBuffer] | None = None) -> bytes:
    """Pickle with the C pickler where it can, with cloudpickle where it cannot.

    Args:
        value: What to pickle.
        buffers: Where the buffers of arrays go, which are then not in the pickle; None: they are in it.

    Raises:
        Exception: Whatever the pickler or the value's own methods raise.
    """
    keep = None if buffers is None else buffers.append
    try:
        data = pickle.dumps(value, PROTOCOL, buffer_callback=keep)
    except Exception:  # noqa: BLE001 - the value's own code runs in there; cloudpickle may know better
        return _cloudpickle_dumps(value, buffers)
    # A reference into __main__ means another module in another process. That the bytes may occur in
    # plain data costs time only.
    if _MAIN in data or _has_modules_by_value():
        return _cloudpickle_dumps(value, buffers)
    return data


def _cloudpickle_dumps(value: Any, buffers: list[pickle.PickleBuffer] | None) -> bytes:
    keep = None
    if buffers is not None:
        buffers.clear()
        keep = buffers.append
    with io.BytesIO() as file:
        _pickler()(file, PROTOCOL, buffer_callback=keep).dump(value)
        return file.getvalue()


@functools.cache
def _pickler() -> Any:
    """Cloudpickle's, but code keeps the name of its file, without which tracebacks show no source lines."""
    cloudpickler: Any = _cloudpickle().Pickler
    reduce: Any = cloudpickler.dispatch_table[types.CodeType]

    def reduce_code(code: types.CodeType) -> tuple[Any, ...]:
        function, arguments = reduce(code)
        named = [code.co_filename if _is_placeholder(part) else part for part in arguments]
        return function, tuple(named)

    table = ChainMap({types.CodeType: reduce_code}, cloudpickler.dispatch_table)
    return type("Pickler", (cloudpickler,), {"dispatch_table": table})


def _is_placeholder(part: Any) -> bool:
    return isinstance(part, str) and part == "<dynamic-code>"  # cloudpickle 3.1.2 and later


def _cloudpickle() -> Any:
    return importlib.import_module(
        "cloudpickle"
    )  # late, since workers often do without; it has no type stubs


def _has_modules_by_value() -> bool:
    """Whether the user has asked cloudpickle to send some modules' contents instead of references."""
    # Another thread may be importing it at this moment: then nobody has asked it for anything yet.
    listed = getattr(sys.modules.get("cloudpickle"), "list_registry_pickle_by_value", None)
    return listed is not None and bool(listed())


def find_unpicklable(obj: Any, root: str = "args[0]") -> tuple[str, str]:
    """Where in `obj`, which cannot be pickled, the trouble sits.

    Looks into containers, attributes, reduced forms and what functions refer to. It tries to pickle
    part after part, so it is for failures only; depth, parts and time (2 s) are bounded.

    Args:
        obj: What failed to pickle.
        root: Its name in the path.

    Returns:
        The path of the innermost part found, and what the pickler says of it. A reason that is
        empty means that `obj` can be pickled after all, as far as it was looked at.
    """
    return _Search().run(obj, root)


def reason_of(error: BaseException) -> str:
    """Type and text of an exception, short, even when asking for its text raises."""
    name = str(type.__getattribute__(type(error), "__name__"))  # a metaclass can forbid the plain way
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the exception's own code
        return name
    if not text:
        return name
    return f"{name}: {text if len(text) <= _MOST_REASON else text[:_MOST_REASON] + '...'}"


class _Overtime(Exception):  # noqa: N818 - a signal to ourselves, not an error
    """The search has used up its time."""


class _Nowhere:
    """A file that keeps nothing, and ends the pickling when time is up."""

    def __init__(self, until: float) -> None:
        self._until = until

    def write(self, data: Any) -> int:
        if time.monotonic() > self._until:
            raise _Overtime
        return len(data)


class _Search:
    """One search. It goes down the first part that fails, level by level."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _MOST_SECONDS
        self._nodes = 0
        self._above: set[int] = set()

    def run(self, obj: Any, root: str) -> tuple[str, str]:
        try:
            path, error = root, self._failure(obj)
        except _Overtime:
            return root, ""
        if error is None:
            return root, ""
        for _ in range(_MOST_DEPTH):
            if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
                return root, "it is nested more deeply than the recursion limit allows"
            self._above.add(id(obj))
            try:
                found = self._first_bad_part(obj)
            except _Overtime:
                break
            if found is None:
                break
            suffix, obj, error = found
            path += suffix
        return path, reason_of(error)

    def _first_bad_part(self, obj: Any) -> tuple[str, Any, BaseException] | None:
        for suffix, part in parts(obj):
            self._nodes += 1
            if self._nodes > _MOST_NODES:
                raise _Overtime
            if id(part) in self._above:
                continue
            error = self._failure(part)
            if error is not None:
                return suffix, part, error
        return None

    def _failure(self, obj: Any) -> BaseException | None:
        try:
            _cloudpickle().Pickler(_Nowhere(self._until), PROTOCOL).dump(obj)
        except _Overtime:
            raise
        except Exception as error:  # noqa: BLE001 - the object's own code runs in there
            return error
        return None
