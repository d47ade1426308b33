"""Runs one program and waits for it, with a walltime, in the thread that calls; any number at a time.

A program is the leader of a session of its own. At its walltime, when `codec.stoppable.stop_thread`
stops the waiting thread, and when an exception reaches that thread, all of the session and what else
the program has started gets SIGTERM, a grace time, and SIGKILL. What a program leaves running in the
background when it ends by itself is left alone.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import math
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from fanflow.apps.spawn import spawn
from fanflow.apps.stderr_relay import StderrRelay
from fanflow.apps.streams import TAIL_BYTES
from fanflow.codec import stoppable
from fanflow.errors import AppException

if TYPE_CHECKING:
    from fanflow.apps.process_tree import ProcessTree

GRACE_SECONDS = 1.5
"""From SIGTERM to SIGKILL: what ignores the first is to be gone 2 s after its walltime."""

_KILL_SECONDS = 0.4  # how long we wait for killed processes to be gone
_KILL_PAUSE_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 86_400.0  # poll takes no more than 31 bits of milliseconds
_PAUSES_MS = (1, 2, 5, 10, 20, 50)  # between looks, where the system cannot tell of a process's end

_unreaped: list[int] = []  # killed, but stuck in the kernel when we stopped waiting


class How(enum.Enum):
    """How a run ended."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"


class Ended(NamedTuple):
    """What became of a run."""

    how: How
    status: int
    """Exit status; minus the number of the signal that ended the program; 0 unless `how` is EXITED."""
    stderr_tail: bytes
    """End of standard error if it was not redirected."""


class Request(NamedTuple):
    """What to run."""

    name: str
    """The app's name, for messages."""
    argv: list[bytes]
    """The program, looked for on PATH unless it contains a slash, and its arguments."""
    stdout: int | None = None
    """Descriptor that becomes standard output; None for that of this process."""
    stderr: int | None = None
    """The same for standard error; None for a pipe whose content is passed on to descriptor 2."""
    walltime: float = math.inf
    """Seconds until it is ended."""
    grace: float = GRACE_SECONDS
    """Seconds from SIGTERM to SIGKILL."""


def run(request: Request) -> Ended:
    """Runs a program to its end.

    Raises:
        MissingInputsError: There is no such program.
        OSError: It cannot be started; the message says what to do.
        AppException: Its exit status was taken by other code of this process.
    """
    deadline = time.monotonic() + request.walltime
    for pid in list(_unreaped):
        if _reap(pid)[0]:
            with contextlib.suppress(ValueError):  # another thread was quicker
                _unreaped.remove(pid)
    child = _Child(request)
    try:
        child.open()
        with stoppable.register(child.stop):
            child.start()
            return child.wait(deadline)
    finally:
        child.close()


class _Child:
    """One program that runs. Only `stop` may be called by other threads."""

    __slots__ = (
        "_ending",
        "_exited",
        "_pidfd",
        "_poller",
        "_relay",
        "_request",
        "_started",
        "_status",
        "_stop_read",
        "_stop_write",
    )

    def __init__(self, request: Request) -> None:
        self._request = request
        self._poller = select.poll()
        self._relay: StderrRelay | None = None
        self._pidfd = self._stop_read = self._stop_write = -1
        self._started: list[int] = []  # the process id, once there is one
        self._ending = False  # it has been sent SIGTERM
        self._exited = False  # its process id is still ours until `_collect`
        self._status: int | None = None

    def open(self) -> None:
        """Makes what the run needs besides the process."""
        if hasattr(os, "eventfd"):
            self._stop_read = self._stop_write = os.eventfd(0)
        else:
            self._stop_read, self._stop_write = os.pipe()
        self._poller.register(self._stop_read, select.POLLIN)
        if self._request.stderr is None:
            self._relay = StderrRelay(self._poller, TAIL_BYTES)

    def stop(self) -> None:
        """Makes the waiting thread end the program. Any thread; returns at once."""
        os.write(self._stop_write, (1).to_bytes(8, sys.byteorder))

    def start(self) -> None:
        """Starts the program.

        Raises:
            MissingInputsError: There is no such program.
            OSError: It cannot be started.
        """
        request, relay = self._request, self._relay
        stderr = request.stderr if relay is None else relay.writer
        spawn(self._started, request.name, request.argv, request.stdout, stderr)
        if relay is not None:
            relay.close_writer()
        self._pidfd = _open_pidfd(self._started[0])
        if self._pidfd >= 0:
            self._poller.register(self._pidfd, select.POLLIN)

    def wait(self, deadline: float) -> Ended:
        """Waits for the end, and brings it about at the deadline or when told to stop."""
        if not self._watch(deadline):
            how = How.TIMED_OUT if time.monotonic() >= deadline else How.STOPPED
            self._end()
            return Ended(how, 0, self._tail())
        self._collect()
        if self._status is None:
            raise AppException(
                f"the exit status of app {self._request.name} is lost: other code in this process waits "
                f"for every child (os.wait, os.waitpid(-1)) or ignores SIGCHLD; it must leave ours alone"
            )
        return Ended(How.EXITED, self._status, self._tail())

    def close(self) -> None:
        """Leaves nothing behind, whatever happened."""
        try:
            if self._started and not self._exited and not self._ending:
                self._end()
            self._collect()
        finally:
            if self._relay is not None:
                self._relay.finish()
            for descriptor in {self._pidfd, self._stop_read, self._stop_write} - {-1}:
                os.close(descriptor)

    def _tail(self) -> bytes:
        if self._relay is None:
            return b""
        self._relay.finish()
        return self._relay.tail

    def _watch(self, deadline: float, *, heeds_stop: bool = True) -> bool:
        """Passes standard error on until the program ends: True. False at the deadline or when stopped."""
        pauses = iter(_PAUSES_MS)
        while not self._exited:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            timeout_ms = math.ceil(min(left, _LONGEST_WAIT_SECONDS) * 1000)
            if self._pidfd < 0:
                if self._look():
                    break
                timeout_ms = min(timeout_ms, next(pauses, _PAUSES_MS[-1]))
            for descriptor, _ in self._poller.poll(timeout_ms):
                if descriptor == self._pidfd:
                    self._exited = True
                elif descriptor != self._stop_read:
                    if self._relay is not None:
                        self._relay.step(descriptor)
                elif heeds_stop:
                    return False
                else:
                    self._poller.unregister(descriptor)
        return True

    def _look(self) -> bool:
        """Whether the program has ended, where no descriptor tells."""
        if not hasattr(os, "waitid"):
            self._collect()
        else:
            try:
                how = os.WEXITED | os.WNOHANG | os.WNOWAIT
                self._exited = os.waitid(os.P_PID, self._started[0], how) is not None
            except ChildProcessError:  # reaped by somebody else
                self._exited = True
        return self._exited

    def _collect(self) -> None:
        """Takes the exit status, if the program has ended; its process id is no longer ours then."""
        if self._started:
            gone, status = _reap(self._started[0])
            if gone:
                self._exited = True
                self._started.clear()
                self._status = status

    def _end(self) -> None:
        """Ends the program and what it started: SIGTERM, grace, SIGKILL."""
        # Imported here: most workers never end a program by force, and all of them would load psutil.
        from fanflow.apps.process_tree import ProcessTree

        self._ending = True
        grace_ends = time.monotonic() + self._request.grace
        tree = None
        try:
            tree = ProcessTree(self._started[0])
            self._send(tree, signal.SIGTERM)
            self._send(tree, signal.SIGCONT)  # what is suspended could not follow
            self._watch(grace_ends, heeds_stop=False)
            if self._relay is not None:
                self._relay.finish()
            tree.wait(grace_ends)
        finally:
            self._kill(tree)

    def _kill(self, tree: ProcessTree | None) -> None:
        self._send(tree, signal.SIGKILL)
        limit = time.monotonic() + _KILL_SECONDS
        while not (self._exited and (tree is None or tree.is_gone())) and time.monotonic() < limit:
            pause_ends = min(limit, time.monotonic() + _KILL_PAUSE_SECONDS)
            self._watch(pause_ends, heeds_stop=False)
            if tree is not None:
                tree.wait(pause_ends)
            self._send(tree, signal.SIGKILL)  # also to what was being started while we looked
        self._collect()
        _unreaped.extend(self._started)

    def _send(self, tree: ProcessTree | None, number: signal.Signals) -> None:
        if self._started:
            with contextlib.suppress(OSError):
                os.killpg(self._started[0], number)
        if tree is not None:
            tree.send(number)


def _open_pidfd(pid: int) -> int:
    """A descriptor that is readable when the process has ended; -1 where there is no such thing."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # An old kernel, a filter of system calls, or a process that was reaped by somebody else.
        if error.errno in {errno.ENOSYS, errno.EPERM, errno.ESRCH}:
            return -1
        raise


def _reap(pid: int) -> tuple[bool, int | None]:
    """Whether a child has ended, and its status unless somebody else took it."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True, None
    return (True, os.waitstatus_to_exitcode(status)) if ended else (False, None)
