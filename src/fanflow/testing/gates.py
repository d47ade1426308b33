"""A gate at which tasks wait until the test opens it, in whatever process they run."""

from __future__ import annotations

import os
import select
import tempfile
import time
from pathlib import Path

_TOKENS = b"." * 4096
"""Opening writes one byte for each task that waits or is still to come; a pipe holds this many."""


def announce(directory: str, name: str) -> None:
    """The task's side: say that `name` has come."""
    arrivals = os.open(os.path.join(directory, "arrivals"), os.O_WRONLY)
    try:
        os.write(arrivals, f"{name}\n".encode())
    finally:
        os.close(arrivals)


def wait_at_gate(directory: str, name: str) -> str:
    """The task's side: say that `name` has come, wait until the gate is open, and return `name`."""
    tokens = os.open(os.path.join(directory, "tokens"), os.O_RDONLY)
    try:
        announce(directory, name)
        os.read(tokens, 1)
    finally:
        os.close(tokens)
    return name


class Gate:
    """The test's side: two named pipes, so that nobody polls and threads and processes are alike.

    Use it as a context manager. At most 4096 tasks may pass.
    """

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="gate-")
        """What tasks give to `wait_at_gate`."""
        self.arrived: list[str] = []
        """Names of the tasks that have come, as far as `wait_for_arrivals` has read them."""
        self._paths = [Path(self.directory, "tokens"), Path(self.directory, "arrivals")]
        for path in self._paths:
            os.mkfifo(path)
        # Open for both directions: then neither side ever waits for the other in open().
        self._tokens, self._arrivals = (os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in self._paths)
        self._rest = b""

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open()
        os.close(self._tokens)
        os.close(self._arrivals)
        for path in self._paths:
            path.unlink()
        os.rmdir(self.directory)

    def open(self) -> None:
        """Let through all who wait and all who come later."""
        try:
            os.write(self._tokens, _TOKENS)
        except BlockingIOError:  # full: it has been opened before
            return

    def wait_for_arrivals(self, count: int, deadline_s: float) -> list[str]:
        """Names of all tasks that have come, once there are at least `count`.

        Raises:
            AssertionError: Fewer came in time.
        """
        end = time.monotonic() + deadline_s
        while len(self.arrived) < count:
            ready, _, _ = select.select([self._arrivals], [], [], max(end - time.monotonic(), 0.0))
            if not ready:
                raise AssertionError(
                    f"waited {deadline_s:g} s for {count} attempts to begin; {len(self.arrived)} did"
                )
            *names, self._rest = (self._rest + os.read(self._arrivals, 65536)).split(b"\n")
            self.arrived += [name.decode() for name in names]
        return list(self.arrived)
