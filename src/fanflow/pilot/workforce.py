"""The workers of one manager: started, spoken to and buried as the core orders."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Final

from fanflow.pilot import process_table, zygote
from fanflow.pilot.manager_core import ManagerCore
from fanflow.pilot.manager_orders import describe_memory
from fanflow.pilot.memory_groups import MemoryGroup, MemoryGroups, open_groups, remove_groups
from fanflow.pilot.nursery import Nursery, Report
from fanflow.pilot.wire import Loss
from fanflow.pilot.worker_handle import WorkerHandle
from fanflow.pilot.worker_records import (
    FUNCTION,
    PAYLOAD,
    PRINTED,
    READY,
    RETIRES,
    UNFIT,
    WANTS_FUNCTION,
    WANTS_PAYLOAD,
    LinkError,
    Piece,
    Record,
    TaskRecord,
)

_log = logging.getLogger("fanflow.pilot.manager")

_READS_PER_TURN: Final = 16
_GROUPS_S: Final = 0.5
"""For killed workers to leave their control groups."""

_GROUPS_PAUSE_S: Final = 0.02
Pieces = Sequence[bytes | memoryview]


class Supplies:
    """What workers ask for: functions by number, large payloads by attempt."""

    def __init__(self) -> None:
        self.functions: dict[int, bytes] = {}
        self.payloads: dict[int, Pieces] = {}

    def find(self, request: Record) -> tuple[int, Pieces]:
        """The kind of the answer, and the answer.

        Raises:
            LinkError: There is no such thing.
        """
        if request.kind == WANTS_FUNCTION and request.attempt in self.functions:
            return FUNCTION, (self.functions[request.attempt],)
        if request.kind == WANTS_PAYLOAD and request.attempt in self.payloads:
            return PAYLOAD, self.payloads[request.attempt]
        raise LinkError(f"a request of kind {request.kind} for {request.attempt}")


class Workforce:
    """Handles of all workers. Single-threaded; never blocks, except in `close`.

    Args:
        core: Is told what workers do.
        nursery: Starts and ends them.
        supplies: What they ask for.
        plan: Makes a slot's plan.
        host: Name of this machine.
    """

    def __init__(
        self,
        core: ManagerCore,
        nursery: Nursery,
        supplies: Supplies,
        plan: Callable[[int], zygote.WorkerPlan],
        host: str,
    ) -> None:
        self._core, self._nursery, self._supplies, self._plan = core, nursery, supplies, plan
        self._host = host
        self._handles: dict[int, WorkerHandle] = {}
        self._by_stream: dict[int, WorkerHandle] = {}
        self._broken: dict[int, str] = {}
        """Workers that are killed because what they sent made no sense, and what that was."""
        self._epoll = select.epoll()
        self._epoll.register(nursery.fileno(), select.EPOLLIN)
        self.polls_memory = False
        """Whether no control groups are to be made."""
        self._groups: MemoryGroups | None = None
        self._has_looked_for_groups = False
        self._unfinished: set[WorkerHandle] = set()
        """With a large result that waits until the interchange takes more."""
        self.pieces: list[Piece] = []
        """Of large results; the caller passes them on before the outcomes."""
        self.printed: list[tuple[int, str, bool, int]] = []
        """Attempt, text, whether it is of standard error, worker."""
        self.forgives_sigterm = False
        """Whether SIGTERM comes from outside: whom it ends is not to blame."""
        self.last_end = ""
        """How the worker that ended last did so."""
        self._unfit: dict[int, str] = {}
        """Workers that could not begin, and why."""

    def fileno(self) -> int:
        """Readable when `serve` has something to do."""
        return self._epoll.fileno()

    # -- in -------------------------------------------------------------------------------------

    def serve(self, now: float, *, is_congested: bool) -> bool:
        """Take what workers and zygote have sent.

        Args:
            now: Monotonic seconds.
            is_congested: Whether large results must wait.

        Returns:
            Whether to call again at once, when there is no congestion any more.

        Raises:
            ZygoteGoneError: All workers are gone.
        """
        has_reports = False
        todo = set(self._unfinished)
        for descriptor, events in self._epoll.poll(0):
            handle = self._by_stream.get(descriptor)
            if handle is None:
                has_reports = True
            else:
                if events & select.EPOLLOUT:
                    self._go_on_answering(handle)
                todo.add(handle)
        for handle in todo:
            self._read(handle, now, is_congested=is_congested)
        if has_reports:
            for report in self._nursery.reports():
                self._on_report(report, now)
        return bool(self._unfinished)

    def _read(self, handle: WorkerHandle, now: float, *, is_congested: bool = False) -> None:
        reads = 1 if is_congested else _READS_PER_TURN
        try:
            while reads and not (is_congested and handle.reader.is_amid_large):
                reads -= 1
                has_more = handle.read()
                self._pass_on(handle, now)
                if not has_more:
                    self._set_unfinished(handle, False)
                    return
        except LinkError as error:
            self._break(handle, str(error))
            return
        self._set_unfinished(handle, handle.reader.is_amid_large)

    def _set_unfinished(self, handle: WorkerHandle, value: bool) -> None:
        # A worker in the middle of a large result must not wake the loop while nobody takes it.
        if value != (handle in self._unfinished):
            (self._unfinished.add if value else self._unfinished.discard)(handle)
            self._watch(handle)

    def _watch(self, handle: WorkerHandle) -> None:
        events = 0 if handle in self._unfinished else select.EPOLLIN
        if handle.is_answering:
            events |= select.EPOLLOUT
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            self._epoll.modify(handle.stream.fileno(), events)

    def _pass_on(self, handle: WorkerHandle, now: float, *, is_dead: bool = False) -> None:
        reader = handle.reader
        if reader.pieces:
            self.pieces += reader.pieces
            reader.pieces.clear()
        if reader.others:
            others, reader.others = reader.others, []
            for record in others:
                self._on_record(handle, record)
        if reader.results:
            results, reader.results = reader.results, []
            is_over = handle.memory is not None and handle.memory.has_killed()
            if is_over and not is_dead:
                results.pop()  # the kernel has ended a part of what this task had started
            self._core.results_came(handle.number, results, now)
            if is_over and not is_dead:
                self._core.ran_out_of_memory(handle.number, _describe(handle))

    def _on_record(self, handle: WorkerHandle, record: Record) -> None:
        if record.kind == READY:
            handle.pid = handle.pid or record.value
            self._core.worker_ready(handle.number)
        elif record.kind == PRINTED:
            text = record.data.decode("utf-8", "replace")
            self.printed.append((record.attempt, text, bool(record.value), handle.number))
        elif record.kind == UNFIT:
            self._unfit[handle.number] = record.data.decode("utf-8", "replace")
        elif record.kind == RETIRES:
            handle.has_retired = True
        else:
            handle.answer(*self._answer_to(record))
            self._watch(handle)

    def _answer_to(self, record: Record) -> tuple[int, int, Pieces]:
        kind, pieces = self._supplies.find(record)
        return kind, record.attempt, pieces

    def _go_on_answering(self, handle: WorkerHandle) -> None:
        handle.send_answers()
        self._watch(handle)

    def _break(self, handle: WorkerHandle, reason: str) -> None:
        _log.error(
            "worker %d (process %d) is killed: it sent nonsense, %s", handle.number, handle.pid, reason
        )
        self._broken[handle.number] = reason
        self._epoll.unregister(handle.stream.fileno())
        self._unfinished.discard(handle)
        self._nursery.kill(handle.number)

    def _on_report(self, report: Report, now: float) -> None:
        handle = self._handles[report.number]
        if report.kind == zygote.FORKED:
            handle.forked(report.pid)
            return
        del self._handles[report.number]
        if report.kind == zygote.FAILED:
            cause, detail = "exit", f"it could not be forked: {os.strerror(report.value)}"
        else:
            cause, detail = self._nursery.cause_of(report)
            if handle.memory is not None and handle.memory.has_killed():
                cause, detail = "memory", _describe(handle)
        reason = self._broken.pop(report.number, None)
        if reason is not None:
            detail = f"it wrote into its connection to the manager ({reason})"
        else:
            self._read_to_end(handle, now)
            detail = self._unfit.pop(report.number, detail)
        is_blamed = not (self.forgives_sigterm and detail == "SIGTERM")
        tail = handle.log_tail()
        if tail:
            detail += f"; its log {handle.log} ends with:\n{tail}"
        _log.warning("worker %d (process %d) ended: %s", report.number, handle.pid, detail)
        taken = handle.take_back()
        if handle.has_retired:
            taken += [attempt.number for attempt in self._core.slots[report.number].sent]
        self._core.looked(report.number, taken, now)
        self.last_end = detail
        loss = Loss(cause, report.number, self._host, detail, blames_task=is_blamed)
        self._core.worker_ended(report.number, loss)
        self._forget(handle)

    def _read_to_end(self, handle: WorkerHandle, now: float) -> None:
        """What a dead worker had sent, and what it had not yet."""
        with contextlib.suppress(LinkError):
            while handle.read():
                self._pass_on(handle, now, is_dead=True)
        self._pass_on(handle, now, is_dead=True)
        self._core.results_came(handle.number, handle.unsent_results(), now)

    def _forget(self, handle: WorkerHandle) -> None:
        self._unfinished.discard(handle)
        self._by_stream.pop(handle.stream.fileno(), None)
        if handle.memory is not None and self._groups is not None:
            self._groups.remove(handle.memory)
        handle.close()

    # -- out ------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        """Order a worker for a slot."""
        plan = self._plan(number)
        handle = self._handles[number] = WorkerHandle(number, plan.log)
        self._by_stream[handle.stream.fileno()] = handle
        self._epoll.register(handle.stream.fileno(), select.EPOLLIN)
        self._nursery.fork(plan, handle)

    def limit(self, number: int, limit: int) -> None:
        """What an idle worker may hold. Where the kernel does not enforce it, `measure` finds out."""
        handle = self._handles.get(number)
        if handle is None:
            return
        if handle.memory is None and limit:
            handle.memory = self._group_for(handle)
        if handle.memory is not None and not handle.memory.set_limit(limit):
            _log.info("worker %d holds more than %d bytes: it is watched instead", number, limit)

    def _group_for(self, handle: WorkerHandle) -> MemoryGroup | None:
        if not self._has_looked_for_groups:
            self._has_looked_for_groups = True
            self._groups = None if self.polls_memory else open_groups(self._nursery.pid)
            how = "polling" if self._groups is None else "control groups"
            _log.info("memory limits are enforced by %s", how)
        group = self._groups.make(handle.number) if self._groups is not None else None
        if group is not None:
            with contextlib.suppress(OSError):
                group.add(handle.pid)
                return group
        return None

    def send(self, number: int, tasks: Sequence[TaskRecord]) -> None:
        """A packet for a worker."""
        self._handles[number].send(tasks)

    def look(self, number: int, now: float) -> None:
        """Tell the core all that a worker has done, and take back what it has not received."""
        handle = self._handles.get(number)
        if handle is None or number in self._broken:
            return
        self._read(handle, now)
        if not handle.reader.is_amid_large:
            self._core.results_came(number, handle.unsent_results(), now)
        self._core.looked(number, handle.take_back(), now)

    def measure(self, number: int, now: float) -> None:
        """Tell the core how much memory a worker's tree holds."""
        handle = self._handles.get(number)
        if handle is None:
            return
        if handle.memory is None or not handle.memory.limit:
            self._core.memory_measured(number, process_table.resident_bytes(handle.pid), now)
            return
        if handle.memory.has_killed():
            self._core.ran_out_of_memory(number, _describe(handle))
        self._core.memory_measured(number, 0, now)

    def kill(self, number: int) -> None:
        """End a worker and all that it has started."""
        if number in self._handles:
            self._nursery.kill(number)

    def close(self, patience_s: float) -> None:
        """Let idle workers end by themselves for so long, then kill what is left."""
        for handle in list(self._by_stream.values()):
            self._forget(handle)
        deadline = time.monotonic() + patience_s
        with contextlib.suppress(Exception):
            while self._handles and (left := deadline - time.monotonic()) > 0:
                if not select.select([self._nursery.fileno()], [], [], left)[0]:
                    break
                for report in self._nursery.reports():
                    if report.kind != zygote.FORKED:
                        self._handles.pop(report.number, None)
        self._epoll.close()
        self._nursery.close(patience_s=2.0)
        if self._groups is not None:  # the zygote has seen to it, unless it was killed
            deadline = time.monotonic() + _GROUPS_S
            while not remove_groups(self._nursery.pid) and time.monotonic() < deadline:
                time.sleep(_GROUPS_PAUSE_S)


def _describe(handle: WorkerHandle) -> str:
    return describe_memory(handle.memory.limit, handle.memory.peak()) if handle.memory is not None else ""
