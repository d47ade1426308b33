"""The running half of the high-throughput executor: sockets and processes around `ClientCore`."""

from __future__ import annotations

import importlib
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Final

import msgspec
import zmq

from fanflow._version import __version__
from fanflow.errors import BadStateException, ExecutorError
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Launch, Lost
from fanflow.pilot import wire
from fanflow.pilot.access import Access
from fanflow.pilot.client import ClientCore, Facts, Frames
from fanflow.pilot.fork_server_link import ForkServerLink
from fanflow.pilot.interchange import InterchangeConfig
from fanflow.pilot.mailbox import Mailbox
from fanflow.pilot.manager_source import ManagerSource
from fanflow.pilot.printing import Printer
from fanflow.pilot.registration import InterchangeSettings, minor_of
from fanflow.pilot.sockets import receive_all, send, set_limits
from fanflow.pilot.transport import Transport, UnixTransport
from fanflow.pilot.unpacking import Unpacker
from fanflow.pilot.whereabouts import tell
from fanflow.spi.executor import EventSink, Loop

_log = logging.getLogger("fanflow.pilot")

_MOST_PER_TURN: Final = 200
"""Messages taken from the interchange before the kernel does something else."""

_ANSWER_S: Final = 2.0
"""For the kernel thread to notice that the engine is to end, at least."""

_CANCEL_S: Final = 10.0
"""For providers to cancel their jobs, at least."""

_KILL_S: Final = 5.0
"""For the fork server to end what it has forked."""

_RECONNECT_MS: Final = 5
"""Until the interchange has bound its socket; it is on this host."""

_PATIENCE_MS: Final = 3_000
"""For managers to come back to a new interchange; they try at least once a second."""

_MOST_RESTARTS: Final = 10
"""Interchanges that may die within `_RESTART_WINDOW_S` before the executor has failed."""

_RESTART_WINDOW_S: Final = 60.0


_MOST_BAD_MANAGERS: Final = 3
"""That may be refused, or find that they cannot work, while no other is there."""


class Engine:
    """One executor's interchange and what hangs on it. Kernel thread only, but for `close`.

    Args:
        label: The executor's.
        run_id: Of the run; a stranger's messages carry another.
        blocks: Starts managers.
        transport: Their way to the interchange; None: a Unix socket.
    """

    kills = True
    stops_commands = True

    def __init__(
        self, label: ExecutorLabel, run_id: str, blocks: ManagerSource, transport: Transport | None = None
    ) -> None:
        self.label = label
        self.blocks = blocks
        self._directory = tempfile.mkdtemp(prefix="ff")  # 0700, and short: a socket's path has 107 bytes
        self._transport = transport or UnixTransport()
        try:
            self._transport.open(self._directory)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        self._generation = 0
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        cloudpickle: str = importlib.import_module("cloudpickle").__version__  # it comes without types
        self.settings = InterchangeSettings(
            run_id=run_id,
            python=version,
            fanflow=__version__,
            cloudpickle=minor_of(cloudpickle),
        )
        self.selector = b""
        """A pickled `ManagerSelector`; empty: managers take turns. Settable until `start`."""
        self.max_message = wire.MAX_PAYLOAD_BYTES
        """Bytes of one call's arguments, or of one result; settable until `start`."""
        self.gives_up = True
        """It fails by itself when managers cannot work; False: who starts them decides that."""
        self._blocks_admitted: set[str] = set()
        self._ends = threading.Event()
        self._hears_end = threading.Event()
        self._drains = False
        self._ended = threading.Event()
        self.mailbox = Mailbox(label)
        self._deaths: list[float] = []
        self.failure: BaseException | None = None
        """Why it has given up."""
        self._is_started = False

    @property
    def capacity(self) -> int:
        """Workers that are connected, or expected."""
        planned = max(1, self.blocks.planned)
        return max(planned, self.core.capacity) if self._is_started else planned

    def start(self, events: EventSink, loop: Loop) -> None:
        """Start the fork server and the interchange; managers follow on their own."""
        self._sink = events
        self.loop = loop
        self._unpacker = Unpacker(events, loop)
        self._printer = Printer(events, loop)
        self.core = ClientCore(self._unpacker, self._printer, self.blocks.managers_changed)
        self.core.max_message = self.max_message
        self.fork_server = ForkServerLink(self._directory)
        self._context = zmq.Context()
        self._is_started = True
        try:
            self.mailbox.open(loop)
            loop.watch(self.fork_server.fileno(), self._on_fork_server)
            self._start_interchange()
            self.blocks.begin(self)
        except BaseException:
            self._ends.set()
            self._end()
            self._release(_CANCEL_S)
            raise

    def _start_interchange(self) -> None:
        # A socket of its own for each: what was queued for a dead one must not reach its successor.
        self._socket = self._context.socket(zmq.DEALER)
        self._generation += 1
        client_url = f"ipc://{self._directory}/c{self._generation}"
        set_limits(self._socket, wire.MAX_MESSAGE_BYTES)
        self._socket.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self._socket.connect(client_url)
        self.loop.watch(self._socket, self._on_messages)
        settings = replace(self.settings, takes_over=self._generation > 1)
        config = InterchangeConfig(
            settings=settings,
            client_url=client_url,
            listener=self._transport.listener(),
            selector=self.selector,
        )
        self._send(
            [[wire.encode(wire.Hello(wire.VERSION, self.settings.run_id, dict(self._transport.admitted)))]]
        )
        encoded = msgspec.msgpack.encode(config)
        self.fork_server.start(
            "fanflow.pilot.interchange", encoded, self._on_interchange_ended, self._transport.descriptors
        )

    def _send(self, messages: Sequence[Frames]) -> None:
        for frames in messages:
            send(self._socket, frames)

    def admit(self, block: str) -> Access:
        """Let the managers of a block in; returns what goes into their `ManagerConfig`."""
        access, public_key = self._transport.admit(block)
        self._blocks_admitted.add(block)
        if public_key:
            self._send([[wire.encode(wire.Admit(block, public_key))]])
        return access

    def drain(self, blocks: Sequence[str]) -> None:
        """Let the managers of these blocks finish what they have, and end."""
        self._send([self.core.drain(blocks)])

    def question(self, what: str, on_answer: Callable[[Facts], None]) -> None:
        """Ask the interchange for facts: `managers` or `packages`. Kernel thread."""
        self._send([self.core.ask(what, on_answer)])

    def revoke(self, block: str) -> None:
        """A block has ended: its managers are not let in any more."""
        self._transport.revoke(block)
        self._blocks_admitted.discard(block)
        self.core.draining.discard(block)
        self._send([[wire.encode(wire.Revoke(block))]])

    # -- the executor's seam ----------------------------------------------------------------------

    def submit(self, batch: Sequence[Launch]) -> None:
        """Pack the calls and send them on; what cannot be packed is reported."""
        if self.failure is not None or self._ends.is_set():
            self._sink([Lost(launch.attempt, self._why_lost()) for launch in batch])
            return
        messages, refused = self.core.submit(batch)
        self._send(messages)
        if refused:
            self._sink(refused)
        if not self.core.managers:
            self.blocks.submitted()

    @property
    def outstanding(self) -> int:
        """Attempts without an outcome. Any thread."""
        return len(self.core.open) if self._is_started else 0

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._ends.is_set()

    @property
    def is_usable(self) -> bool:
        """Whether it takes tasks."""
        return self.failure is None and not self._ends.is_set()

    def _why_lost(self) -> BaseException:
        if self.failure is not None:
            return BadStateException(self.label, self.failure)
        return CancelledError(f"executor {self.label!r} is closed")

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """What has not started never will; what runs is killed by its manager."""
        messages, lost = self.core.cancel(attempts)
        self._send(messages)
        if lost:
            self._sink(lost)
        self._end_if_done()

    def close(self, *, drain: bool, deadline: float) -> None:
        """End the processes, when what runs has ended. What is still open is lost. Not the kernel thread."""
        if not self._is_started:
            self._ends.set()
            self.mailbox.close()
            self._remove()
            return
        ends_at = time.monotonic() + deadline
        first = not self._ends.is_set()
        if first:
            self._drains = drain
            self._ends.set()
            self.mailbox.post(self._on_close)
        hears = self._hears_end.wait(max(_ANSWER_S, deadline))
        if hears and not self._ended.wait(max(0.0, ends_at - time.monotonic())):
            self.mailbox.post(self._end)  # what has not ended by now is dropped
        if not self._ended.wait(_ANSWER_S):
            _log.error("executor %r: the kernel thread does not answer; its processes are killed", self.label)
        if first:
            self._release(ends_at - time.monotonic())

    def _release(self, seconds: float) -> None:
        """Give back what the loop has no part in; `_end` has given back the rest, or will."""
        if self._ended.is_set():
            self.blocks.join(max(_CANCEL_S, seconds))
        self.fork_server.close(max(_KILL_S, seconds))
        self._unpacker.close()
        self._printer.close()
        self._remove()

    def _remove(self) -> None:
        self._transport.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # -- what the loop says -----------------------------------------------------------------------

    def _on_close(self) -> None:
        """Asked to end: when everything has ended, or when what runs has."""
        self._hears_end.set()
        self._end_if_done()
        if not self._drains and not self._ended.is_set():
            self.drain(sorted(self._blocks_admitted))  # managers give back what has not started

    def _end_if_done(self) -> None:
        if self._hears_end.is_set() and not (self.core.open and (self._drains or self.core.managers)):
            self._end()

    def _end(self) -> None:
        """Leave the loop, and report what is open. Idempotent."""
        if self._ended.is_set():
            return
        self.blocks.end()
        self.mailbox.close(self.loop)
        self.loop.unwatch(self.fork_server.fileno())
        if self._generation:
            self.loop.unwatch(self._socket)
            self._send([[wire.encode(wire.Bye())]])
        lost: list[AttemptEvent] = [Lost(AttemptId(attempt), self._why_lost()) for attempt in self.core.open]
        self.core.open.clear()
        if lost:
            self._sink(lost)
        self._context.destroy(linger=200)
        self._ended.set()

    def _on_messages(self) -> None:
        self._take_messages()
        self._end_if_done()

    def _take_messages(self) -> int:
        messages = list(receive_all(self._socket, _MOST_PER_TURN))
        events, again = self.core.receive(messages)
        if events:
            self._sink(events)
        self._send(again)
        failures = self.core.failures if self.gives_up and not self.core.managers else []
        if len(failures) >= _MOST_BAD_MANAGERS and self.failure is None:
            self.fail(ExecutorError(self.label, f"no manager can work, the last one was {failures[-1]}"))
        return len(messages)

    def _on_fork_server(self) -> None:
        if not self.fork_server.receive() and not self._ended.is_set():
            self.loop.unwatch(self.fork_server.fileno())
            self.fail(RuntimeError(f"the fork server of executor {self.label!r} died"))
            self.fork_server.end_all()

    def _on_interchange_ended(self, status: int) -> None:
        if self._ended.is_set() or self.failure is not None:
            return
        now = self.loop.now()
        self._deaths = [when for when in self._deaths if now - when < _RESTART_WINDOW_S] + [now]
        if len(self._deaths) > _MOST_RESTARTS:
            self.fail(
                RuntimeError(f"the interchange of executor {self.label!r} died {len(self._deaths)} times")
            )
            return
        _log.error(
            "the interchange of executor %r ended with status %d: a new one takes over", self.label, status
        )
        while self._take_messages():
            pass  # what it had sent counts: those tasks need not be asked for again
        self.loop.unwatch(self._socket)
        self._socket.close(linger=0)
        self._start_interchange()
        self._send(self.core.takeover(_PATIENCE_MS))

    def ask(self, what: str) -> Facts:
        """Facts of the interchange: `managers` or `packages`; none when it has ended. Not the kernel thread.

        Raises:
            WaitInCallbackError: Called by a done-callback.
            ExecutorError: It has ended meanwhile.
            TimeoutError: The interchange does not answer.
        """
        if not self._is_started or not self.is_usable:
            return []

        def begin(answer: Future[Facts]) -> None:
            self.question(what, answer.set_result)

        return self.mailbox.ask(f"the interchange of executor {self.label!r}", begin)

    def describe(self, attempt: AttemptId) -> str:
        """Where an attempt is and what it waits for, in words. Any thread but the kernel's."""
        if not self.is_usable:
            return f"which has failed: {self.failure}" if self.failure is not None else "which is closed"
        if not self.core.managers:
            return self.blocks.describe()

        def begin(answer: Future[Facts]) -> None:
            self._send([self.core.ask("whereabouts", answer.set_result, attempt)])

        return tell(self.mailbox.ask(f"the interchange of executor {self.label!r}", begin)[0])

    def fail(self, error: BaseException) -> None:
        """Give up: everything open ends with this error, and so does all that comes. Kernel thread."""
        if self.failure is not None or self._ended.is_set():
            return
        _log.critical("executor %r cannot go on: %s", self.label, error)
        self.failure = error
        told = BadStateException(self.label, error)
        attempts = [AttemptId(attempt) for attempt in self.core.open]
        messages, _ = self.core.cancel(attempts)
        self._send(messages)
        failed: list[AttemptEvent | ExecutorFailed] = [ExecutorFailed(self.label, error)]
        failed.extend(Lost(attempt, told) for attempt in attempts)
        self._sink(failed)
        self.blocks.abandon()
        self._end_if_done()
