"""What an interchange that replaces a dead one must learn before it hands anything out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from fanflow.pilot.backlog import Pieces
from fanflow.pilot.manager_view import ManagerView
from fanflow.pilot.outbox import Outbox
from fanflow.pilot.wire import Ask, Cancel, Got, Loss, ManagerLeft, ResultItem, Results, TaskItem

Batch = tuple[list[TaskItem], Sequence[memoryview | bytes], list[tuple[int, Pieces]]]


class Takeover:
    """Who holds what: told by the client, which sends all that is open, and by managers that come back.

    It lasts until the client has said all, and every manager that it knows has named what it holds, or
    has had its time. An attempt belongs to the first manager that names it.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        """Uids of managers that have not come back, once the client has said which there are."""
        self.questions: list[Ask] = []
        """Of the client, who wants to hear of all managers."""
        self._batches: list[Batch] = []
        self._held: set[int] = set()
        """Named by a manager, though perhaps ended since: not to be handed out."""
        self._cancelled: set[int] = set()
        self._came: set[str] = set()
        self._landed: set[int] = set()
        """Open attempts that the client has not sent again: a manager had their large payloads."""
        self._has_all = False
        self._patience_s = self._deadline = inf

    # -- the client -----------------------------------------------------------------------------

    def add(self, batch: Batch) -> None:
        """Open attempts: they wait here."""
        self._batches.append(batch)

    def cancel(self, attempts: Iterable[int]) -> None:
        """Nobody waits for these any more."""
        self._cancelled.update(attempts)

    def expect(self, managers: Iterable[str], patience_s: float, landed: Iterable[int] = ()) -> None:
        """The client has sent all that was open, but for what had landed; these are the managers it knows."""
        self._landed.update(landed)
        self.missing = set(managers) - self._came
        self._has_all = True
        self._patience_s = patience_s

    # -- managers -------------------------------------------------------------------------------

    def came(self, uid: str, named: set[int]) -> set[int]:
        """A manager has come back; returns those of the attempts that it named which are its own."""
        self._came.add(uid)
        self.missing.discard(uid)
        own = named - self._held
        self._held |= own
        return own

    def release(self, attempts: Iterable[int]) -> None:
        """A manager has given back attempts that had not started: they are handed out with the others."""
        self._held.difference_update(attempts)

    # -- its end --------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Everything has been told."""
        return self._has_all and not self.missing

    def is_over(self, now: float) -> bool:
        """Everything has been told, or the patience with those that are missing is at an end."""
        if not self._has_all:
            return False
        if self._deadline == inf:
            self._deadline = now + self._patience_s
        return not self.missing or now >= self._deadline

    def open(self) -> set[int]:
        """Attempts that somebody waits for."""
        sent = {item.attempt for items, _, _ in self._batches for item in items}
        return (sent | self._landed) - self._cancelled

    def held_large(self) -> list[int]:
        """Attempts that the client has sent in vain, though they are large: a manager has them."""
        return [attempt for _, _, large in self._batches for attempt, _ in large if attempt in self._held]

    def landed_nowhere(self) -> list[int]:
        """Attempts that the client has not sent again, and no manager has."""
        return sorted(self._landed - self._held - self._cancelled)

    def waiting(self) -> Iterator[Batch]:
        """What is to be handed out: open, and held by nobody."""
        settled = self._held | self._cancelled
        for items, parts, large in self._batches:
            kept = [place for place, item in enumerate(items) if item.attempt not in settled]
            yield (
                [items[place] for place in kept],
                [parts[place] for place in kept],
                [(attempt, pieces) for attempt, pieces in large if attempt not in settled],
            )

    def report(self, outbox: Outbox, managers: Iterable[ManagerView]) -> None:
        """Say what has come of it: to the client, and to managers that hold what nobody waits for."""
        if landed := self.held_large():
            outbox.tell(Got(landed))
        if lost := self.landed_nowhere():
            loss = Loss("drained", detail="no manager has it any more", blames_task=False)
            outbox.tell(Results([ResultItem(attempt, 0, lost=loss) for attempt in lost]), b"")
        wanted = self.open()
        for manager in managers:
            unwanted = manager.holds - wanted
            if unwanted:  # cancelled while no interchange was there to say so, or ended and on its way twice
                outbox.send(manager.identity, Cancel(sorted(unwanted)))
        for uid in sorted(self.missing):
            outbox.tell(ManagerLeft(uid, "", "", "it did not come back when the interchange was replaced"))
