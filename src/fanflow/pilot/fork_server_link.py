"""The client's end of the fork server."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from fanflow.pilot import fork_server

_COMMAND: Final = "import sys; sys.path[:] = {path!r}; from fanflow.pilot.fork_server import main; main()"

OnEnd = Callable[[int], None]
"""Called with the exit status, or minus the signal's number."""


class ForkServerLink:
    """Starts the fork server, and processes through it. One thread, usually the kernel's.

    Args:
        scratch: A directory that is removed when this process is killed; empty: none.
    """

    def __init__(self, scratch: str = "") -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as unless_started:
            unless_started.callback(ours.close)
            # -E -s: the server takes its path from us, and nothing from the user's environment.
            self._process = subprocess.Popen(
                [sys.executable, "-E", "-s", "-c", _COMMAND.format(path=sys.path), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            unless_started.pop_all()
        self._socket = ours
        self._socket.setblocking(False)
        self._numbers = itertools.count(1)
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        """Encoded, each with the descriptors that go with it."""
        self._on_end: dict[int, OnEnd] = {}
        self.pids: dict[int, int] = {}
        """Number -> pid of what runs."""
        self._say(fork_server.Surroundings(list(sys.path), os.getcwd(), list(sys.argv), scratch))

    def fileno(self) -> int:
        """Readable when `receive` has something to do."""
        return self._socket.fileno()

    def _say(self, message: fork_server.ToServer, descriptors: Sequence[int] = ()) -> None:
        self._unsent.append((fork_server.encode(message), list(descriptors)))
        self._flush()

    def _flush(self) -> None:
        """Send what the server has room for; it answers what it has done, and then there is room again."""
        try:
            while self._unsent:
                data, descriptors = self._unsent[0]
                socket.send_fds(self._socket, [data], descriptors)
                self._unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:  # it is gone, which `receive` tells
            self._unsent.clear()

    def start(
        self,
        module: str,
        config: bytes,
        on_end: OnEnd,
        descriptors: Sequence[int] = (),
        *,
        output: str = "",
    ) -> int:
        """Fork a process that runs `module.main`; returns the number to signal it by.

        Args:
            module: Its name.
            config: For its `decode_config`.
            on_end: Told the exit status.
            descriptors: Passed on to it; they stay open here.
            output: File that takes its standard output and error; empty: those of this process.
        """
        number = next(self._numbers)
        self._on_end[number] = on_end
        self._say(fork_server.Start(number, module, config, output), descriptors)
        return number

    def signal(self, number: int, signal_number: int = signal.SIGTERM) -> None:
        """Signal a process; one that has ended is no error."""
        self._say(fork_server.Signal(number, signal_number))

    def receive(self) -> bool:
        """Take what the server says; False if it has ended."""
        while True:
            try:
                data = self._socket.recv(1 << 20)
            except BlockingIOError:
                return True
            except OSError:
                data = b""
            if not data:
                return False
            message = fork_server.decode_from_server(data)
            if isinstance(message, fork_server.Forked):
                self.pids[message.number] = message.pid
            elif isinstance(message, fork_server.Ended):
                self.pids.pop(message.number, None)
                on_end = self._on_end.pop(message.number, None)
                if on_end is not None:
                    on_end(message.status)
            self._flush()

    def end_all(self) -> None:
        """The server has ended, and all that it had forked with it: tell everybody."""
        self.pids.clear()
        self._unsent.clear()
        while self._on_end:
            _, on_end = self._on_end.popitem()
            on_end(-signal.SIGKILL)

    def close(self, deadline_s: float) -> None:
        """Hang up: the server kills what it has forked, and ends. Waits for that."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # children that were forked from here have it open, too
        self._socket.close()
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
