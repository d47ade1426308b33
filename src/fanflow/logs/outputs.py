"""Attaches outputs to loggers, without disturbing what the program itself has set up.

Any thread may call these functions; each returns a callable that undoes it, idempotent and from any
thread.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from io import TextIOWrapper
from typing import TextIO

from fanflow.errors import ConfigurationError
from fanflow.logs import LOGGER_NAME

DEFAULT_FORMAT = (
    "%(created)f %(asctime)s %(processName)s-%(process)d %(threadName)s-%(thread)d "
    "%(name)s:%(lineno)d %(funcName)s %(levelname)s: %(message)s"
)
"""What `set_file_logger` writes (text of the public contract)."""

STREAM_FORMAT = "%(asctime)s %(name)s:%(lineno)d [%(levelname)s]  %(message)s"
"""What `set_stream_logger` writes (text of the public contract)."""

DATE_FORMAT = "%Y-%m-%d %H:%M:%S"

Detach = Callable[[], None]
"""Ends what was begun. Calling it again does nothing."""

_FUTURES_LOGGER = "concurrent.futures"

_lock = threading.Lock()
_taps: dict[str, _Tap] = {}
_top = LOGGER_NAME


class _Relay(logging.Handler):
    """Passes on to the outer loggers what they would have got without our handlers."""

    def __init__(self, tap: _Tap) -> None:
        super().__init__()
        self._tap = tap

    def createLock(self) -> None:  # noqa: N802 - name of the standard library
        # Held while outer handlers run, a lock of ours could be taken in the opposite order elsewhere.
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        self._tap.pass_on(record)


class _Tap:
    """The outputs attached to one logger.

    They need the logger's level lowered. Lowered it would also send more to the handlers that the
    program has put on outer loggers, so while outputs are attached a relay stands in for propagation.
    Changed only under the module's lock.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._outputs: list[logging.Handler] = []
        self._relay = _Relay(self)
        self._level_before = logging.NOTSET
        self._level_set = logging.NOTSET
        self._propagate_before = True

    def add(self, output: logging.Handler) -> None:
        if not self._outputs:
            self._level_before, self._propagate_before = self._logger.level, self._logger.propagate
            self._level_set = self._level_before
            self._logger.addHandler(self._relay)
            self._logger.propagate = False
        self._outputs.append(output)
        self._logger.addHandler(output)
        self._adjust_level()

    def remove(self, output: logging.Handler) -> None:
        self._logger.removeHandler(output)
        self._outputs.remove(output)
        if self._outputs:
            self._adjust_level()
            return
        self._logger.removeHandler(self._relay)
        self._logger.propagate = self._propagate_before
        if self._logger.level == self._level_set:  # otherwise the program has set one of its own since
            self._logger.setLevel(self._level_before)

    def pass_on(self, record: logging.LogRecord) -> None:
        outer = self._logger.parent
        if outer is None or not self._propagate_before or not outer.hasHandlers():
            return
        if record.levelno >= self._outer_level() or self._has_level_of_its_own(record.name):
            outer.callHandlers(record)

    def _adjust_level(self) -> None:
        if self._logger.level != self._level_set:
            return
        wanted = min([self._outer_level(), *(output.level for output in self._outputs)])
        self._level_set = max(wanted, 1)  # 0 would mean "as the outer logger"
        self._logger.setLevel(self._level_set)

    def _outer_level(self) -> int:
        own = self._level_before if self._logger.level == self._level_set else self._logger.level
        if own:
            return own
        return self._logger.parent.getEffectiveLevel() if self._logger.parent else logging.WARNING

    def _has_level_of_its_own(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None and logger is not self._logger:
            if logger.level:
                return True
            logger = logger.parent
        return False


def _attach(output: logging.Handler, name: str) -> Detach:
    futures_logger = logging.getLogger(_FUTURES_LOGGER)
    with _lock:
        tap = _taps.get(name)
        if tap is None:
            tap = _taps[name] = _Tap(logging.getLogger(name))
        tap.add(output)
        if name != _FUTURES_LOGGER:
            futures_logger.addHandler(output)
    attached = [output]

    def detach() -> None:
        with _lock:
            if not attached:
                return
            attached.clear()
            tap.remove(output)
            futures_logger.removeHandler(output)
        output.close()

    return detach


class _PrivateFileHandler(logging.FileHandler):
    """Appends to a file that only its owner can read; a full disk is reported once, not per line."""

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self._failed = False
        path = os.path.abspath(filename)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            super().__init__(path, mode="a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise ConfigurationError(
                f"log file {path!r} cannot be opened ({error.strerror}); "
                f"name a file in a directory that you can write to"
            ) from error

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, 0o600)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - name of the standard library
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._report(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        if self._failed or sys.stderr is None:
            return
        self._failed = True
        message = f"fanflow: cannot write to log file {self.baseFilename}: {error.strerror}; lines are lost"
        print(message, file=sys.stderr)


def set_stream_logger(
    name: str = LOGGER_NAME,
    level: int | str = logging.DEBUG,
    format_string: str | None = None,
    stream: TextIO | None = None,
) -> Detach:
    """Shows log records on a stream.

    Args:
        name: The logger; records of `concurrent.futures` are shown as well.
        level: The least level shown.
        format_string: As for `logging.Formatter`; None for `STREAM_FORMAT`.
        stream: Where to; None for standard error.

    Returns:
        A callable that ends it. The stream stays open.

    Raises:
        ValueError: `level` or `format_string` is none that `logging` knows.
    """
    return _attach(_prepared(logging.StreamHandler(stream), level, format_string or STREAM_FORMAT), name)


def set_file_logger(
    filename: str | os.PathLike[str],
    name: str = LOGGER_NAME,
    level: int | str = logging.DEBUG,
    format_string: str | None = None,
) -> Detach:
    """Appends log records to a file, which is made with mode 0600 if it is not there.

    Args:
        filename: The file; missing directories are made.
        name: The logger; records of `concurrent.futures` are written as well.
        level: The least level written.
        format_string: As for `logging.Formatter`; None for `DEFAULT_FORMAT`.

    Returns:
        A callable that ends it and closes the file.

    Raises:
        ConfigurationError: The file cannot be opened.
        ValueError: `level` or `format_string` is none that `logging` knows.
    """
    formatter = logging.Formatter(format_string or DEFAULT_FORMAT, DATE_FORMAT)
    return attach_file(filename, name, level, formatter)


def _prepared(output: logging.Handler, level: int | str, format_string: str) -> logging.Handler:
    output.setLevel(level)
    output.setFormatter(logging.Formatter(format_string, DATE_FORMAT))
    return output


def attach_file(
    filename: str | os.PathLike[str], name: str, level: int | str, formatter: logging.Formatter
) -> Detach:
    """`set_file_logger`, with a formatter."""
    output = _PrivateFileHandler(filename)
    try:
        output.setLevel(level)
    except (TypeError, ValueError):
        output.close()
        raise
    output.setFormatter(formatter)
    return _attach(output, name)


def place_under(name: str) -> None:
    """Makes the logger `fanflow` a child of logger `name`, so that what is set there holds for ours.

    `place_under("fanflow")` undoes it. The alias for existing programs uses it: they set up the logger
    of the library they were written for.
    """
    global _top
    with _lock:
        _top = name
        ours = logging.getLogger(LOGGER_NAME)
        if name == LOGGER_NAME:
            ours.parent = logging.getLogger()
            return
        outer = logging.getLogger(name)
        if not outer.handlers:
            outer.addHandler(logging.NullHandler())
        ours.parent = outer


def top_logger_name() -> str:
    """The logger to attach to: `fanflow`, or the one that it was placed under."""
    return _top
