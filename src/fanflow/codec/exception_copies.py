"""Bytes from which an exception comes back as itself, tried out where it was raised."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from fanflow.codec.pickling import PROTOCOL, dumps
from fanflow.errors import FanflowError

MOST_TEXT = 65_536
"""Characters kept of any one text that an exception carries."""

_HEAP_TYPE = 1 << 9
"""Flag of classes that were made by a class statement."""


class Shown(str):
    """Stands for an argument of an exception that could not be sent: prints as it printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str.__str__(self)


def text_of(error: BaseException) -> str:
    """The exception's text, bounded, even when asking for it raises."""
    try:
        return cut(str(error))
    except BaseException as trouble:  # noqa: BLE001 - the exception's own code
        return f"<no text: __str__ raised {type(trouble).__name__}>"


def cut(text: str) -> str:
    """The text, an exact `str`, its middle left out beyond `MOST_TEXT` characters."""
    size = len(text)
    if size <= MOST_TEXT:
        return str.__getitem__(text, slice(None))
    half = MOST_TEXT // 2
    head = str.__getitem__(text, slice(0, half))
    tail = str.__getitem__(text, slice(size - half, size))
    return f"{head}\n... ({size - 2 * half} characters left out) ...\n{tail}"


def copy_bytes(error: BaseException) -> tuple[bytes | None, list[str]]:
    """Pickle of an exception that has been shown to unpickle as the same type with the same text.

    Three ways are tried: as it pickles by itself; without its constructor, whose parameters need not
    match `args`; and the latter without the attributes that cannot be sent and with long texts cut.

    Returns:
        The bytes, or None when no way works; and the names of attributes that had to be left out.
    """
    is_long = any(isinstance(arg, str) and len(arg) > MOST_TEXT for arg in _args_of(error))
    if not is_long:
        for form in (_by_itself, _without_constructor):
            data = _tried(error, form, check=_is_same)
            if data is not None:
                return data, []
    left_out: list[str] = []
    return _tried(error, lambda it: _reduced_to_what_travels(it, left_out), check=_reads_same), left_out


def _tried(
    error: BaseException,
    form: Callable[[BaseException], bytes],
    check: Callable[[BaseException, BaseException], bool],
) -> bytes | None:
    try:
        data = form(error)
        return data if check(error, pickle.loads(data)) else None
    except BaseException:  # noqa: BLE001 - the exception's own code; the next form may do
        return None


def _is_same(error: BaseException, copy: BaseException) -> bool:
    if not _reads_same(error, copy) or len(_args_of(copy)) != len(_args_of(error)):
        return False
    if not vars(error).keys() <= vars(copy).keys():
        return False
    return all(getattr(copy, name) == value for name, value in _slots(error))


def _reads_same(error: BaseException, copy: BaseException) -> bool:
    if type(copy) is not type(error):
        return False
    text = text_of(copy)
    return text == text_of(error) or len(text) > MOST_TEXT // 2


def _by_itself(error: BaseException) -> bytes:
    return dumps(error)


def _without_constructor(error: BaseException) -> bytes:
    return _dumps_without_constructors(error)


def _reduced_to_what_travels(error: BaseException, left_out: list[str]) -> bytes:
    cls, args, state = _taken_apart(error)
    sent = {name: value for name, value in state.items() if _travels(value)}
    left_out[:] = [name for name in state if name not in sent]
    return _dumps_without_constructors(_Substitute(cls, _sendable_args(args), sent))


def _sendable_args(args: tuple[Any, ...]) -> tuple[Any, ...]:
    sendable: list[Any] = []
    for arg in args:
        if isinstance(arg, str) and len(arg) > MOST_TEXT:
            sendable.append(cut(arg))
        elif _travels(arg):
            sendable.append(arg)
        else:
            sendable.append(Shown(cut(str(arg) if len(args) == 1 else repr(arg))))
    return tuple(sendable)


def _travels(value: Any) -> bool:
    try:
        pickle.loads(dumps(value))
    except BaseException:  # noqa: BLE001 - the value's own code
        return False
    return True


class _Substitute:
    """Pickles as the exception with these arguments and attributes."""

    def __init__(self, cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> None:
        self._reduced = (make_exception, (cls, args), state, None, None, set_attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def _dumps_without_constructors(value: Any) -> bytes:
    file = io.BytesIO()
    _pickler_class()(file, PROTOCOL).dump(value)
    return file.getvalue()


@functools.cache
def _pickler_class() -> Any:
    cloudpickle: Any = importlib.import_module("cloudpickle")  # late, as in `pickling`

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # its base has no type stubs
        """Takes exceptions apart itself, members of groups and those in attributes too."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, BaseException) and not isinstance(obj, FanflowError):
                cls, args, state = _taken_apart(obj)
                return make_exception, (cls, args), state, None, None, set_attributes
            base: Any = super()
            return base.reducer_override(obj)

    return Pickler


def make_exception(cls: Any, args: tuple[Any, ...]) -> BaseException:
    """An exception of this class with these `args`; its own `__init__` is not called.

    Raises:
        TypeError: `cls` is no exception class.
    """
    if not (isinstance(cls, type) and issubclass(cls, BaseException)):
        raise TypeError(f"{cls!r} is not an exception class")
    native: Any = _native(cls)
    error: BaseException = native.__new__(cls, *args)
    native.__init__(error, *args)  # fills what C code keeps, such as errno
    return error


def set_attributes(error: BaseException, state: dict[str, Any]) -> None:
    """Put back what `make_exception` does not: attributes and slots."""
    native = _native(type(error))
    for name, value in state.items():
        try:
            native.__setattr__(error, name, value)  # past a __setattr__ that forbids it
        except (AttributeError, TypeError):
            error.__dict__[name] = value


def _taken_apart(error: BaseException) -> tuple[type[BaseException], tuple[Any, ...], dict[str, Any]]:
    cls = type(error)
    _, args, *rest = _native(cls).__reduce__(error)
    state: dict[str, Any] = dict(rest[0]) if rest and rest[0] else {}
    state.update(_slots(error))
    return cls, args, state


def _args_of(error: BaseException) -> tuple[Any, ...]:
    args: tuple[Any, ...] = object.__getattribute__(error, "args")  # past a class's own idea of it
    return args


def _native(cls: type[BaseException]) -> Any:
    """The nearest base that is written in C: it knows how `args` become fields."""
    return next(base for base in cls.__mro__ if not base.__flags__ & _HEAP_TYPE)


def _slots(error: BaseException) -> Iterator[tuple[str, Any]]:
    for base in type(error).__mro__:
        names = base.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            private = name.startswith("__") and not name.endswith("__")
            stored = f"_{base.__name__.lstrip('_')}{name}" if private else name
            with contextlib.suppress(AttributeError):
                yield stored, getattr(error, stored)
