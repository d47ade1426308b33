"""The manager's end of its zygote: orders workers, has them killed, hears of their ends."""

from __future__ import annotations

import os
import select
import signal
import socket
from dataclasses import dataclass

from fanflow.pilot import zygote
from fanflow.pilot.control_groups import count_oom_kills, count_system_oom_kills, own_directory
from fanflow.pilot.worker_handle import WorkerHandle
from fanflow.pilot.worker_records import CUT_OFF_STATUS


@dataclass(frozen=True, slots=True)
class Report:
    """What the zygote says of a worker."""

    kind: int
    """`zygote.FORKED`, `zygote.ENDED` or `zygote.FAILED`."""
    number: int
    pid: int
    value: int
    peak: int


class ZygoteGoneError(Exception):
    """The zygote has ended, and all workers with it."""


class Nursery:
    """Speaks to the zygote. Never blocks, except in `close`.

    Args:
        control: The connection to the zygote.
        pid: Of the zygote, a child of this process.
    """

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self.pid = pid
        groups = (own_directory(""), own_directory("memory"))
        self._group = next((group for group in groups if count_oom_kills(group) is not None), "")
        self._oom_kills = self._count_oom_kills()
        control.setblocking(False)

    def fileno(self) -> int:
        """Readable when there are reports."""
        return self._control.fileno()

    def fork(self, plan: zygote.WorkerPlan, handle: WorkerHandle) -> None:
        """Order a worker; a report says what became of it."""
        self._send(zygote.pack_plan(plan), list(handle.ends))

    def kill(self, number: int) -> None:
        """Have a worker killed, with all that it has started."""
        self._send(zygote.pack_kill(number), [])

    def _send(self, request: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._control, [request], descriptors)
        except BlockingIOError:  # hundreds of orders at once: the zygote is alive and will read
            select.select([], [self._control], [], 10.0)
            socket.send_fds(self._control, [request], descriptors)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ZygoteGoneError from error

    def reports(self) -> list[Report]:
        """What has been reported since.

        Raises:
            ZygoteGoneError: Nothing more will come.
        """
        found: list[Report] = []
        while True:
            try:
                data = self._control.recv(zygote.REPORT.size)
            except BlockingIOError:
                return found
            except ConnectionResetError as error:
                raise ZygoteGoneError from error
            if not data:
                raise ZygoteGoneError
            found.append(Report(*zygote.REPORT.unpack(data)))

    def cause_of(self, report: Report) -> tuple[str, str]:
        """Why a worker ended: the cause as in `wire.Loss`, and words."""
        code = os.waitstatus_to_exitcode(report.value)
        if code == CUT_OFF_STATUS:
            return "exit", f"exit status {code}: the task closed the worker's connection to its manager"
        if code >= 0:
            return "exit", f"exit status {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if code == -signal.SIGKILL:
            kills = self._count_oom_kills()
            if kills > self._oom_kills:
                self._oom_kills = kills
                return (
                    "memory",
                    f"the node or this job ran out of memory; its peak was {report.peak >> 20} MiB",
                )
        return "signal", name

    def _count_oom_kills(self) -> int:
        """The own group's, where it counts; else also those of others, who end seldom."""
        own = count_oom_kills(self._group)
        return count_system_oom_kills() if own is None else own

    def close(self, patience_s: float) -> None:
        """Let the zygote end, and all workers with it."""
        self._control.close()
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return
        if not select.select([descriptor], [], [], patience_s)[0]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
        os.waitpid(self.pid, 0)
