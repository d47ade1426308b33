"""Exceptions and values that do not survive the way between processes, or look like something else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from types import MappingProxyType
from typing import NoReturn


class TwoArgumentsError(Exception):
    """Cannot be rebuilt: its constructor takes more than it passes on."""

    def __init__(self, what: str, where: str) -> None:
        self.where = where
        super().__init__(what)


class KeywordOnlyError(Exception):
    """Cannot be rebuilt: its constructor takes a keyword."""

    def __init__(self, *, what: str) -> None:
        super().__init__(f"{what} is wrong")


class UnreducibleError(Exception):
    """Cannot be taken apart."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("this exception refuses to be pickled")


class UnpicklableAttributeError(Exception):
    """Holds something that cannot leave the process."""

    def __init__(self, message: str) -> None:
        self.lock = threading.Lock()
        super().__init__(message)


class SpeechlessError(Exception):
    """Has no text: asking for it raises."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("this exception has no text")

    __repr__ = __str__


class EndOfWorldError(BaseException):
    """Is no `Exception`."""


class SealedValue:
    """Can be pickled, and raises when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return (break_seal, ())


class TrappedError(Exception):
    """Ends whoever rebuilds it, unless they take care."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return (leave, ())


class TrappedValue:
    """Ends whoever unpickles it, unless they take care."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return (leave, ())


class IncomparableValue:
    """Raises when it is compared or asked whether it is true, as arrays do."""

    def __eq__(self, other: object) -> NoReturn:
        raise RuntimeError("this value cannot be compared")

    def __hash__(self) -> NoReturn:
        raise TypeError("this value cannot be hashed")

    def __bool__(self) -> NoReturn:
        raise RuntimeError("this value is neither true nor false")


def break_seal() -> NoReturn:
    """What unpickling a `SealedValue` calls."""
    raise RuntimeError("this value cannot be unpickled")


def leave() -> NoReturn:
    """What unpickling a trap calls."""
    raise SystemExit("a trap")


def make_nested(depth: int) -> list[object]:
    """A list in a list in a list."""
    nested: list[object] = []
    for _ in range(depth):
        nested = [nested]
    return nested


def make_long_chain() -> Exception:
    """An exception with a thousand causes, one behind the other."""
    error = ValueError("0")
    for number in range(1000):
        effect = ValueError(str(number + 1))
        effect.__cause__ = error
        error = effect
    return error


def make_local_error() -> Exception:
    """An exception of a class that no module holds."""

    class LocalError(Exception):
        pass

    return LocalError("made in a function")


def make_circular_error() -> Exception:
    """Two exceptions, each the cause of the other."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def make_group() -> Exception:
    """A group with a member that cannot be rebuilt."""
    return ExceptionGroup("several", [ValueError("one"), TwoArgumentsError("two", "here")])


FACTORIES: Mapping[str, Callable[[], BaseException]] = MappingProxyType(
    {
        "constructor with two arguments": lambda: TwoArgumentsError("broken", "here"),
        "constructor with a keyword": lambda: KeywordOnlyError(what="this"),
        "refuses pickling": lambda: UnreducibleError("no"),
        "unpicklable attribute": lambda: UnpicklableAttributeError("with a lock"),
        "unpicklable argument": lambda: ValueError("with a lock", threading.Lock()),
        "no text": SpeechlessError,
        "local class": make_local_error,
        "circular cause": make_circular_error,
        "a thousand causes": make_long_chain,
        "group": make_group,
        "exits when rebuilt": lambda: TrappedError("a trap"),
        "a megabyte of text": lambda: ValueError("x" * 1_000_000),
        "not an Exception": lambda: EndOfWorldError("over"),
        "GeneratorExit": GeneratorExit,
        "StopIteration": lambda: StopIteration(3),
        "CancelledError": lambda: concurrent.futures.CancelledError("mine"),
        "CancelledError of asyncio": lambda: asyncio.CancelledError("mine"),
        "TimeoutError": lambda: TimeoutError("mine"),
        "BrokenProcessPool": lambda: BrokenProcessPool("mine"),
        "MemoryError": lambda: MemoryError("mine"),
        "RecursionError": lambda: RecursionError("mine"),
    }
)
"""Makers of exceptions by a name for messages."""
