"""Writes what tasks print, in a thread of its own: a terminal that is blocked must not block the kernel."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import stat
import struct
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TextIO

from fanflow.model.attempts import AttemptEvent
from fanflow.spi.executor import EventSink, Loop

_log = logging.getLogger("fanflow.pilot")

_MOST_CHARS: Final = 1 << 20
"""Text that waits; what comes beyond that is dropped and counted."""

_HOLD_S: Final = 0.2
"""Seconds for which an outcome waits for what its task has printed."""

_CLOSE_S: Final = 1.0
"""Seconds to write what waits at the end."""

_PIECE_CHARS: Final = 1024
"""Written at a time: at most 4096 bytes, which fit into whatever says that it takes more."""

_LOOK_S: Final = 0.05
_PIPE_ROOM: Final = 1 << 14
"""Bytes; a write may take with it what lies in the stream's own buffer."""


class _Text(NamedTuple):
    mark: str
    text: str
    is_error: bool


class _Held(NamedTuple):
    event: AttemptEvent
    due: float


class Printer:
    """A queue and a thread, which is started by the first text. `show` is for the kernel thread only.

    Args:
        sink: Takes outcomes that had to wait for text.
        loop: The kernel thread's.
    """

    def __init__(self, sink: EventSink, loop: Loop) -> None:
        self._sink, self._loop = sink, loop
        self._change = threading.Condition()
        self._queue: deque[_Text | int] = deque()
        """Texts, and numbers of held outcomes."""
        self._held: dict[int, _Held] = {}
        self._number = 0
        self._chars = 0
        self._dropped = 0
        self._is_writing = False
        self._is_watching = False
        self._closes_at: float | None = None
        self._is_broken = False
        self._thread: threading.Thread | None = None

    def show(self, mark: str, text: str, *, is_error: bool) -> None:
        """Write these lines, each after its mark, to where `sys.stdout` or `sys.stderr` leads by then."""
        with self._change:
            if self._chars + len(text) > _MOST_CHARS or self._closes_at is not None:
                self._dropped += text.count("\n") or 1
                return
            self._queue.append(_Text(mark, text, is_error))
            self._chars += len(text)
            self._change.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fanflow-printing", daemon=True)
            self._thread.start()
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_at(self._loop.now() + _HOLD_S, self._watch)

    def report(self, event: AttemptEvent) -> None:
        """Report an outcome behind what its task has printed, unless that takes too long. Any thread."""
        with self._change:
            if (self._queue or self._is_writing) and self._closes_at is None:
                self._number += 1
                self._held[self._number] = _Held(event, time.monotonic() + _HOLD_S)
                self._queue.append(self._number)
                return
        self._sink([event])

    def close(self) -> None:
        """Write what waits, but for a second at most."""
        with self._change:
            self._closes_at = time.monotonic() + _CLOSE_S
            self._change.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_S + 2 * _LOOK_S)
        self._release(lambda held: True)

    # -- kernel thread --------------------------------------------------------------------------

    def _watch(self) -> None:
        """Outcomes do not wait for a terminal for long."""
        now = time.monotonic()
        self._release(lambda held: held.due <= now)
        with self._change:
            self._is_watching = bool(self._queue) or self._is_writing
        if self._is_watching:
            self._loop.call_at(self._loop.now() + _HOLD_S / 2, self._watch)

    def _release(self, is_due: Callable[[_Held], bool]) -> None:
        with self._change:
            numbers = [number for number, held in self._held.items() if is_due(held)]
            events = [self._held.pop(number).event for number in numbers]
        if events:
            self._sink(events)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if isinstance(job, _Text):
                self._say_what_was_left_out()
                self._write(job)
            else:
                with self._change:
                    held = self._held.pop(job, None)
                if held is not None:
                    self._sink([held.event])
        self._say_what_was_left_out()

    def _next(self) -> _Text | int | None:
        """The next of the queue; None at the end."""
        with self._change:
            self._is_writing = False
            while not self._queue and self._closes_at is None:
                self._change.wait()
            if not self._queue:
                return None
            job = self._queue.popleft()
            if isinstance(job, _Text):
                self._chars -= len(job.text)
                self._is_writing = True
            return job

    def _say_what_was_left_out(self) -> None:
        with self._change:
            lines, self._dropped = self._dropped, 0
        if lines:
            text = f"[... {lines} lines that tasks printed are left out here; the workers' logs have them]\n"
            self._write(_Text("", text, is_error=True))

    def _write(self, what: _Text) -> None:
        for piece in _pieces(what):
            stream: TextIO | None = sys.stderr if what.is_error else sys.stdout  # whatever they are by now
            if stream is None:
                return
            try:
                if not self._wait_for_room(stream):
                    self._dropped += piece.count("\n")
                    continue
                _write_in_its_encoding(stream, piece)
            except BaseException as error:  # noqa: BLE001 - a closed file, a full disk, a stream of the user's
                if not self._is_broken:
                    self._is_broken = True
                    _log.warning("what tasks print cannot be written to %r: %r", stream, error)

    def _wait_for_room(self, stream: TextIO) -> bool:
        """Whether it takes a piece now. Blocking inside a write would keep the stream's lock at exit."""
        try:
            descriptor = stream.fileno()
        except (AttributeError, OSError, ValueError):
            return True  # in memory, in a notebook; a closed one raises when it is written to
        while not _has_room(descriptor):
            if self._closes_at is not None and time.monotonic() > self._closes_at:
                return False
            threading.Event().wait(_LOOK_S)
        return True


def _pieces(what: _Text) -> Iterator[str]:
    """Marked lines, a few at a time."""
    piece = ""
    for line in what.text.split("\n")[: -1 if what.text.endswith("\n") else None]:
        marked = f"{what.mark}{line}\n"
        if piece and len(piece) + len(marked) > _PIECE_CHARS:
            yield piece
            piece = ""
        piece += marked
        while len(piece) > _PIECE_CHARS:
            yield piece[:_PIECE_CHARS]
            piece = piece[_PIECE_CHARS:]
    if piece:
        yield piece


def _write_in_its_encoding(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _has_room(descriptor: int) -> bool:
    """Whether a piece can be written without blocking.

    Raises:
        BrokenPipeError: Nobody will ever read it.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    events = dict(poll.poll(0)).get(descriptor, 0)
    if events & (select.POLLERR | select.POLLNVAL):
        raise BrokenPipeError(f"descriptor {descriptor} leads nowhere")
    if not events & select.POLLOUT:
        return False
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return True
    waiting = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
    size = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    return bool(size - waiting >= min(_PIPE_ROOM, size))
