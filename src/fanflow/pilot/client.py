"""What the client knows of its attempts on the engine. No sockets; kernel thread only."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError

from fanflow.errors import AppTimeout
from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent, Launch, Lost, Raised
from fanflow.pilot import wire
from fanflow.pilot.chunks import Assembly, AssemblyError
from fanflow.pilot.errors import ManagerLost, WorkerLost
from fanflow.pilot.flight import Flight
from fanflow.pilot.parcels import Functions, Packed, messages_of, messages_of_large, pack
from fanflow.pilot.printing import Printer
from fanflow.pilot.unpacking import Unpacker

_log = logging.getLogger("fanflow.pilot")

Frames = Sequence[bytes | memoryview]
Facts = list[dict[str, object]]
ManagerNews = wire.ManagerJoined | wire.ManagerLeft | wire.ManagerRefused


class ClientCore:
    """Holds every call until its outcome is there, so that the interchange may die and forget.

    Args:
        unpacker: Turns payloads into outcomes.
        printer: Shows what tasks print.
        on_manager: Told of managers that come and go.
    """

    def __init__(
        self, unpacker: Unpacker, printer: Printer, on_manager: Callable[[ManagerNews], None]
    ) -> None:
        self._on_manager = on_manager
        self.max_message = wire.MAX_PAYLOAD_BYTES
        """Bytes of one call's arguments, when pickled."""
        self.functions = Functions()
        self.open: dict[int, Packed] = {}
        """Attempts without an outcome."""
        self.managers: dict[str, wire.ManagerJoined] = {}
        """Managers that take tasks, by uid."""
        self._slots = 0
        """Of all these, so that asking costs the same with any number of managers."""
        self.draining: set[str] = set()
        """Blocks that take nothing more, as long as they are there."""
        self.failures: list[str] = []
        """Why managers could not work or were refused, since an attempt had an outcome."""
        self.malformed = 0
        """Messages of the interchange that made no sense."""
        self._unpacker = unpacker
        self._printer = printer
        self._talkative: set[int] = set()
        """Open attempts that have printed."""
        self._flight = Flight()
        self._arriving = Assembly()
        self._questions: dict[int, tuple[Frames, Callable[[Facts], None]]] = {}
        """By number: what was asked, and who waits for the answer."""
        self._numbers = itertools.count()
        self._handlers: dict[type, Callable[..., None]] = {
            wire.Results: self._on_results,
            wire.Chunk: self._on_chunk,
            wire.Answer: self._on_answer,
            wire.ManagerJoined: self._on_joined,
            wire.ManagerLeft: self._on_left,
            wire.ManagerRefused: self._on_refused,
            wire.Printed: self._on_printed,
            wire.Got: self._on_got,
            wire.Heartbeat: self._on_heartbeat,
        }
        self._events: list[AttemptEvent] = []
        self._again: list[Packed] = []

    @property
    def capacity(self) -> int:
        """Workers that are connected."""
        return self._slots

    # -- out ------------------------------------------------------------------------------------

    def submit(self, batch: Iterable[Launch]) -> tuple[list[Frames], list[AttemptEvent]]:
        """Messages for these attempts, and what becomes at once of those that cannot be sent."""
        packed: list[Packed] = []
        refused: list[AttemptEvent] = []
        for launch in batch:
            try:
                call = pack(launch, self.functions, self.max_message)
            except Exception as error:  # noqa: BLE001 - pickling runs anybody's code
                refused.append(Raised(launch.attempt, error))
            else:
                self.open[launch.attempt] = call
                packed.append(call)
        return self._messages(packed), refused

    def _messages(self, calls: Sequence[Packed] = ()) -> list[Frames]:
        if not calls and not self._flight:
            return []
        messages: list[Frames] = [*self.functions.take_new()]
        small = [call for call in calls if call.item.size <= wire.INLINE_LIMIT]
        if len(small) < len(calls):
            for call in calls:
                if call.item.size > wire.INLINE_LIMIT:
                    self._flight.add(call)
        messages += messages_of(small)
        for call in self._flight.take(self.open):
            messages += messages_of_large(call)
        return messages

    def takeover(self, patience_ms: int) -> list[Frames]:
        """Messages for an interchange that replaces a dead one: all that it knew, and whom to wait for.

        Args:
            patience_ms: How long it waits for managers to come back and say what they hold.
        """
        self._arriving = Assembly()  # what had come of large results will not be continued
        calls = self.open.values()
        messages: list[Frames] = [*self.functions.all()]
        messages += messages_of([call for call in calls if call.item.size <= wire.INLINE_LIMIT])
        for attempt in self._flight.in_the_air():
            messages += messages_of_large(self.open[attempt])
        messages += [question for question, _ in self._questions.values()]
        messages.append(self.drain(sorted(self.draining)))
        expect = wire.Expect(list(self.managers), patience_ms, self._flight.on_the_ground())
        return [*messages, [wire.encode(expect)]]

    def cancel(self, attempts: Sequence[AttemptId]) -> tuple[list[Frames], list[AttemptEvent]]:
        """Messages that stop these, and their outcomes: what comes of them later is dropped."""
        known = [int(attempt) for attempt in attempts if self.open.pop(attempt, None) is not None]
        if not known:
            return [], []
        lost: list[AttemptEvent] = [
            Lost(AttemptId(attempt), CancelledError(f"attempt {attempt} was cancelled")) for attempt in known
        ]
        for attempt in known:
            self._arriving.drop(attempt)
            self._flight.ended(attempt)
            self._talkative.discard(attempt)
        return [[wire.encode(wire.Cancel(known))], *self._messages()], lost

    def drain(self, blocks: Sequence[str]) -> Frames:
        """A message that lets the managers of these blocks finish what they have, and end."""
        self.draining.update(blocks)
        return [wire.encode(wire.Hold([], list(blocks), drains=True))]

    def ask(self, what: str, on_answer: Callable[[Facts], None], attempt: int = 0) -> Frames:
        """A question to the interchange."""
        number = next(self._numbers)
        question = [wire.encode(wire.Ask(number, what, attempt))]
        self._questions[number] = question, on_answer
        return question

    # -- in -------------------------------------------------------------------------------------

    def receive(self, messages: Iterable[Frames]) -> tuple[list[AttemptEvent], list[Frames]]:
        """Take messages of the interchange: outcomes to report, messages to send."""
        self._events, self._again = [], []
        for frames in messages:
            try:
                header = wire.decode_to_client(frames[0])
                self._handlers[type(header)](header, frames)
            except (ValueError, IndexError, RecursionError):  # those of msgspec are ValueErrors
                self.malformed += 1
                _log.exception("a message of the interchange makes no sense")
        again, self._again = self._again, []
        return self._events, self._messages(again)

    def _on_results(self, header: wire.Results, frames: Frames) -> None:
        parts = wire.split(header.items, frames[1])
        pop, unpack = self.open.pop, self._unpacker.unpack
        sent, talkative = self._flight.sent, self._talkative
        for item, part in zip(header.items, parts, strict=True):
            call = pop(item.attempt, None)
            if call is None:
                continue  # cancelled, or reported before
            if sent and item.attempt in sent:
                self._flight.ended(item.attempt)
            if item.lost is not None:
                self._lost(call, item.lost)
                continue
            pieces = None
            if item.size > wire.INLINE_LIMIT:
                try:
                    pieces = self._arriving.finish(item.attempt, item.size)
                except AssemblyError as error:  # the others in this message have come to no harm
                    _log.error("the result of attempt %d came incomplete: %s", item.attempt, error)
                    self._lost(call, wire.Loss("manager", detail=str(error), blames_task=False, manager="?"))
                    continue
            if self.failures:
                self.failures.clear()
            report = None
            if talkative and item.attempt in talkative:
                talkative.discard(item.attempt)
                report = self._printer.report
            event = unpack(AttemptId(item.attempt), call.name, part, pieces, report)
            if event is not None:
                if report is None:
                    self._events.append(event)
                else:
                    report(event)

    def _lost(self, call: Packed, loss: wire.Loss) -> None:
        attempt = AttemptId(call.item.attempt)
        self._arriving.drop(attempt)
        self._talkative.discard(attempt)
        if loss.cause == "drained":
            self.open[attempt] = call  # it had not started: nobody needs to know
            self._again.append(call)
        elif loss.cause == "walltime":
            limit = call.item.walltime_ms / 1000
            self._events.append(
                Raised(attempt, AppTimeout(f"App {call.name} exceeded walltime: {limit} seconds"))
            )
        elif loss.cause == "cancelled":
            self._events.append(Lost(attempt, CancelledError(f"attempt {attempt} was cancelled")))
        elif loss.cause == "manager":
            lost = ManagerLost(loss.manager, loss.host, detail=loss.detail)
            self._events.append(Lost(attempt, lost, blames_task=loss.blames_task))
        else:
            died = WorkerLost(loss.worker, loss.host, cause=loss.cause, detail=loss.detail)
            self._events.append(Lost(attempt, died, blames_task=loss.blames_task))

    def _on_chunk(self, header: wire.Chunk, frames: Frames) -> None:
        if header.attempt in self.open:
            self._arriving.add(header.attempt, header.offset, frames[1])

    def _on_got(self, header: wire.Got, frames: Frames) -> None:
        for attempt in header.attempts:
            self._flight.landed(attempt)

    def _on_heartbeat(self, header: wire.Heartbeat, frames: Frames) -> None:
        """It is alive, which its process says better."""

    def _on_answer(self, header: wire.Answer, frames: Frames) -> None:
        asked = self._questions.pop(header.number, None)
        if asked is not None:
            asked[1](header.facts)

    def _on_joined(self, header: wire.ManagerJoined, frames: Frames) -> None:
        before = self.managers.get(header.uid)
        self.managers[header.uid] = header
        self._slots += header.slots - (before.slots if before is not None else 0)
        _log.info("manager %s of block %s joined: %d workers on %s", *_who(header), header.slots, header.host)
        self._on_manager(header)

    def _on_left(self, header: wire.ManagerLeft, frames: Frames) -> None:
        known = self.managers.pop(header.uid, None)
        if known is not None:  # an interchange that has taken over knows no more than the uid
            self._slots -= known.slots
            header.block, header.host = known.block, known.host
        if header.is_failure:
            self.failures.append(
                f"manager {header.uid} of block {header.block} on {header.host}: {header.reason}"
            )
        level = logging.INFO if header.block in self.draining else logging.WARNING
        _log.log(level, "manager %s of block %s on %s left: %s", *_who(header), header.host, header.reason)
        self._on_manager(header)

    def _on_refused(self, header: wire.ManagerRefused, frames: Frames) -> None:
        self.failures.append(
            f"manager {header.uid} of block {header.block} on {header.host}: {header.reason}"
        )
        _log.error("manager %s of block %s on %s was refused: %s", *_who(header), header.host, header.reason)
        self._on_manager(header)

    def _on_printed(self, header: wire.Printed, frames: Frames) -> None:
        call = self.open.get(header.attempt)
        name = "?"
        if call is not None:
            name = call.name
            self._talkative.add(header.attempt)
        mark = f"[{name}, worker {header.worker} on {header.host}] "
        self._printer.show(mark, header.text, is_error=header.is_error)


def _who(header: ManagerNews) -> tuple[str, str]:
    return header.uid, header.block
