"""Opens what a bash app's stdout and stderr are redirected to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import NamedTuple, Self, cast

from fanflow.errors import BadStdStreamFile
from fanflow.model.files import File

TAIL_BYTES = 8192
"""How much of standard error an exception carries at most."""

TAIL_LINES = 20

_FLAGS = {
    "a": os.O_CREAT | os.O_APPEND,
    "w": os.O_CREAT | os.O_TRUNC,
    "x": os.O_CREAT | os.O_EXCL,
    "r": 0,
}


class Target(NamedTuple):
    """A file to redirect to, and how to open it."""

    path: str
    flags: int


def target_of(stream: str, wanted: object) -> Target | None:
    """What a value of `stdout` or `stderr` means.

    Args:
        stream: `stdout` or `stderr`, for messages.
        wanted: None, a path (appended to), a File (overwritten), or a pair of path and `open` mode.

    Raises:
        BadStdStreamFile: It is something else, or a mode that cannot write.
    """
    if wanted is None:
        return None
    mode = "w" if isinstance(wanted, File) else "a+"
    place = wanted
    if isinstance(wanted, tuple):
        pair = cast("tuple[object, ...]", wanted)
        if len(pair) != 2 or not isinstance(pair[1], str):
            raise BadStdStreamFile(f"{stream}={wanted!r}: a tuple has to be (path, mode)")
        place, mode = pair[0], pair[1]
    if not isinstance(place, str | os.PathLike):
        raise BadStdStreamFile(
            f"{stream}={wanted!r}: takes a path, a (path, mode) tuple, a File or AUTO_LOGNAME, "
            f"not {type(place).__name__}"
        )
    try:
        path = os.fsdecode(cast("str | os.PathLike[str]", place))
    except ValueError as error:  # a remote File that has not been staged
        raise BadStdStreamFile(f"{stream}: {error}") from error
    return Target(path, _flags(stream, path, mode))


def _flags(stream: str, path: str, mode: str) -> int:
    kind = mode.translate({ord(mark): None for mark in "+bt"})
    if kind not in _FLAGS or (kind == "r" and "+" not in mode) or len(mode) != len(set(mode)):
        raise BadStdStreamFile(
            f"{path}: {stream} was given mode {mode!r}, which cannot write; use 'a' or 'w'"
        )
    return _FLAGS[kind] | (os.O_RDWR if "+" in mode else os.O_WRONLY)


class Streams:
    """The open files of one command; closes them when left.

    Args:
        stdout: Where standard output goes, or None for that of the worker.
        stderr: Where standard error goes, or None.

    Raises:
        BadStdStreamFile: A file cannot be opened; the message names it and the reason.
    """

    __slots__ = ("_start", "_stderr_target", "stderr", "stdout")

    def __init__(self, stdout: Target | None, stderr: Target | None) -> None:
        self.stdout: int | None = None
        self.stderr: int | None = None
        self._stderr_target = stderr
        self._start = 0
        try:
            if stdout is not None:
                self.stdout = _open(stdout)
            if stderr is not None:
                self.stderr = self._shared(stderr) or _open(stderr)
        except BaseException:
            self.close()
            raise

    def _shared(self, stderr: Target) -> int | None:
        """Descriptor of stdout if stderr is the same file: with two, each would write over the other."""
        if self.stdout is None:
            return None
        try:
            if not os.path.samestat(os.stat(stderr.path), os.fstat(self.stdout)):
                return None
        except (OSError, ValueError):
            return None
        if stderr.flags & os.O_TRUNC:
            with contextlib.suppress(OSError):
                os.ftruncate(self.stdout, 0)
        return self.stdout

    def write_header(self, command: bytes) -> None:
        """Begins standard error, if it is redirected, with the command. A full disk stops no task."""
        if self.stderr is None:
            return
        header = b"--> executable follows <--\n" + command + b"\n--> end executable <--\n"
        with contextlib.suppress(OSError):
            os.write(self.stderr, header)
        self._start = _position(self.stderr)

    @property
    def stderr_path(self) -> str | None:
        """Where standard error is redirected to."""
        return None if self._stderr_target is None else self._stderr_target.path

    def stderr_tail(self) -> bytes:
        """End of what was written to the redirected standard error since the header."""
        if self.stderr is None or self._stderr_target is None:
            return b""
        try:
            reader = os.open(self._stderr_target.path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            found, ours = os.fstat(reader), os.fstat(self.stderr)
            if not stat.S_ISREG(found.st_mode) or not os.path.samestat(found, ours):
                return b""
            start = max(self._start, found.st_size - TAIL_BYTES)
            return os.pread(reader, TAIL_BYTES, start)
        except OSError:
            return b""
        finally:
            os.close(reader)

    def close(self) -> None:
        """Closes both files. Idempotent."""
        descriptors = {self.stdout, self.stderr} - {None}
        self.stdout = self.stderr = None
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def last_lines(tail: bytes) -> str:
    """The last lines of a tail as text; what is no UTF-8 is shown as replacement characters."""
    return "\n".join(tail.decode(errors="replace").rstrip("\n").split("\n")[-TAIL_LINES:])


def _open(target: Target) -> int:
    try:
        try:
            descriptor = os.open(target.path, target.flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target.path) or ".", exist_ok=True)
            descriptor = os.open(target.path, target.flags, 0o666)
        if descriptor > 2:
            return descriptor
        try:  # this process runs without some standard stream; the child's must not be mixed up
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BadStdStreamFile(f"{target.path}: {error.strerror}") from error
    except ValueError as error:
        raise BadStdStreamFile(f"{target.path!r}: {error}") from error


def _position(descriptor: int) -> int:
    """Where the next byte goes; 0 for what has no positions."""
    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    try:
        return os.lseek(descriptor, 0, os.SEEK_END if appends else os.SEEK_CUR)
    except OSError:
        return 0
