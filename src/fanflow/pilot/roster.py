"""The managers of an interchange: who is there, who has room, who was silent for longest. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence

from fanflow.pilot.backlog import Backlog, Parcel
from fanflow.pilot.manager_view import ManagerView

Order = Callable[[Sequence[ManagerView]], Sequence[ManagerView]]


class Roster:
    """All managers that were accepted. Nothing on the way of a task looks at all of them."""

    def __init__(self) -> None:
        self.by_connection: OrderedDict[bytes, ManagerView] = OrderedDict()
        """Those that were silent for longest come first."""
        self.free: dict[bytes, ManagerView] = {}
        """With idle workers."""
        self.spare: dict[bytes, ManagerView] = {}
        """Without, but they take more all the same."""
        self.held_blocks: set[str] = set()
        """Their managers get nothing more, those that are still to come included."""
        self.drained_blocks: set[str] = set()
        """Their managers are also to end when they have nothing left."""
        self._identities: dict[str, bytes] = {}
        """Uid -> connection."""

    def add(self, manager: ManagerView) -> None:
        """A manager was accepted; there is none with its uid or its connection."""
        self.by_connection[manager.identity] = manager
        self._identities[manager.uid] = manager.identity
        self.note(manager)

    def remove(self, manager: ManagerView) -> None:
        """It has gone."""
        identity = manager.identity
        del self.by_connection[identity]
        del self._identities[manager.uid]
        self.free.pop(identity, None)
        self.spare.pop(identity, None)

    def find(self, uid: str) -> ManagerView | None:
        """The manager with this uid."""
        identity = self._identities.get(uid)
        return None if identity is None else self.by_connection[identity]

    def of_block(self, block: str) -> list[ManagerView]:
        """The managers of a block: rarely asked, for it looks at all."""
        return [manager for manager in self.by_connection.values() if manager.block == block]

    def heard(self, manager: ManagerView, now: float) -> None:
        """It has sent something."""
        manager.last_seen = now
        self.by_connection.move_to_end(manager.identity)

    def most_silent(self) -> ManagerView | None:
        """The manager that was heard of longest ago."""
        return next(iter(self.by_connection.values()), None)

    def note(self, manager: ManagerView) -> None:
        """What it holds, or wants, has changed."""
        identity = manager.identity
        if manager.free_slots() > 0:
            self.free[identity] = manager
            self.spare.pop(identity, None)
        else:
            self.free.pop(identity, None)
            if manager.spare_room() > 0:
                self.spare[identity] = manager
            else:
                self.spare.pop(identity, None)

    def hold(self, uids: Collection[str], blocks: Collection[str], *, drains: bool) -> list[ManagerView]:
        """Give nothing more to these managers, or to those of these blocks; returns those that are there."""
        self.held_blocks.update(blocks)
        if drains:
            self.drained_blocks.update(blocks)
        held = [
            manager
            for manager in self.by_connection.values()
            if manager.uid in uids or manager.block in blocks
        ]
        for manager in held:
            manager.is_held = True
            self.note(manager)
        return held

    def deal(self, backlog: Backlog, order: Order | None) -> Iterator[tuple[ManagerView, Parcel]]:
        """Share out what waits; the caller notes what a manager was given before it goes on."""
        # Free places first, then what managers take beyond that to hide the way here and back.
        for ready, room_of in ((self.free, ManagerView.free_slots), (self.spare, ManagerView.spare_room)):
            turns = len(ready)
            wanted = iter(order(list(ready.values()))) if order is not None else None
            while turns and backlog and ready:
                manager = next(wanted, None) if wanted is not None else next(iter(ready.values()))
                if manager is None:
                    break
                fair = -(-len(backlog) // turns)
                turns -= 1
                parcel = backlog.take(min(room_of(manager), fair))
                del ready[manager.identity]  # to the end, if it still has room
                if parcel.items:
                    yield manager, parcel
                self.note(manager)
