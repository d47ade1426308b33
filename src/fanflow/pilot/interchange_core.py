"""What the interchange knows and decides: the queue, the managers, who gets what. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fanflow.pilot import wire
from fanflow.pilot.admissions import Admissions
from fanflow.pilot.backlog import Backlog, Parcel
from fanflow.pilot.chunks import Assembly
from fanflow.pilot.manager_view import ManagerView
from fanflow.pilot.outbox import Frames, Outbox, ResultChunk
from fanflow.pilot.outcomes import check_sizes, pick
from fanflow.pilot.package_survey import Survey
from fanflow.pilot.registration import InterchangeSettings, why_refused
from fanflow.pilot.roster import Order, Roster
from fanflow.pilot.takeover import Takeover
from fanflow.pilot.whereabouts import answer

_NONSENSE: Final = (ValueError, IndexError, RecursionError)
"""What a message raises that makes no sense; the errors of msgspec and `AssemblyError` are ValueErrors."""

_MOST_NONSENSE: Final = 100
"""Such messages in a row that a manager may send."""

_MOST_WANTED: Final = 1 << 20
_TAKEOVER_TICK_S: Final = 0.05


class InterchangeCore:
    """Relays attempts and outcomes, and never looks inside a payload.

    The shell passes it every message of a batch, then takes the outbox. The cost of a message does
    not depend on how many managers there are.

    Args:
        settings: Of this run.
        order: Which of the managers that have room gets tasks first: takes them in the order in
            which they became ready and returns them in the order wanted. None: as they are.
        admissions: Who may register.
    """

    def __init__(
        self,
        settings: InterchangeSettings,
        order: Order | None = None,
        admissions: Admissions | None = None,
    ) -> None:
        self.settings = settings
        self.admissions = admissions or Admissions()
        self.roster = Roster()
        self.backlog = Backlog()
        self.malformed = 0
        """Messages that were dropped because they made no sense, or came from strangers."""
        self.strays = 0
        """Outcomes that were dropped because their manager did not hold the attempt."""
        self._takeover = Takeover() if settings.takes_over else None
        self._overdue: set[str] = set()
        """Managers that did not come in time after a takeover, and may come yet."""
        self._order = order
        self._functions: dict[int, Frames] = {}
        self._arriving = Assembly()
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
            wire.Expect: self._on_expect,
            wire.Bye: self._on_bye,
        }
        self._manager_handlers: dict[type, Callable[..., None]] = {
            wire.Results: self._on_results,
            wire.Chunk: self._on_result_chunk,
            wire.Want: self._on_want,
            wire.Return: self._on_return,
            wire.Drain: self._on_drain,
            wire.Heartbeat: self._on_heartbeat,
            wire.Answer: self._on_answer,
            wire.Leave: self._on_leave,
            wire.Printed: self._on_printed,
            wire.Got: self._on_got,
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
        except _NONSENSE:
            self.malformed += 1

    def from_manager(self, identity: bytes, frames: Frames, now: float) -> None:
        """One message of a manager. Nonsense is dropped; one that sends nothing else is given up.

        Args:
            identity: Of the connection.
            frames: Header first.
            now: Monotonic seconds.
        """
        self._now = max(self._now, now)
        manager = self.roster.by_connection.get(identity)
        try:
            header = wire.decode_from_manager(frames[0])
            if type(header) is wire.Register:
                self._register(identity, header, now)
            elif manager is None:
                self.malformed += 1  # before it registered, or after it was given up: it must register
                self._outbox.send(identity, wire.Refused("unknown manager: register first"))
            else:
                self.roster.heard(manager, now)
                self._manager_handlers[type(header)](manager, header, frames)
                manager.nonsense = 0
        except _NONSENSE:
            self.malformed += 1
            if manager is not None:
                manager.nonsense += 1
                if manager.nonsense >= _MOST_NONSENSE:
                    self._outbox.send(identity, wire.Refused("its messages make no sense"))
                    self._give_up(manager, "its messages make no sense")

    def connection_ended(self, identity: bytes) -> None:
        """The transport says that this peer is gone."""
        self.admissions.ended(identity)
        manager = self.roster.by_connection.get(identity)
        if manager is not None:
            self._give_up(manager, "its connection ended")

    def tick(self, now: float) -> float:
        """Time has passed; managers that were silent for too long are lost.

        Returns:
            When to tick again at the latest.
        """
        threshold = self.settings.threshold_ms / 1000
        due = now + (threshold if self._takeover is None else _TAKEOVER_TICK_S)
        while manager := self.roster.most_silent():
            if now - manager.last_seen <= threshold:
                due = min(due, manager.last_seen + threshold)
                break
            self._give_up(manager, f"nothing was heard of it for {now - manager.last_seen:.0f} s")
        if self._takeover is not None and self._takeover.is_over(now):
            self._end_takeover(self._takeover)
        return due

    def take_outbox(self) -> Outbox:
        """Hand out what waits and can go, and give the messages of this batch to the shell."""
        if self._takeover is not None and self._takeover.is_complete:
            self._end_takeover(self._takeover)
        if self.backlog:
            for manager, parcel in self.roster.deal(self.backlog, self._order):
                self._hand_over(manager, parcel)
        outbox, self._outbox = self._outbox, Outbox()
        return outbox

    # -- out ------------------------------------------------------------------------------------

    def _hand_over(self, manager: ManagerView, parcel: Parcel) -> None:
        for number in parcel.functions() - manager.functions:
            manager.functions.add(number)
            self._outbox.to_manager.append((manager.identity, self._functions[number]))
        manager.holds.update(parcel.attempts())
        self._outbox.send_parcel(manager.identity, parcel)

    # -- the client -----------------------------------------------------------------------------

    def _on_hello(self, header: wire.Hello, frames: Frames) -> None:
        if (header.version, header.run_id) != (wire.VERSION, self.settings.run_id):
            raise ValueError("the client is of another run, or of another version")
        self.admissions.open(header.admitted)

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
        batch = header.items, wire.split(header.items, frames[1]), large
        if self._takeover is not None:
            self._takeover.add(batch)
        else:
            self.backlog.add(*batch)

    def _on_task_chunk(self, header: wire.Chunk, frames: Frames) -> None:
        self._arriving.add(header.attempt, header.offset, frames[1])

    def _on_cancel(self, header: wire.Cancel, frames: Frames) -> None:
        wanted = self.backlog.cancel(header.attempts)
        if self._takeover is not None:
            self._takeover.cancel(wanted)
        for manager in self.roster.by_connection.values() if wanted else ():
            its = wanted & manager.holds
            if its:
                self._outbox.send(manager.identity, wire.Cancel(sorted(its)))

    def _on_hold(self, header: wire.Hold, frames: Frames) -> None:
        for manager in self.roster.hold(header.managers, header.blocks, drains=header.drains):
            if header.drains:
                self._outbox.send(manager.identity, wire.Drain())

    def _on_expect(self, header: wire.Expect, frames: Frames) -> None:
        if self._takeover is None:
            raise ValueError("managers are expected, but this interchange has taken over from no other")
        self._takeover.expect(header.managers, header.patience_ms / 1000, header.landed)

    def _end_takeover(self, takeover: Takeover) -> None:
        self._takeover = None
        for batch in takeover.waiting():
            self.backlog.add(*batch)
        for question in takeover.questions:
            self._on_ask(question, ())
        takeover.report(self._outbox, self.roster.by_connection.values())
        self._overdue = takeover.missing

    def _on_ask(self, header: wire.Ask, frames: Frames) -> None:
        if self._takeover is not None:
            self._takeover.questions.append(header)
            return
        managers = self.roster.by_connection.values()
        if header.what == "packages":
            for identity in self._survey.begin(header.number, managers):
                self._outbox.send(identity, wire.Ask(header.number, header.what))
            self._tell_surveyed()
        elif header.what == "counters":
            counters = {"malformed": self.malformed, "strays": self.strays, **self.admissions.counters()}
            self._outbox.tell(wire.Answer(header.number, [counters]))
        else:
            facts = answer(header, managers, len(self.backlog), self._now)
            self._outbox.tell(wire.Answer(header.number, facts))

    def _tell_surveyed(self) -> None:
        for number, facts in self._survey.take_answers():
            self._outbox.tell(wire.Answer(number, facts))

    def _on_admit(self, header: wire.Admit, frames: Frames) -> None:
        self.admissions.admit(header.block, header.public_key)

    def _on_revoke(self, header: wire.Revoke, frames: Frames) -> None:
        self.admissions.revoke(header.block)
        reason = f"block {header.block} has ended"
        for manager in self.roster.of_block(header.block):
            self._outbox.send(manager.identity, wire.Refused(reason))
            self._give_up(manager, reason)

    def _on_bye(self, header: wire.Bye, frames: Frames) -> None:
        for manager in self.roster.by_connection.values():
            self._outbox.send(manager.identity, wire.Drain())
        self._outbox.ends = True

    # -- managers -------------------------------------------------------------------------------

    def _register(self, identity: bytes, header: wire.Register, now: float) -> None:
        reason = self.admissions.why_not(identity, header.block) or why_refused(header, self.settings)
        if reason:
            self.admissions.refused += 1
            self._outbox.send(identity, wire.Refused(reason))
            self._outbox.tell(wire.ManagerRefused(header.uid, header.block, header.host, reason))
            return
        known = self.roster.by_connection.get(identity)
        if known is not None and known.uid != header.uid:
            self._give_up(known, f"it calls itself {header.uid} now")
        before = self.roster.find(header.uid)
        manager = ManagerView(identity, header, now)
        manager.is_held = header.is_draining or header.block in self.roster.held_blocks
        named = set(header.holds)
        manager.holds = self._own(header.uid, named, before)
        if before is not None:
            manager.is_held |= before.is_held
            self.roster.remove(before)
            self._report_lost(before, before.holds - manager.holds, "the manager began anew")
        self.roster.add(manager)
        self._outbox.send(identity, wire.Accepted(self.settings.heartbeat_ms, self.settings.threshold_ms))
        if named != manager.holds:
            self._outbox.send(identity, wire.Cancel(sorted(named - manager.holds)))
        if header.block in self.roster.drained_blocks and not header.is_draining:
            self._outbox.send(identity, wire.Drain())
        self._outbox.tell(wire.ManagerJoined(header.uid, header.block, header.host, header.slots))

    def _own(self, uid: str, named: set[int], before: ManagerView | None) -> set[int]:
        """Which of the attempts that a manager says it holds are its own: no one else has them.

        Args:
            uid: Of the manager.
            named: What it says.
            before: The manager as it was known up to now.
        """
        kept = named & before.holds if before is not None else set[int]()
        if self._takeover is not None:
            return kept | self._takeover.came(uid, named - kept)
        if uid in self._overdue:
            self._overdue.discard(uid)
            late = self.backlog.remove(named - kept)
            self._outbox.tell(wire.Got(sorted(late)))
            return kept | late
        return kept

    def _on_results(self, manager: ManagerView, header: wire.Results, frames: Frames) -> None:
        items, blob = header.items, frames[1]
        attempts = {item.attempt for item in items}
        check_sizes(items, blob)
        if len(attempts) == len(items) and attempts <= manager.holds:
            self._outbox.to_client.append((frames[0], blob))
        else:
            attempts &= manager.holds
            self.strays += len(items) - len(attempts)
            self._outbox.tell(*pick(items, blob, attempts))
        manager.holds -= attempts
        manager.done += len(attempts)
        if not manager.holds:
            manager.idle_since = self._now
        self.roster.note(manager)

    def _on_result_chunk(self, manager: ManagerView, header: wire.Chunk, frames: Frames) -> None:
        if not header.is_result:
            raise ValueError("a chunk of a call, from a manager")
        if header.attempt in manager.holds:
            self._outbox.to_client.append(ResultChunk.of(manager.identity, frames[:2]))
        else:
            self._outbox.send(manager.identity, wire.Passed(len(frames[1])))

    def _on_want(self, manager: ManagerView, header: wire.Want, frames: Frames) -> None:
        manager.want = min(max(0, header.total), _MOST_WANTED)
        self.roster.note(manager)

    def _on_return(self, manager: ManagerView, header: wire.Return, frames: Frames) -> None:
        returned = manager.holds & set(header.attempts)
        self._take_back(manager, returned, "given back before it started")
        self.roster.note(manager)

    def _on_drain(self, manager: ManagerView, header: wire.Drain, frames: Frames) -> None:
        manager.is_held = manager.is_draining = True
        self.roster.note(manager)

    def _on_heartbeat(self, manager: ManagerView, header: wire.Heartbeat, frames: Frames) -> None:
        self._outbox.send(manager.identity, wire.Heartbeat())

    def _on_printed(self, manager: ManagerView, header: wire.Printed, frames: Frames) -> None:
        self._outbox.to_client.append((frames[0],))

    def _on_got(self, manager: ManagerView, header: wire.Got, frames: Frames) -> None:
        self._outbox.tell(wire.Got([attempt for attempt in header.attempts if attempt in manager.holds]))

    def _on_answer(self, manager: ManagerView, header: wire.Answer, frames: Frames) -> None:
        self._survey.answered(manager, header.facts)
        self._tell_surveyed()

    def _on_leave(self, manager: ManagerView, header: wire.Leave, frames: Frames) -> None:
        # It has reported all that it had: the rest was on the way to it.
        self._take_back(manager, set(manager.holds), "it came too late to its manager")
        self._give_up(manager, header.reason, is_failure=header.is_failure)

    def _take_back(self, manager: ManagerView, attempts: set[int], detail: str) -> None:
        """These had not started: they are handed out again."""
        if self._takeover is not None:
            manager.holds -= attempts
            self._takeover.release(attempts)
        else:
            self._report_lost(manager, attempts, detail, cause="drained")

    def _give_up(self, manager: ManagerView, reason: str, *, is_failure: bool = False) -> None:
        self.roster.remove(manager)
        self._survey.left(manager)
        self._tell_surveyed()
        left = wire.ManagerLeft(manager.uid, manager.block, manager.host, reason, is_failure)
        self._outbox.tell(left)
        self._report_lost(manager, set(manager.holds), f"manager {manager.uid} was lost: {reason}")

    def _report_lost(
        self, manager: ManagerView, attempts: set[int], detail: str, cause: str = "manager"
    ) -> None:
        if not attempts:
            return
        manager.holds -= attempts
        if not manager.holds:
            manager.idle_since = self._now
        loss = wire.Loss(cause, host=manager.host, detail=detail, blames_task=False, manager=manager.uid)
        items = [wire.ResultItem(attempt, 0, lost=loss) for attempt in sorted(attempts)]
        self._outbox.tell(wire.Results(items), b"")
