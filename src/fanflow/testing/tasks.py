"""The functions that the conformance suite runs; importable by name wherever attempts run."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from concurrent.futures import CancelledError
from typing import NoReturn

from fanflow.codec.stoppable import register
from fanflow.testing.evil import FACTORIES, SealedValue, TrappedValue, make_nested
from fanflow.testing.gates import announce


def echo(value: object) -> object:
    """Gives back its argument."""
    return value


def add(left: int, right: int) -> int:
    """Adds two numbers."""
    return left + right


def describe_call(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    """Gives back what it was called with."""
    return args, kwargs


def digest(data: bytes) -> str:
    """SHA-256 of the data."""
    return hashlib.sha256(data).hexdigest()


def make_bytes(size: int) -> bytes:
    """That many bytes, no two pages alike."""
    line = b"".join(number.to_bytes(4, "big") for number in range(1024))
    return b"".join(page.to_bytes(8, "big") + line[8:] for page in range(size // len(line) + 1))[:size]


def mark(path: str, name: str) -> str:
    """Appends a line to a file, so that the test knows who ran."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{name}\n".encode())
    finally:
        os.close(descriptor)
    return name


def loop_while_exists(path: str) -> str:
    """Runs in short steps until the file is gone."""
    while os.path.exists(path):
        time.sleep(0.01)
    return path


def wait_until_stopped(gate_directory: str) -> NoReturn:
    """Waits as a bash app waits for its command, until it is told to stop."""
    stopped = threading.Event()
    with register(stopped.set):
        announce(gate_directory, "command")
        stopped.wait(60)
    raise CancelledError("stopped" if stopped.is_set() else "nobody stopped it")


def count_to(number: int) -> int:
    """Runs Python code for a moment."""
    counted = 0
    for _ in range(number):
        counted += 1
    return counted


def raise_value_error(message: str) -> NoReturn:
    """Raises an ordinary error."""
    raise ValueError(message)


def raise_chained(message: str) -> NoReturn:
    """Raises an error that was caused by another."""
    try:
        raise_value_error(message)
    except ValueError as error:
        raise LookupError("found nothing") from error


def raise_made_by(factory_name: str) -> NoReturn:
    """Raises one of the exceptions of `fanflow.testing.evil`."""
    error = FACTORIES[factory_name]()
    raise error


def exit_process(status: int) -> NoReturn:
    """Calls `sys.exit`."""
    sys.exit(status)


def interrupt() -> NoReturn:
    """Raises what Ctrl-C raises."""
    raise KeyboardInterrupt


def die(status: int) -> NoReturn:
    """Ends its process without any clean-up."""
    os._exit(status)


def kill_own_process(signal_number: int) -> None:
    """Sends its process a signal."""
    os.kill(os.getpid(), signal_number)


def make_lock() -> object:
    """Returns what cannot be pickled."""
    return threading.Lock()


def make_exception(message: str) -> ValueError:
    """Returns an exception as a value."""
    return ValueError(message)


def make_sealed() -> object:
    """Returns what can be pickled and cannot be unpickled."""
    return SealedValue()


def make_trap() -> object:
    """Returns what calls `sys.exit` when it is unpickled."""
    return TrappedValue()


def make_deep(depth: int) -> object:
    """Returns a list in a list in a list."""
    return make_nested(depth)


def take_nothing_from(value: object) -> None:
    """Takes an argument and keeps nothing of it."""
