"""What the interchange knows and decides: the queue, the managers, who gets what. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fanflow.pilot import wire
from fanflow.pilot.backlog import Backlog, Parcel
from fanflow.pilot.chunks import Assembly, AssemblyError
from fanflow.pilot.manager_view import ManagerView
from fanflow.pilot.package_survey import Survey

Frames = Sequence[bytes | memoryview]


@dataclass(frozen=True, kw_only=True, slots=True)
class InterchangeSettings:
    """What one interchange is started with."""

    run_id: str
    python: str
    """Major and minor version that managers must have, such as `3.11`."""
    fanflow: str
    """Version that managers must have."""
    heartbeat_ms: int = 5_000
    threshold_ms: int = 30_000


class Outbox:
    """Messages of one batch, in order."""

    __slots__ = ("ends", "to_client", "to_manager")

    def __init__(self) -> None:
        self.to_client: list[Frames] = []
        self.to_manager: list[tuple[bytes, Frames]] = []
        """Identity of the connection, frames."""
        self.ends = False
        """The client said goodbye: send what is there, then exit."""


class InterchangeCore:
    """Relays attempts and outcomes, and never looks inside a payload.

    The shell passes it every message of a batch, then takes the outbox. The cost of a message does
    not depend on how many managers there are.

    Args:
        settings: Of this run.
        order: Which of the managers that have room gets tasks first: takes them in the order in
            which they became ready and returns them in the order wanted. None: as they are.
    """

    def __init__(
        self,
        settings: InterchangeSettings,
        order: Callable[[Sequence[ManagerView]], Sequence[ManagerView]] | None = None,
    ) -> None:
        self.settings = settings
        self.managers: OrderedDict[bytes, ManagerView] = OrderedDict()
        """By connection; those that were silent longest come first."""
        self.backlog = Backlog()
        self.malformed = 0
        """Messages that were dropped because they made no sense, or came from strangers."""
        self._order = order
        self._free: dict[bytes, ManagerView] = {}
        """Managers with idle workers."""
        self._spare: dict[bytes, ManagerView] = {}
        """Managers without, that take more all the same."""
        self._functions: dict[int, Frames] = {}
        self._arriving = Assembly()
        self._held_blocks: set[str] = set()
        self._survey = Survey()
        self._now = 0.0
        self._outbox = Outbox()
        self._client_handlers: dict[type, Callable[..., None]] = {
            wire.Hello: self._on_hello,
            wire.Function: self._on_function,
            wire.Tasks: self._on_tasks,
            wire.Chunk: self._on_task_chunk,
            wire.Cancel: self._on_cancel,
            wire.Ask: self._on_ask,
            wire.Hold: self._on_hold,
            wire.Admit: self._on_admit,
            wire.Revoke: self._on_revoke,
            wire.Bye: self._on_bye,
        }
        self._manager_handlers: dict[type, Callable[..., None]] = {
            wire.Results: self._on_results,
            wire.Chunk: self._on_result_chunk,
            wire.Want: self._on_want,
            wire.Return: self._on_return,
            wire.Drain: self._on_drain,
            wire.Heartbeat: self._on_heartbeat,
            wire.Printed: self._on_printed,
            wire.Answer: self._on_answer,
            wire.Leave: self._on_leave,
        }

    # -- in -------------------------------------------------------------------------------------

    def from_client(self, frames: Frames, now: float = 0.0) -> None:
        """One message of the client, whom the transport has authenticated.

        Args:
            frames: Header first.
            now: Monotonic seconds; if left out, as late as was said last.
        """
        self._now = max(self._now, now)
        try:
            header = wire.decode_from_client(frames[0])
            self._client_handlers[type(header)](header, frames)
        except (ValueError, IndexError, AssemblyError):  # msgspec's errors are ValueErrors
            self.malformed += 1

    def from_manager(self, identity: bytes, frames: Frames, now: float) -> None:
        """One message of a manager. Nonsense costs the manager nothing but the message.

        Args:
            identity: Of the connection.
            frames: Header first.
            now: Monotonic seconds.
        """
        self._now = max(self._now, now)
        try:
            header = wire.decode_from_manager(frames[0])
            manager = self.managers.get(identity)
            if type(header) is wire.Register:
                self._register(identity, header, now)
            elif manager is None:
                self.malformed += 1  # before it registered, or after it was given up: it must register
                self._send(identity, wire.Refused("unknown manager: register first"))
            else:
                manager.last_seen = now
                self.managers.move_to_end(identity)
                self._manager_handlers[type(header)](manager, header, frames)
        except (ValueError, IndexError, AssemblyError):
            self.malformed += 1

    def connection_ended(self, identity: bytes) -> None:
        """The transport says that this peer is gone."""
        manager = self.managers.get(identity)
        if manager is not None:
            self._give_up(manager, "its connection ended")

    def tick(self, now: float) -> float:
        """Time has passed; managers that were silent for too long are lost.

        Returns:
            When to tick again at the latest.
        """
        threshold = self.settings.threshold_ms / 1000
        while self.managers:
            manager = next(iter(self.managers.values()))
            if now - manager.last_seen <= threshold:
                return manager.last_seen + threshold
            self._give_up(manager, f"nothing was heard of it for {now - manager.last_seen:.0f} s")
        return now + threshold

    def take_outbox(self) -> Outbox:
        """Hand out what waits and can go, and give the messages of this batch to the shell."""
        if self.backlog:
            self._dispatch()
        outbox, self._outbox = self._outbox, Outbox()
        return outbox

    # -- out ------------------------------------------------------------------------------------

    def _send(self, identity: bytes, header: wire.Message, *frames: bytes | memoryview) -> None:
        self._outbox.to_manager.append((identity, (wire.encode(header), *frames)))

    def _tell(self, header: wire.Message, *frames: bytes | memoryview) -> None:
        self._outbox.to_client.append((wire.encode(header), *frames))

    def _note(self, manager: ManagerView) -> None:
        """Keep track of who has room, so that nobody has to look at all managers."""
        identity = manager.identity
        if manager.free_slots() > 0:
            self._free[identity] = manager
            self._spare.pop(identity, None)
        else:
            self._free.pop(identity, None)
            if manager.spare_room() > 0:
                self._spare[identity] = manager
            else:
                self._spare.pop(identity, None)

    def _dispatch(self) -> None:
        # Free places first, then what managers take beyond that to hide the way here and back.
        for ready, room_of in ((self._free, ManagerView.free_slots), (self._spare, ManagerView.spare_room)):
            turns = len(ready)
            wanted = iter(self._order(list(ready.values()))) if self._order is not None else None
            while turns and self.backlog and ready:
                manager = next(wanted, None) if wanted is not None else next(iter(ready.values()))
                if manager is None:
                    break
                fair = -(-len(self.backlog) // turns)
                turns -= 1
                parcel = self.backlog.take(min(room_of(manager), fair))
                del ready[manager.identity]  # to the end, if it still has room
                if parcel.items:
                    self._hand_over(manager, parcel)
                self._note(manager)

    def _hand_over(self, manager: ManagerView, parcel: Parcel) -> None:
        for number in parcel.functions() - manager.functions:
            manager.functions.add(number)
            self._outbox.to_manager.append((manager.identity, self._functions[number]))
        for attempt, pieces in parcel.large:
            offset = 0
            for piece in pieces:
                self._send(manager.identity, wire.Chunk(attempt, offset), piece)
                offset += len(piece)
        manager.holds.update(parcel.attempts())
        self._send(manager.identity, wire.Tasks(parcel.items), parcel.blob())

    # -- the client -----------------------------------------------------------------------------

    def _on_hello(self, header: wire.Hello, frames: Frames) -> None:
        if header.version != wire.VERSION or header.run_id != self.settings.run_id:
            self.malformed += 1

    def _on_function(self, header: wire.Function, frames: Frames) -> None:
        self._functions[header.number] = (bytes(frames[0]), bytes(frames[1]))

    def _on_tasks(self, header: wire.Tasks, frames: Frames) -> None:
        if any(item.function not in self._functions for item in header.items):
            raise ValueError("a task of a function that was never sent")
        large = [
            (item.attempt, self._arriving.finish(item.attempt, item.size))
            for item in header.items
            if item.size > wire.INLINE_LIMIT
        ]
        self.backlog.add(header.items, wire.split(header.items, frames[1]), large)

    def _on_task_chunk(self, header: wire.Chunk, frames: Frames) -> None:
        self._arriving.add(header.attempt, header.offset, frames[1])

    def _on_cancel(self, header: wire.Cancel, frames: Frames) -> None:
        wanted = self.backlog.cancel(header.attempts)
        for manager in list(self.managers.values()) if wanted else ():
            its = wanted & manager.holds
            if its:
                self._send(manager.identity, wire.Cancel(sorted(its)))

    def _on_hold(self, header: wire.Hold, frames: Frames) -> None:
        self._held_blocks.update(header.blocks)
        for manager in self.managers.values():
            if manager.uid in header.managers or manager.block in header.blocks:
                manager.is_held = True
                self._note(manager)

    def _on_ask(self, header: wire.Ask, frames: Frames) -> None:
        managers = self.managers.values()
        if header.what != "packages":
            self._tell(wire.Answer(header.number, [manager.facts(self._now) for manager in managers]))
            return
        for identity in self._survey.begin(header.number, managers):
            self._send(identity, wire.Ask(header.number, header.what))
        self._tell_surveyed()

    def _tell_surveyed(self) -> None:
        for number, facts in self._survey.take_answers():
            self._tell(wire.Answer(number, facts))

    def _on_admit(self, header: wire.Admit, frames: Frames) -> None:
        pass

    def _on_revoke(self, header: wire.Revoke, frames: Frames) -> None:
        pass

    def _on_bye(self, header: wire.Bye, frames: Frames) -> None:
        for manager in self.managers.values():
            self._send(manager.identity, wire.Drain())
        self._outbox.ends = True

    # -- managers -------------------------------------------------------------------------------

    def _register(self, identity: bytes, header: wire.Register, now: float) -> None:
        reason = self._why_not(header)
        if reason:
            self._send(identity, wire.Refused(reason))
            self._tell(wire.ManagerRefused(header.uid, header.block, header.host, reason))
            return
        known = self.managers.pop(identity, None)
        manager = ManagerView(identity, header, now)
        manager.is_held = header.block in self._held_blocks
        manager.holds.update(header.holds)
        self.managers[identity] = manager
        self._note(manager)
        if known is not None:
            self._report_lost(known, known.holds - manager.holds, "the manager began anew")
        self._send(identity, wire.Accepted(self.settings.heartbeat_ms, self.settings.threshold_ms))
        self._tell(wire.ManagerJoined(header.uid, header.block, header.host, header.slots))

    def _why_not(self, header: wire.Register) -> str:
        ours = self.settings
        if header.version != wire.VERSION:
            return f"it speaks version {header.version} of the protocol, this run version {wire.VERSION}"
        if header.python != ours.python:
            return f"it runs Python {header.python}, this run Python {ours.python}"
        if header.fanflow != ours.fanflow:
            return f"it has fanflow {header.fanflow}, this run fanflow {ours.fanflow}"
        if header.trouble:
            return header.trouble
        if header.slots < 1:
            return f"it offers {header.slots} workers"
        return ""

    def _on_results(self, manager: ManagerView, header: wire.Results, frames: Frames) -> None:
        attempts = {item.attempt for item in header.items}
        if len(attempts) != len(header.items) or not attempts <= manager.holds:
            raise ValueError("outcomes of attempts that this manager does not hold")
        blob = frames[1]
        if sum(item.size for item in header.items if item.size <= wire.INLINE_LIMIT) != len(blob):
            raise ValueError("payloads do not fit their items")
        manager.holds -= attempts
        manager.done += len(attempts)
        if not manager.holds:
            manager.idle_since = self._now
        self._note(manager)
        self._outbox.to_client.append((frames[0], blob))

    def _on_result_chunk(self, manager: ManagerView, header: wire.Chunk, frames: Frames) -> None:
        if header.attempt not in manager.holds or not header.is_result:
            raise ValueError("a chunk of an attempt that this manager does not hold")
        self._outbox.to_client.append((frames[0], frames[1]))

    def _on_want(self, manager: ManagerView, header: wire.Want, frames: Frames) -> None:
        manager.want = max(0, header.total)
        self._note(manager)

    def _on_return(self, manager: ManagerView, header: wire.Return, frames: Frames) -> None:
        returned = manager.holds & set(header.attempts)
        self._report_lost(manager, returned, "given back before it started", cause="drained")
        self._note(manager)

    def _on_drain(self, manager: ManagerView, header: wire.Drain, frames: Frames) -> None:
        manager.is_held = manager.is_draining = True
        self._note(manager)

    def _on_heartbeat(self, manager: ManagerView, header: wire.Heartbeat, frames: Frames) -> None:
        self._send(manager.identity, wire.Heartbeat())

    def _on_printed(self, manager: ManagerView, header: wire.Printed, frames: Frames) -> None:
        self._outbox.to_client.append((frames[0],))

    def _on_answer(self, manager: ManagerView, header: wire.Answer, frames: Frames) -> None:
        self._survey.answered(manager, header.facts)
        self._tell_surveyed()

    def _on_leave(self, manager: ManagerView, header: wire.Leave, frames: Frames) -> None:
        # It has reported all that it had: the rest was on the way to it.
        self._report_lost(manager, set(manager.holds), "it came too late to its manager", cause="drained")
        self._give_up(manager, header.reason, is_failure=header.is_failure)

    def _give_up(self, manager: ManagerView, reason: str, *, is_failure: bool = False) -> None:
        del self.managers[manager.identity]
        self._survey.left(manager)
        self._tell_surveyed()
        self._free.pop(manager.identity, None)
        self._spare.pop(manager.identity, None)
        self._tell(wire.ManagerLeft(manager.uid, manager.block, manager.host, reason, is_failure))
        self._report_lost(manager, set(manager.holds), f"manager {manager.uid} was lost: {reason}")

    def _report_lost(
        self, manager: ManagerView, attempts: set[int], detail: str, cause: str = "manager"
    ) -> None:
        if not attempts:
            return
        manager.holds -= attempts
        if not manager.holds:
            manager.idle_since = self._now
        loss = wire.Loss(cause, host=manager.host, detail=detail, blames_task=False)
        items = [wire.ResultItem(attempt, 0, lost=loss) for attempt in sorted(attempts)]
        self._tell(wire.Results(items), b"")
