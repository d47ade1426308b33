"""The fork server: imports the libraries once, then forks interchange and local managers.

It has one thread and no zmq context, so its forks are clean. It lives as long as the client: when the
client's end of the control socket closes, everything that was forked here is killed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from fanflow.pilot.process_control import become_subreaper, children_of, die_with_parent

_PRELOADED: Final = ("cloudpickle", "zmq", "fanflow.codec.calls")
_MESSAGE_BYTES: Final = 1 << 20
_MOST_DESCRIPTORS: Final = 253  # of one message, by the system's own limit


class Surroundings(msgspec.Struct, array_like=True, tag=True):
    """First message to the fork server: what the client's process looks like."""

    sys_path: list[str]
    directory: str
    argv: list[str]
    scratch: str = ""
    """A directory to remove at the end, since a client that is killed cannot; empty: none."""


class Start(msgspec.Struct, array_like=True, tag=True):
    """Fork a process that calls `module.main(config, *descriptors)`; these come with the message."""

    number: int
    """Chosen by the client, to tell the answers apart."""
    module: str
    config: bytes
    """For the module's `decode_config`."""
    output: str = ""
    """File to which its standard output and error are appended; empty: those of the client."""


class Signal(msgspec.Struct, array_like=True, tag=True):
    """Send a signal to a process that was started with this number."""

    number: int
    signal: int


class Ready(msgspec.Struct, array_like=True, tag=True):
    """Everything is imported."""

    pid: int


class Forked(msgspec.Struct, array_like=True, tag=True):
    """The process runs."""

    number: int
    pid: int


class Ended(msgspec.Struct, array_like=True, tag=True):
    """The process has ended."""

    number: int
    status: int
    """Exit status; minus the signal's number if a signal ended it."""


ToServer = Surroundings | Start | Signal
FromServer = Ready | Forked | Ended
decode_to_server = msgspec.msgpack.Decoder(ToServer).decode
decode_from_server = msgspec.msgpack.Decoder(FromServer).decode
encode = msgspec.msgpack.Encoder().encode


class ForkServer:
    """Forks what the client asks for. Single-threaded.

    Args:
        control: One end of a SOCK_SEQPACKET pair; the client has the other.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, int] = {}
        """Pid -> number."""

    def run(self) -> None:
        """Serve until the client is gone; then end everything."""
        become_subreaper()
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._say(Ready(os.getpid()))
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        # A child that the client has forked holds the other end of the socket open, too.
        client = _descriptor_of(os.getppid())
        if client >= 0:
            poll.register(client, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if client in ready:
                break
            if wake_read in ready:
                os.read(wake_read, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._serve():
                break
        self._end_all()

    def _say(self, message: FromServer) -> None:
        with contextlib.suppress(OSError):  # the client is gone: the next turn sees that
            self._control.send(encode(message))

    def _serve(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, _MOST_DESCRIPTORS)
        except OSError:
            return False
        if not data:
            return False
        message = decode_to_server(data)
        if isinstance(message, Start):
            self._fork(message, descriptors)
        elif isinstance(message, Signal):
            for pid, number in self._running.items():
                if number == message.number:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, message.signal)
        return True

    def _fork(self, start: Start, descriptors: list[int]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(start, descriptors, parent, self._control)
        for descriptor in descriptors:
            os.close(descriptor)
        self._running[pid] = start.number
        self._say(Forked(start.number, pid))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._running.pop(pid, None)
            if number is not None:
                self._say(Ended(number, os.waitstatus_to_exitcode(status)))

    def _end_all(self) -> None:
        # What a killed child leaves behind comes here, since this is a subreaper.
        with contextlib.suppress(ChildProcessError):
            while True:
                for pid in children_of(os.getpid()) or list(self._running):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                ended, _ = os.waitpid(-1, 0)
                self._running.pop(ended, None)


def _descriptor_of(pid: int) -> int:
    """Readable when the process has ended; -1 where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _become(start: Start, descriptors: list[int], parent: int, control: socket.socket) -> None:
    """In the child: be what was asked for, and never return."""
    status = 1
    try:
        control.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        die_with_parent(parent)
        if start.output:
            _write_to(start.output)
        module = importlib.import_module(start.module)
        main: Callable[..., None] = module.main
        main(module.decode_config(start.config), *descriptors)
        status = 0
    except SystemExit as end:  # it has said why
        status = end.code if isinstance(end.code, int) else status
    except BaseException:  # noqa: BLE001 - whatever it is, it ends here and is written down
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _write_to(path: str) -> None:
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)


def main() -> None:
    """Be the fork server; the last argument is the control socket's descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's
    control = socket.socket(fileno=int(sys.argv[-1]))
    first = decode_to_server(control.recv(_MESSAGE_BYTES))
    if not isinstance(first, Surroundings):
        raise SystemExit("the first message must describe the surroundings")
    sys.path[:] = first.sys_path
    sys.argv[:] = first.argv
    with contextlib.suppress(OSError):
        os.chdir(first.directory)
    for module in _PRELOADED:
        importlib.import_module(module)
    ForkServer(control).run()
    if first.scratch:
        shutil.rmtree(first.scratch, ignore_errors=True)
