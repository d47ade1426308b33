"""What tasks write to `sys.stdout` and `sys.stderr`: into the worker's log, and marked to the client."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

BYTES_PER_SECOND: Final = 1 << 16
"""Text that a worker sends to the client, at most. The log has everything."""

_SENDINGS_PER_SECOND: Final = 10
_MOST_SENDINGS: Final = 10
"""Sendings in quick succession while tasks run: a line that waited for the next might wait for hours."""

_MOST_AT_ONCE: Final = 1 << 15

_STDOUT, _STDERR = 1, 2

Send = Callable[[str, bool], None]
"""Takes text and whether it is of standard error."""


class TaskOutput:
    """Both streams of a worker.

    Threads may write at any time. Only the main thread sends, in the middle of a `write` of its own
    or between two tasks.

    Args:
        send: Passes text on to the manager; called by the main thread.
        log: Path of the worker's log, for the line that says what was left out.
    """

    def __init__(self, send: Send, log: str) -> None:
        self.has_text = False
        """Whether `flush_task` has something to do."""
        self.is_cut_off = False
        """Whether some task has closed the descriptor of a stream."""
        self._send = send
        self._log = log
        self._main = threading.get_ident()
        self._pending: list[tuple[bool, str]] = []
        self._pending_chars = 0
        self._dropped_lines = 0
        self._credit: float = BYTES_PER_SECOND
        self._sendings: float = _MOST_SENDINGS
        self._refilled = time.monotonic()
        self._is_sending = False
        self._is_off = False

    def install(self) -> None:
        """Put itself in place of the two streams of this process."""
        sys.stdout = _Stream(self, _STDOUT)
        sys.stderr = _Stream(self, _STDERR)

    def switch_off(self) -> None:
        """In a child that a task has forked: its text goes to the log only."""
        self._is_off = True
        self._pending.clear()
        self.has_text = False

    def take(self, text: str, *, is_error: bool) -> None:
        """Text was written."""
        if self._is_off or not text:
            return
        if self._pending_chars > BYTES_PER_SECOND:
            self._dropped_lines += text.count("\n")
        else:
            self._pending.append((is_error, text))
            self._pending_chars += len(text)
        self.has_text = True
        if (
            "\n" in text
            and threading.get_ident() == self._main
            and not self._is_sending  # a signal handler that prints, in the middle of a sending
            and self._may_send()
        ):
            self._sendings -= 1
            self._flush(keeps_rest=True)

    def _may_send(self) -> bool:
        self._refill()
        return self._sendings >= 1

    def _refill(self) -> None:
        now = time.monotonic()
        passed, self._refilled = now - self._refilled, now
        self._credit = min(BYTES_PER_SECOND, self._credit + passed * BYTES_PER_SECOND)
        self._sendings = min(_MOST_SENDINGS, self._sendings + passed * _SENDINGS_PER_SECOND)

    def flush_task(self) -> None:
        """Send what is pending, as far as the limit allows: the task has ended. Main thread only."""
        self._flush(keeps_rest=False)

    def _flush(self, *, keeps_rest: bool) -> None:
        self._is_sending = True
        self.has_text = False
        pending, self._pending, self._pending_chars = self._pending, [], 0
        if keeps_rest and pending:  # a line that is not whole yet
            is_error, text = pending.pop()
            whole, newline, rest = text.rpartition("\n")
            pending.append((is_error, whole + newline))
            if rest:
                self._pending.append((is_error, rest))
                self._pending_chars = len(rest)
                self.has_text = True
        dropped, self._dropped_lines = self._dropped_lines, 0
        self._refill()
        for is_error, text in _joined(pending):
            allowed = text[: max(0, int(self._credit))]
            if allowed:
                self._credit -= len(allowed)
                self._send(allowed, is_error)
            dropped += text[len(allowed) :].count("\n")
        if dropped:
            self._send(f"[... {dropped} lines dropped; {self._log} has them]\n", True)
        self._is_sending = False


def _joined(pending: list[tuple[bool, str]]) -> list[tuple[bool, str]]:
    """Neighbours of one stream as one text, none of them very long."""
    joined: list[tuple[bool, str]] = []
    parts: list[str] = []
    for index, (is_error, text) in enumerate(pending):
        parts.append(text)
        if index + 1 == len(pending) or pending[index + 1][0] is not is_error:
            whole = "".join(parts)
            joined += [
                (is_error, whole[at : at + _MOST_AT_ONCE // 4])
                for at in range(0, len(whole), _MOST_AT_ONCE // 4)
            ]
            parts.clear()
    return joined


class _Stream(io.TextIOWrapper):
    """A standard stream that also tells `TaskOutput` what is written. Its `buffer` leads to the log only."""

    def __init__(self, output: TaskOutput, descriptor: int) -> None:
        raw = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
        super().__init__(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
        self._output, self._is_error = output, descriptor == _STDERR

    def write(self, text: str, /) -> int:
        try:
            count = super().write(text)
        except OSError as error:  # a full disk is no concern of whoever prints
            count = len(text)
            self._output.is_cut_off |= error.errno == errno.EBADF
        self._output.take(text, is_error=self._is_error)
        return count

    def close(self) -> None:
        """Nothing: other tasks print, too."""
