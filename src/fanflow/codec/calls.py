"""Calls and their outcomes as bytes, and the function that runs a call in a worker process."""

from __future__ import annotations

import os
import pickle
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from fanflow.codec.buffers import Pieces, pack_value, unpack_value, whole
from fanflow.codec.exceptions import pack_error, unpack_error
from fanflow.codec.pickling import PROTOCOL, UnpicklingError, dumps, find_unpicklable, reason_of
from fanflow.codec.trials import try_out
from fanflow.codec.worker_flag import enter_worker
from fanflow.errors import PicklingError
from fanflow.ids import AttemptId
from fanflow.model.attempts import Launch, Raised, Returned

# A packed call is: length of the head (4 bytes), head, body. The head (process of origin, app name,
# pickled function) is the same for all calls of an app and is made once; the body is (args, kwargs).
_LENGTH = 4

# A packed outcome is a packed value, which starts with a mark of its own; or this and an error.
_ERROR = b"E"
_ERROR_CODE = _ERROR[0]

_NO_ARGUMENTS = pickle.dumps(((), {}), PROTOCOL)
_NONE = pickle.dumps(None, PROTOCOL)

_Packed = TypeVar("_Packed", bound=bytes | Pieces)

_ORIGIN = os.urandom(8)
"""Tells a process from one on another host; its id is added to tell it from a forked child."""


class _Head(NamedTuple):
    function: weakref.ref[Any]
    name: str
    data: bytes


class _Callee(NamedTuple):
    function: Any
    name: str


_heads: dict[int, _Head] = {}
_callees: dict[bytes, _Callee] = {}
_MOST_CALLEES = 256
_MOST_CACHED_BYTES = 1_000_000


def _forget() -> None:
    _heads.clear()
    _callees.clear()


os.register_at_fork(after_in_child=_forget)  # a child must see that calls come from another process


def pack_call(launch: Launch) -> bytes:
    """The call as bytes for `run_packed`, in any process that can import the same modules.

    Raises:
        PicklingError: An argument or the function cannot be pickled; the path says which part.
    """
    head = _head_of(launch)
    if not launch.args and not launch.kwargs:
        return head + _NO_ARGUMENTS
    try:
        return head + dumps((launch.args, dict(launch.kwargs)))
    except Exception as error:  # noqa: BLE001 - the arguments' own code runs in there
        raise _argument_error(launch, error) from None


def pack_parts(launch: Launch) -> tuple[bytes, bytes | memoryview]:
    """The call as two pieces: the head, which all calls of the function share, and the arguments.

    The arguments are copied: what the caller does to its arrays later is not seen.

    The bytes of a plain function, a built-in or a class are taken at its first call and kept as long as it
    lives: what its closure or its module's globals are rebound to later is not seen. Other callables
    (bound methods, partials, instances) are packed anew for each call.

    Raises:
        PicklingError: An argument or the function cannot be pickled; the path says which part.
    """
    head = _head_of(launch)
    if not launch.args and not launch.kwargs:
        return head, _NO_ARGUMENTS
    try:
        body = pack_value((launch.args, dict(launch.kwargs)))
    except Exception as error:  # noqa: BLE001 - the arguments' own code runs in there
        raise _argument_error(launch, error) from None
    return head, body if isinstance(body, bytes) else whole(body)


def _head_of(launch: Launch) -> bytes:
    known = _heads.get(id(launch.function))
    if known is not None and known.function() is launch.function and known.name == launch.name:
        return known.data
    return _make_head(launch)


def run_packed(data: bytes) -> bytes:
    """Run a packed call and pack its outcome; never raises. Any thread of a worker process.

    A process other than the one that packed the call is marked as a worker. Functions are unpickled once
    per process, so that what they keep in globals or closures lasts from task to task.
    """
    try:
        return _run(data)
    except BaseException as error:  # noqa: BLE001 - the user's function, and everything it may do to us
        return _ERROR + pack_error(error)


def run_parts(head: bytes, body: bytes | memoryview) -> bytes | Pieces:
    """`run_packed` for a call in the two pieces that `pack_parts` gave; never raises.

    A large outcome comes in pieces, some of which are the value's own memory: send them, one behind the
    other, before anything else runs.
    """
    try:
        callee = _callees.get(head) or _open_head(head)
        return _call(callee, body, pack_value)
    except BaseException as error:  # noqa: BLE001 - the user's function, and everything it may do to us
        return _ERROR + pack_error(error)


def pack_raised(error: BaseException) -> bytes:
    """The outcome of a call that raised this; never raises."""
    return _ERROR + pack_error(error)


def unpack_outcome(data: bytes | memoryview, attempt: AttemptId, name: str = "?") -> Returned | Raised:
    """The outcome that `run_packed` or `run_parts` gave.

    Never raises, except for a Ctrl-C in the main thread: a value whose unpickling raises harms only its
    own attempt.

    Args:
        data: What they returned; pieces put together.
        attempt: The attempt that it belongs to.
        name: The app's name, for messages.
    """
    if data == _NONE:
        return Returned(attempt, None)
    try:
        if data[0] == _ERROR_CODE:
            return Raised(attempt, unpack_error(memoryview(data)[1:]))
        return Returned(attempt, unpack_value(data))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        trouble = UnpicklingError(f"the result of app {name!r}", "result", error)
        trouble.__cause__ = error
        return Raised(attempt, trouble)


def _origin() -> bytes:
    return _ORIGIN + os.getpid().to_bytes(8, "big")


def _make_head(launch: Launch) -> bytes:
    function = launch.function
    try:
        pickled = dumps(function)
    except Exception as error:  # noqa: BLE001 - what the function refers to has code of its own
        path, reason = find_unpicklable(function, launch.name)
        raise PicklingError(
            f"the function of app {launch.name!r}", path, reason or reason_of(error)
        ) from None
    inner = pickle.dumps((_origin(), launch.name, pickled), PROTOCOL)
    data = len(inner).to_bytes(_LENGTH, "big") + inner
    if _is_constant(function):
        key = id(function)

        def forget(dead: weakref.ref[Any]) -> None:
            known = _heads.get(key)
            if known is not None and known.function is dead:
                del _heads[key]

        _heads[key] = _Head(weakref.ref(function, forget), launch.name, data)
    return data


def _is_constant(function: Any) -> bool:
    """Whether it holds no state that a caller expects to be sent as it is at each call."""
    if isinstance(function, types.BuiltinFunctionType):
        return function.__self__ is None or isinstance(function.__self__, types.ModuleType)
    return isinstance(function, types.FunctionType | type)


def _argument_error(launch: Launch, error: Exception) -> PicklingError:
    named = [(f"args[{index}]", value) for index, value in enumerate(launch.args)]
    named += [(f"kwargs[{key!r}]", value) for key, value in launch.kwargs.items()]
    what = f"argument of app {launch.name!r}"
    for root, value in named:
        path, reason = find_unpicklable(value, root)
        if reason:
            return PicklingError(what, path, reason)
    return PicklingError(what, "one of them", reason_of(error))


def _run(data: bytes) -> bytes:
    start = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    head = data[:start]
    return _call(_callees.get(head) or _open_head(head), memoryview(data)[start:], dumps)


def _call(callee: _Callee, body: bytes | memoryview, pack: Callable[[Any], _Packed]) -> bytes | _Packed:
    if body == _NO_ARGUMENTS:
        value = callee.function()
    else:
        try:
            args, kwargs = unpack_value(body)
        except Exception as error:
            raise UnpicklingError(f"argument of app {callee.name!r}", "args", error) from error
        del body  # it may be large, and the function may run for hours
        value = callee.function(*args, **kwargs)
    if value is None:
        return _NONE
    try:
        packed = pack(value)
    except Exception as error:  # noqa: BLE001 - the value's own code runs in there
        path, reason = find_unpicklable(value, "result")
        raise PicklingError(f"the result of app {callee.name!r}", path, reason or reason_of(error)) from None
    try_out(value, packed)
    return packed


def _open_head(head: bytes) -> _Callee:
    origin, name, pickled = pickle.loads(memoryview(head)[_LENGTH:])
    if origin != _origin():
        enter_worker()
    try:
        callee = _Callee(pickle.loads(pickled), name)
    except Exception as error:
        raise UnpicklingError(f"the function of app {name!r}", "function", error) from error
    if len(head) <= _MOST_CACHED_BYTES:
        if len(_callees) >= _MOST_CALLEES:
            _callees.clear()
        _callees[head] = callee
    return callee
