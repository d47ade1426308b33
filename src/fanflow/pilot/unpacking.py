"""Turns payloads into outcomes: harmless ones at once, the others beside the kernel thread."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Sequence
from typing import Final

from fanflow.codec.calls import unpack_outcome
from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent
from fanflow.spi.executor import EventSink

_STACK_GLOBAL: Final = b"\x93"
"""Pickles without this name no class or function: unpickling them runs nobody's code."""

_SOON_BYTES: Final = 1 << 12
"""Longer ones may take a while."""


class Unpacker:
    """Unpickles outcomes. One thread, started by the first that might take long or run user code.

    Args:
        sink: Where that thread reports.
    """

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._queue: queue.SimpleQueue[tuple[AttemptId, str, bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def unpack(
        self,
        attempt: AttemptId,
        name: str,
        payload: bytes | memoryview,
        pieces: Sequence[bytes | memoryview] | None,
    ) -> AttemptEvent | None:
        """The outcome, or None if the thread reports it later. Kernel thread.

        Args:
            attempt: Whose outcome it is.
            name: The app's name, for messages.
            payload: A small outcome.
            pieces: A large one, instead.
        """
        data = b"".join(pieces) if pieces is not None else bytes(payload)
        if len(data) <= _SOON_BYTES and _STACK_GLOBAL not in data and data[:1] != b"E":
            return unpack_outcome(data, attempt, name)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fanflow-unpacking", daemon=True)
            self._thread.start()
        self._queue.put((attempt, name, data))
        return None

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            attempt, name, data = job
            del job
            self._sink([unpack_outcome(data, attempt, name)])
            del data

    def show(self, text: str, *, is_error: bool) -> None:
        """Pass on what a task printed."""
        print(text, file=sys.stderr if is_error else sys.stdout)

    def close(self) -> None:
        """End the thread, when it has reported what it has."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
