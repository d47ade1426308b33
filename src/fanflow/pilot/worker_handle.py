"""The manager's end of one worker: sends packets, takes them back, reads results, answers requests."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from fanflow.pilot.memory_groups import MemoryGroup
from fanflow.pilot.wire import CHUNK_BYTES
from fanflow.pilot.worker_link import Page, WorkerEnds
from fanflow.pilot.worker_records import (
    HEADER,
    RecordReader,
    Result,
    TaskRecord,
    pack_tasks,
    read_results,
    unpack_tasks,
)

_READ_BYTES: Final = 1 << 16
"""Of small results at a time: a larger buffer would be mapped and unmapped for each reading."""

_BUFFER_BYTES: Final = 1 << 20
_TAIL_BYTES: Final = 8192

Pieces = Sequence[bytes | memoryview]


class WorkerHandle:
    """One worker process. Never blocks.

    Args:
        number: Its place, from 0.
        log: Path of its log.
    """

    def __init__(self, number: int, log: str) -> None:
        self.number = number
        self.log = log
        self.pid = 0
        """0 until the zygote has forked it."""
        self.memory: MemoryGroup | None = None
        """Made when a task has a limit for the first time, and if that is possible."""
        self.has_retired = False
        """It has said that it ends, and that nothing of what it holds has started."""
        self.reader = RecordReader(CHUNK_BYTES)
        self._log_start = os.path.getsize(log) if os.path.exists(log) else 0
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        self._packets, self._its_packets = socket.socketpair(socket.AF_UNIX, kind)
        self.stream, self._its_stream = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.stream.setblocking(False)
        for end in (self._packets, self.stream, self._its_stream):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        # The two ends of a packet pair share one open description each: the worker must block, we must not.
        self._its_packets.setblocking(True)
        page = Page.create()
        self._page_descriptor = page
        self._page = Page(page)
        self._unsent: deque[bytes] = deque()
        self._answers: deque[memoryview] = deque()

    @property
    def ends(self) -> WorkerEnds:
        """What the worker is born with."""
        return WorkerEnds(self._its_packets.fileno(), self._its_stream.fileno(), self._page_descriptor)

    def forked(self, pid: int) -> None:
        """The worker has its ends now."""
        self.pid = pid
        self._its_stream.close()
        os.close(self._page_descriptor)
        self._page_descriptor = -1

    def close(self) -> None:
        """Idempotent. The worker ends when it has nothing more to read."""
        for end in (self._packets, self._its_packets, self.stream, self._its_stream):
            end.close()
        self._page.close()
        if self._page_descriptor >= 0:
            os.close(self._page_descriptor)
            self._page_descriptor = -1

    # -- tasks ----------------------------------------------------------------------------------

    def send(self, tasks: Sequence[TaskRecord]) -> None:
        """One packet. What does not fit into the socket's buffer follows when results come."""
        packet = pack_tasks(tasks)
        if self._unsent or not self._can_send(packet):
            self._unsent.append(packet)

    def _can_send(self, packet: bytes) -> bool:
        """Send it now, unless there is no room."""
        try:
            self._packets.send(packet)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is dead; the zygote will say so
        return True

    def take_back(self) -> list[int]:
        """Attempts that the worker has not received, and now never will."""
        packets = list(self._unsent)
        self._unsent.clear()
        while True:
            try:
                packets.append(self._its_packets.recv(_BUFFER_BYTES, socket.MSG_DONTWAIT))
            except (BlockingIOError, ConnectionResetError):
                break
        return [task[0] for packet in packets for task in unpack_tasks(packet)]

    # -- results --------------------------------------------------------------------------------

    def read(self) -> bool:
        """Read what is there into `reader`, but not for long.

        Returns:
            Whether there may be more.

        Raises:
            LinkError: It is nonsense.
        """
        reader = self.reader
        was_amid_large = reader.is_amid_large
        try:
            if was_amid_large:
                count = self.stream.recv_into(reader.awaited)
                if count:
                    reader.filled(count)
                return bool(count)
            data = self.stream.recv(_READ_BYTES)
        except (BlockingIOError, ConnectionResetError):
            return False
        if not data:
            return False
        reader.feed(data)
        while self._unsent and self._can_send(self._unsent[0]):
            self._unsent.popleft()
        return reader.is_amid_large or len(data) == _READ_BYTES

    def unsent_results(self) -> list[Result]:
        """Results of short tasks that the worker has not sent yet; it may send them once more."""
        return read_results(self._page.peek())

    @property
    def is_answering(self) -> bool:
        """Whether `send_answers` has something to do when the stream can be written."""
        return bool(self._answers)

    # -- answers --------------------------------------------------------------------------------

    def answer(self, kind: int, number: int, pieces: Pieces) -> None:
        """Send what the worker asked for, as far as it goes now."""
        size = sum(len(piece) for piece in pieces)
        self._answers.append(memoryview(HEADER.pack(kind, number, 0, size)))
        self._answers.extend(memoryview(piece) for piece in pieces)
        self.send_answers()

    def send_answers(self) -> None:
        """Go on sending."""
        answers = self._answers
        while answers:
            try:
                count = self.stream.send(answers[0])
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                answers.clear()
                return
            if count == len(answers[0]):
                answers.popleft()
            else:
                answers[0] = answers[0][count:]

    # -- after its end --------------------------------------------------------------------------

    def log_tail(self) -> str:
        """The end of what this worker wrote."""
        try:
            with open(self.log, "rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, end - _TAIL_BYTES))
                return file.read(_TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""
