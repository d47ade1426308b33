"""The worker process: takes packets of tasks, runs one after the other, sends outcomes."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import socket
import sys
import time
import traceback
from typing import Final, NoReturn

from fanflow.codec.buffers import Pieces, size_of
from fanflow.codec.calls import pack_raised, run_parts
from fanflow.codec.worker_flag import enter_worker
from fanflow.pilot.errors import MessageTooLargeError
from fanflow.pilot.surroundings import Surroundings
from fanflow.pilot.task_output import TaskOutput
from fanflow.pilot.worker_link import Page, WorkerEnds, receive_exactly
from fanflow.pilot.worker_records import (
    CUT_OFF_STATUS,
    FUNCTION,
    HEADER,
    PAYLOAD,
    PRINTED,
    READY,
    RESULT,
    RETIRES,
    WANTS_FUNCTION,
    WANTS_PAYLOAD,
    LinkError,
    unpack_tasks,
)

_SEND_AFTER_NS: Final = 1_000_000
"""Results wait no longer than this for those of further short tasks."""

_SEND_BYTES: Final = 30_000
"""Bytes of results that wait at most; with one more of this size they fit into the page."""

_PACKET_ROOM: Final = 1 << 20
_MOST_FUNCTIONS: Final = 10_000
_CHILD_STATUS: Final = 70


class Worker:
    """One process, one task at a time. Main thread only.

    Args:
        ends: What it was born with.
        log: Path of its log, for messages.
        max_message: Bytes of one result, when pickled.
    """

    def __init__(self, ends: WorkerEnds, log: str, max_message: int) -> None:
        self._max_message = max_message
        self._packets = socket.socket(fileno=ends.packets)
        self._stream = socket.socket(fileno=ends.stream)
        self._page = Page(ends.page)
        os.close(ends.page)
        self._waiting: list[bytes] = []
        """Records that have not been sent; all results among them are in the page, too."""
        self._waiting_bytes = 0
        self._waits_since = 0
        self._attempt = 0
        self._functions: dict[int, bytes] = {}
        self._output = TaskOutput(self._print, log)
        self._is_forked_child = False
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def run(self) -> None:
        """Run tasks until the manager closes the connection."""
        enter_worker()
        self._output.install()
        if "PYTHONBREAKPOINT" not in os.environ:
            sys.breakpointhook = _refuse_breakpoint
        self._surroundings = Surroundings((sys.stdout, sys.stderr))
        try:
            self._stream.sendall(HEADER.pack(READY, 0, os.getpid(), 0))
            while packet := self._next_packet():
                self._run_packet(packet)
        except (BrokenPipeError, ConnectionResetError, EOFError):
            pass  # the manager is gone
        except (OSError, ValueError):
            if not self._is_forked_child:
                raise

    def end(self) -> None:
        """Leave the process, past what its parent has on the stack."""
        if self._is_forked_child:  # a task forked, and its child came back from the task
            os._exit(_CHILD_STATUS)
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # there is no public way
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)

    def _leave_to_parent(self) -> None:
        """In a child that a task has forked: it must not speak for this worker."""
        self._is_forked_child = True
        self._output.switch_off()
        for end in (self._packets, self._stream, self._page):
            end.close()

    def _next_packet(self) -> bytes:
        if self._waiting:
            try:
                return self._packets.recv(_PACKET_ROOM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._send()
        return self._packets.recv(_PACKET_ROOM)

    def _run_packet(self, packet: bytes) -> None:
        clock, functions, page, output = time.perf_counter_ns, self._functions, self._page, self._output
        surroundings = self._surroundings
        pack, waiting = HEADER.pack, self._waiting
        tasks = unpack_tasks(packet)
        is_alone = len(tasks) == 1
        if is_alone and waiting:
            self._send()  # what travels alone may take long
        started = clock()
        for attempt, number, payload, environment in tasks:
            self._attempt = attempt
            head = functions.get(number) or self._ask_function(number)
            if environment:
                outcome = self._run_in(environment, head, payload)
            elif payload is None:
                outcome = run_parts(head, self._ask(WANTS_PAYLOAD, PAYLOAD, attempt))
            else:
                outcome = run_parts(head, payload)
            ended = clock()
            is_spoilt = surroundings.are_changed and not surroundings.restore()
            if output.has_text:
                output.flush_task()
                is_spoilt |= output.is_cut_off
            if type(outcome) is not bytes or len(outcome) > _SEND_BYTES:
                self._send_large(attempt, (ended - started) // 1000, outcome)
                started = ended
                if is_spoilt:
                    self._retire()
                continue
            header = pack(RESULT, attempt, (ended - started) // 1000, len(outcome))
            if is_alone:
                self._send()
                self._stream.sendall(header + outcome)
            else:
                record = header + outcome
                page.append(record)
                if not waiting:
                    self._waits_since = started
                waiting.append(record)
                self._waiting_bytes += len(record)
                if ended - self._waits_since > _SEND_AFTER_NS or self._waiting_bytes > _SEND_BYTES:
                    self._send()
            started = ended
            if is_spoilt:
                self._retire()

    def _retire(self) -> None:
        """Make room for a worker that is as it should be."""
        self._send()
        self._stream.sendall(HEADER.pack(RETIRES, 0, 0, 0))
        os._exit(0)

    def _send(self) -> None:
        if self._waiting:
            self._stream.sendall(b"".join(self._waiting))
            self._page.clear()
            self._waiting.clear()
            self._waiting_bytes = 0

    def _send_large(self, attempt: int, run_us: int, outcome: bytes | Pieces) -> None:
        pieces = (outcome,) if isinstance(outcome, bytes) else outcome
        size = size_of(pieces)
        if size > self._max_message:
            error = MessageTooLargeError("the result of the task", size, self._max_message)
            pieces = (pack_raised(error),)
            size = len(pieces[0])
        self._send()
        self._stream.sendall(HEADER.pack(RESULT, attempt, run_us, size))
        for piece in pieces:
            self._stream.sendall(piece)

    def _run_in(self, environment: dict[str, str], head: bytes, payload: bytes | None) -> bytes | Pieces:
        """Run with these variables set, and put back what they were."""
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        try:
            if payload is None:
                return run_parts(head, self._ask(WANTS_PAYLOAD, PAYLOAD, self._attempt))
            return run_parts(head, payload)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _ask_function(self, number: int) -> bytes:
        body = bytes(self._ask(WANTS_FUNCTION, FUNCTION, number))
        if len(self._functions) >= _MOST_FUNCTIONS:
            self._functions.clear()
        self._functions[number] = body
        return body

    def _ask(self, question: int, answer: int, number: int) -> memoryview:
        self._send()
        self._stream.sendall(HEADER.pack(question, number, 0, 0))
        kind, answered, _, size = HEADER.unpack(receive_exactly(self._stream, HEADER.size))
        if (kind, answered) != (answer, number):
            raise LinkError(f"asked for {question} of {number}, was given {kind} of {answered}")
        return receive_exactly(self._stream, size)

    def _print(self, text: str, is_error: bool) -> None:
        data = text.encode("utf-8", "replace")
        self._send()  # what was printed must not come before the results of earlier attempts
        self._stream.sendall(HEADER.pack(PRINTED, self._attempt, is_error, len(data)) + data)


def _refuse_breakpoint(*args: object, **kwargs: object) -> NoReturn:
    raise RuntimeError(
        "breakpoint() in a worker process, which has no terminal; "
        "set FANFLOW_INLINE=1 to run tasks where the program runs"
    )


def work(ends: WorkerEnds, log: str, max_message: int) -> None:
    """Be a worker until the manager is gone; never returns."""
    worker = Worker(ends, log, max_message)
    try:
        worker.run()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc(file=sys.__stderr__)
        os._exit(CUT_OFF_STATUS if error.errno in {errno.EBADF, errno.ENOTSOCK} else 1)
    except BaseException:  # noqa: BLE001 - whatever a task has left behind: handlers, broken streams
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    worker.end()
