"""Apps whose arguments, results and errors do harm to whoever unpickles them."""

import ctypes
import importlib
import os
import sys
import threading
import types
from collections.abc import Callable
from typing import NoReturn

from fanflow import python_app
from fanflow.testing import evil
from tests.unit import evil_exceptions

CLIENT_MAY_GO_ON = threading.Event()
"""What blocks the client's unpickling waits for it."""


class Made:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._reduced = (function, args)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._reduced


class Plain:
    """A class like any other."""

    def __init__(self, value: object) -> None:
        self.value = value


def wait_at_client(client: int) -> str:
    """Block in one process only."""
    if os.getpid() == client:
        CLIENT_MAY_GO_ON.wait(30)
    return "went on"


def crash() -> None:
    ctypes.string_at(0)


def grow() -> bytearray:
    """What takes a few bytes to send, and more than there is to rebuild."""
    return bytearray(1 << 50)


@python_app
def add(a: int) -> int:
    return a + 1


@python_app
def raise_case(number: int) -> NoReturn:
    raise evil_exceptions.CASES[number].make()


@python_app
def raise_made(name: str) -> NoReturn:
    error = evil.FACTORIES[name]()
    raise error


@python_app
def raise_of_missing_module() -> NoReturn:
    module = types.ModuleType("only_on_the_worker")
    sys.modules[module.__name__] = module
    cls = type("FleetingError", (Exception,), {"__module__": module.__name__})
    module.FleetingError = cls  # type: ignore[attr-defined]  # a module made by hand
    raise cls("here today")


@python_app
def return_of_missing_module() -> object:
    module = types.ModuleType("only_on_the_worker")
    sys.modules[module.__name__] = module
    module.Fleeting = type("Fleeting", (), {"__module__": module.__name__})  # type: ignore[attr-defined]
    return module.Fleeting()


@python_app
def return_sealed() -> object:
    return evil.SealedValue()


@python_app
def return_trapped() -> object:
    return evil.TrappedValue()


@python_app
def return_made(module: str, name: str, *args: object) -> object:
    return Made(getattr(importlib.import_module(module), name), *args)


@python_app
def return_lock() -> object:
    return {"deep": [1, threading.Lock()]}


@python_app
def return_nested(depth: int, limit: int | None = None) -> object:
    if limit is not None:
        sys.setrecursionlimit(limit)
    return evil.make_nested(depth)


@python_app
def return_plain(value: object) -> Plain:
    return Plain(value)
