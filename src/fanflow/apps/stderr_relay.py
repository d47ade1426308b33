"""Passes a command's standard error on to this process's own while it keeps the end of it.

What a child writes goes, byte for byte, to file descriptor 2 of this process: the place it would go to
without us, and which a notebook or a test runner may have pointed elsewhere than `sys.stderr`.
A relay belongs to the thread that waits for the command. What outlives the command, since a background
process still holds the pipe, is passed on by one daemon thread that ends when nothing is left to do.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading

STANDARD_ERROR = 2

_READ_BYTES = 65536  # what a pipe holds, so one look after the end finds all that was written before it
_SAFE_WRITE = select.PIPE_BUF  # a descriptor that polls as writable takes this much without blocking
_STALL_MS = 100  # longer than this is standard error not waited for once the command has ended


class StderrRelay:
    """A pipe for one command's standard error.

    Args:
        poller: What its owner waits with.
        tail_bytes: How much of the end is kept.
    """

    __slots__ = ("_keep", "_pending", "_poller", "_read", "tail", "writer")

    def __init__(self, poller: select.poll, tail_bytes: int) -> None:
        self._poller = poller
        self._keep = tail_bytes
        self._pending = b""  # not empty: standard error is waited for instead of the command
        self.tail = b""
        self._read, self.writer = os.pipe()
        os.set_blocking(self._read, False)
        poller.register(self._read, select.POLLIN)

    def close_writer(self) -> None:
        """Called once the command has its own copy. Idempotent."""
        if self.writer >= 0:
            writer, self.writer = self.writer, -1
            os.close(writer)

    def step(self, ready: int) -> None:
        """Does what a ready descriptor allows, without blocking, and changes what is waited for."""
        if ready == self._read:
            data = self._take()
            if data == b"":
                self._close_reader()
            elif self._pending:
                self._poller.unregister(ready)
                self._poller.register(STANDARD_ERROR, select.POLLOUT)
        elif ready == STANDARD_ERROR:
            self._give()
            if not self._pending:
                self._poller.unregister(STANDARD_ERROR)
                self._poller.register(self._read, select.POLLIN)

    def finish(self) -> None:
        """Called when the command has ended: passes on what is there, leaves what follows to the thread.

        Idempotent. Returns soon even if standard error takes nothing.
        """
        self.close_writer()
        if self._read < 0:
            return
        budget = _READ_BYTES
        while budget > 0 and self._flush():
            data = self._take()
            if data == b"":
                self._close_reader()
                return
            budget -= _READ_BYTES if data is None else len(data)
        self._forget(STANDARD_ERROR)
        self._forget(self._read)
        reader, self._read = self._read, -1
        _drainer.adopt(reader, self._pending)

    def _take(self) -> bytes | None:
        """Reads once. Empty: nobody can write any more. None: there is nothing now."""
        try:
            data = os.read(self._read, _READ_BYTES)
        except BlockingIOError:
            return None
        self.tail = (self.tail + data)[-self._keep :]
        self._pending = data
        return data

    def _give(self) -> None:
        try:
            self._pending = self._pending[os.write(STANDARD_ERROR, self._pending[:_SAFE_WRITE]) :]
        except BlockingIOError:
            return
        except OSError:  # closed or broken: only the tail is kept
            self._pending = b""

    def _flush(self) -> bool:
        """Passes on what was read. False if standard error is stuck."""
        if not self._pending:
            return True
        poller = select.poll()
        poller.register(STANDARD_ERROR, select.POLLOUT)
        while self._pending:
            if not poller.poll(_STALL_MS):
                return False
            self._give()
        return True

    def _close_reader(self) -> None:
        self._forget(self._read)
        self._forget(STANDARD_ERROR)
        reader, self._read = self._read, -1
        os.close(reader)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._poller.unregister(descriptor)


class _Drainer:
    """Reads pipes that outlive their commands, so that nobody who writes to them is stopped or killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._adopted: list[tuple[int, bytes]] = []
        self._thread: threading.Thread | None = None
        self._wake = -1

    def adopt(self, reader: int, pending: bytes) -> None:
        """Takes over a descriptor, and bytes of it that standard error has not taken yet. Any thread."""
        with self._lock:
            self._adopted.append((reader, pending))
            if self._thread is not None and self._thread.is_alive():
                os.write(self._wake, b"!")
                return
            wake_read, self._wake = os.pipe()
            self._thread = threading.Thread(
                target=self._run, args=(wake_read,), name="fanflow-stderr-drain", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter or the machine has no more threads to give
                self._thread = None
                self._forget(wake_read)

    def _forget(self, wake_read: int) -> None:
        for descriptor in (wake_read, self._wake, *(reader for reader, _ in self._adopted)):
            os.close(descriptor)
        self._adopted.clear()

    def _run(self, wake_read: int) -> None:
        poller = select.poll()
        poller.register(wake_read, select.POLLIN)
        readers: set[int] = set()
        while True:
            with self._lock:
                adopted, self._adopted = self._adopted, []
                if not adopted and not readers:
                    self._thread = None
                    os.close(wake_read)
                    os.close(self._wake)
                    return
            for reader, pending in adopted:
                _pass_on(pending)
                readers.add(reader)
                poller.register(reader, select.POLLIN)
            for descriptor, _ in poller.poll():
                if descriptor == wake_read:
                    os.read(wake_read, _READ_BYTES)
                elif not _pump(descriptor):
                    poller.unregister(descriptor)
                    readers.remove(descriptor)
                    os.close(descriptor)


def _pump(reader: int) -> bool:
    """Passes one portion on. False at the end."""
    try:
        data = os.read(reader, _READ_BYTES)
    except BlockingIOError:
        return True
    _pass_on(data)
    return bool(data)


def _pass_on(data: bytes) -> None:
    with contextlib.suppress(OSError):  # nowhere to write to: the bytes are dropped, the writer goes on
        while data:
            data = data[os.write(STANDARD_ERROR, data) :]


_drainer = _Drainer()
