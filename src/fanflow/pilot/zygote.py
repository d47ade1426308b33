"""The zygote: a small process without threads that forks workers and tells when they end.

It is forked before its manager imports anything large, imports what workers need, and then waits for
orders. It adopts what a dead worker leaves behind and ends it. When its manager is gone it ends all
workers and everything that they have started.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import struct
import sys
import traceback
import types
from typing import Final, NamedTuple, cast

from fanflow.pilot import process_table
from fanflow.pilot.memory_groups import remove_groups
from fanflow.pilot.process_control import become_subreaper, die_with_parent
from fanflow.pilot.worker_link import WorkerEnds
from fanflow.pilot.worker_records import HEADER, UNFIT

FORKED: Final = 1
ENDED: Final = 2
"""The value is the wait status, the last field the largest resident memory in bytes."""
FAILED: Final = 3
"""There could be no fork; the value is the error number."""

REPORT: Final = struct.Struct("<BIiiQ")
"""Kind, worker, process id, value, peak."""

_MOST_REQUEST: Final = 1 << 20
_SWEEPS: Final = 50
_PATIENCE: Final = 0.02
"""Seconds to wait for killed processes to end before looking again."""

_MARK: Final = "FANFLOW_WORKER"
_DEFAULT_SIGNALS: Final = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM,
)  # fmt: skip


class WorkerPlan(NamedTuple):
    """How a worker is to be born."""

    number: int
    log: str
    """Path; what the worker writes is appended."""
    directory: str
    path: list[str]
    """`sys.path`."""
    argv: list[str]
    environment: dict[str, str]
    """Set on top of the zygote's."""
    cores: list[int]
    """That it is bound to; empty: those of the zygote."""
    max_message: int
    """Bytes of one result, when pickled."""


_PlanFields = tuple[int, str, str, list[str], list[str], dict[str, str], list[int], int]


def pack_plan(plan: WorkerPlan) -> bytes:
    """A request to fork; the descriptors of `WorkerEnds` go with it."""
    return marshal.dumps(("fork", tuple(plan)))


def pack_kill(number: int) -> bytes:
    """A request to kill a worker and what it has started."""
    return marshal.dumps(("kill", number))


def fork_zygote() -> tuple[socket.socket, int]:
    """Start a zygote. The calling process must have no threads.

    Returns:
        The connection to it, and its process id. It ends when the connection is closed.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        its.close()
        return ours, pid
    status = 1
    try:
        _close_all_but(its.fileno())
        Zygote(its).serve()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may run the parent's code in this process
        traceback.print_exc()
    finally:
        os._exit(status)


class Zygote:
    """Forks workers on request.

    Args:
        control: The connection to the manager.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, int] = {}
        """Process id -> number."""
        self._pid = os.getpid()
        self._wakeup = _ignore_signals()
        become_subreaper()
        for module in ("cloudpickle", "fanflow.codec.calls", "fanflow.pilot.worker"):
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # what is there lives on in all workers; collecting it would only copy pages

    def serve(self) -> None:
        """Work until the manager closes the connection, then end all workers."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup[0], select.POLLIN)
        is_wanted = True
        while is_wanted:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wakeup[0].fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._wakeup[0].recv(4096)
                self._reap()
            if self._control.fileno() in ready:
                is_wanted = self._take_request()
        self._end_all()
        remove_groups(self._pid)

    def _take_request(self) -> bool:
        try:
            request, descriptors, _, _ = socket.recv_fds(
                self._control, _MOST_REQUEST, len(WorkerEnds._fields)
            )
        except ConnectionResetError:
            return False
        if not request:
            return False
        verb, what = cast("tuple[str, object]", marshal.loads(request))
        if verb == "fork":
            self._fork(WorkerPlan(*cast("_PlanFields", what)), descriptors)
        else:
            self._kill(cast("int", what))
        return True

    def _fork(self, plan: WorkerPlan, descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._report(FAILED, plan.number, 0, error.errno or 0)
            pid = -1
        if pid == 0:
            self._become_worker(plan, WorkerEnds(*descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._workers[pid] = plan.number
            self._report(FORKED, plan.number, pid)

    def _become_worker(self, plan: WorkerPlan, ends: WorkerEnds) -> None:
        """Never returns."""
        try:
            die_with_parent(self._pid)
            signal.set_wakeup_fd(-1)
            for end in (self._control, *self._wakeup):
                end.close()
            try:
                _begin_life(plan)
            except Exception as error:
                _say_unfit(ends, f"{type(error).__name__}: {error}")
                raise
            importlib.import_module("fanflow.pilot.worker").work(ends, plan.log, plan.max_message)
        except BaseException:  # noqa: BLE001 - the zygote's code must not run on in this process
            traceback.print_exc()
        finally:
            os._exit(1)

    def _kill(self, number: int) -> None:
        for pid, its in self._workers.items():
            if its == number:
                started = process_table.descendants({pid}, process_table.all_entries())
                process_table.kill({pid})  # first, else the task sees its children die and returns
                process_table.kill(started)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            number = self._workers.pop(pid, None)
            if number is not None:
                self._sweep(pid)
                self._report(ENDED, number, pid, status, usage.ru_maxrss * 1024)

    def _sweep(self, leader: int) -> None:
        """End what a dead worker has left behind."""
        for _ in range(_SWEEPS):
            entries = process_table.all_entries()
            left = {
                pid
                for pid in process_table.descendants({leader}, entries) | self._orphans(entries)
                if entries[pid].state not in "ZX"
            }
            if not left:
                return
            process_table.kill(left)

    def _orphans(self, entries: dict[int, process_table.Entry]) -> set[int]:
        """Adopted processes that no living worker has to do with."""
        alive = {str(pid) for pid in self._workers}
        return {
            entry.pid
            for entry in entries.values()
            if entry.parent == self._pid
            and entry.pid not in self._workers
            and entry.session not in self._workers
            and process_table.variable_of(entry.pid, _MARK) not in alive
        }

    def _end_all(self) -> None:
        for _ in range(_SWEEPS):
            left = process_table.descendants({self._pid}, process_table.all_entries())
            with contextlib.suppress(ChildProcessError):
                while os.wait4(-1, os.WNOHANG)[0]:
                    pass
            if not left:
                return
            process_table.kill(left)
            select.select([self._wakeup[0]], [], [], _PATIENCE)

    def _report(self, kind: int, number: int, pid: int, value: int = 0, peak: int = 0) -> None:
        with contextlib.suppress(OSError):  # a manager that is gone is seen when it is read from
            self._control.send(REPORT.pack(kind, number, pid, value, peak))


def _close_all_but(kept: int) -> None:
    """What the parent had open is not the workers' business, and would keep others waiting for its end."""
    highest = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, kept)
    os.closerange(kept + 1, highest)


def _ignore_signals() -> tuple[socket.socket, socket.socket]:
    """Only the manager's end ends a zygote. Signals wake its loop, through the first of two sockets."""
    inner, outer = socket.socketpair()
    inner.setblocking(False)
    outer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
    return inner, outer


def _say_unfit(ends: WorkerEnds, reason: str) -> None:
    data = reason.encode("utf-8", "replace")
    with contextlib.suppress(OSError):
        os.write(ends.stream, HEADER.pack(UNFIT, 0, 0, len(data)) + data)


def _begin_life(plan: WorkerPlan) -> None:
    os.setsid()
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    log = os.open(plan.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    faulthandler.enable(sys.stderr)
    os.environ.update(plan.environment)
    os.environ[_MARK] = str(os.getpid())
    sys.path[:] = plan.path
    sys.argv[:] = plan.argv
    sys.modules["__main__"] = types.ModuleType("__main__")  # not the program that forked the zygote
    try:
        os.chdir(plan.directory)
    except OSError as error:
        print(f"worker {plan.number} cannot enter {plan.directory}: {error}", file=sys.stderr)
