"""Policies that say which managers get tasks first. Pure."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set

from fanflow.pilot.manager_view import ManagerView

_log = logging.getLogger("fanflow.pilot.interchange")

Order = Callable[[Sequence[ManagerView]], Sequence[ManagerView]]
"""Takes the managers that have room, returns them in the order in which they are to get tasks."""


class ManagerSelector(ABC):
    """Chooses which managers get tasks first. Runs in the interchange, so it is pickled at the start."""

    @abstractmethod
    def sort_managers(
        self, ready_managers: Mapping[bytes, Mapping[str, object]], manager_list: Set[bytes]
    ) -> list[bytes]:
        """The managers, those that are to get tasks first at the end of the list.

        Args:
            ready_managers: What is known of the managers, by id: the facts of `connected_managers()`.
            manager_list: Ids of those that have room.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomManagerSelector(ManagerSelector):
    """No manager is preferred: they take turns. Costs the same with any number of managers."""

    def sort_managers(
        self, ready_managers: Mapping[bytes, Mapping[str, object]], manager_list: Set[bytes]
    ) -> list[bytes]:
        return list(manager_list)


class BlockIdManagerSelector(ManagerSelector):
    """Fills the oldest block first, so that younger ones become idle and can be given back."""

    def sort_managers(
        self, ready_managers: Mapping[bytes, Mapping[str, object]], manager_list: Set[bytes]
    ) -> list[bytes]:
        return sorted(manager_list, key=lambda id: _number(ready_managers[id]["block_id"]), reverse=True)


def _number(block: object) -> tuple[int, str]:
    text = str(block)
    return (int(text), text) if text.isdecimal() else (1 << 62, text)


def order_of(selector: ManagerSelector) -> Order | None:
    """The selector as the interchange's rules take it; None where managers take turns."""
    if type(selector) is RandomManagerSelector:
        return None

    def order(ready: Sequence[ManagerView]) -> Sequence[ManagerView]:
        by_id = {view.identity: view for view in ready}
        facts = {id: view.facts(view.last_seen) for id, view in by_id.items()}
        try:
            chosen = selector.sort_managers(facts, set(by_id))
            return [by_id[id] for id in reversed(chosen) if id in by_id]
        except Exception:  # noqa: BLE001 - the user's code; the tasks are to run all the same
            _log.exception("manager selector %r failed: the managers take turns", selector)
            return ready

    return order
