"""Asks managers which packages they have, when somebody wants to know, and keeps what they say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fanflow.pilot.manager_view import ManagerView

Facts = list[dict[str, object]]


class Survey:
    """Questions of the client that wait for managers.

    Nothing is sent when managers start: thousands would send megabytes that few ask for.
    """

    def __init__(self) -> None:
        self._asked: dict[int, tuple[list[ManagerView], set[bytes]]] = {}
        """Question -> managers of the answer, and the connections of those that have not said."""

    def begin(self, number: int, managers: Iterable[ManagerView]) -> Sequence[bytes]:
        """A question came.

        Returns:
            Connections of the managers that have to be asked.
        """
        wanted = list(managers)
        open_ = {manager.identity for manager in wanted if manager.packages is None}
        known = {identity for _, asked in self._asked.values() for identity in asked}
        self._asked[number] = (wanted, open_)
        return sorted(open_ - known)

    def answered(self, manager: ManagerView, facts: Facts) -> None:
        """A manager has said what it has."""
        manager.packages = dict(facts[0]) if facts else {}
        self.left(manager)

    def left(self, manager: ManagerView) -> None:
        """Nobody needs to wait for this manager any more."""
        for _, open_ in self._asked.values():
            open_.discard(manager.identity)

    def take_answers(self) -> list[tuple[int, Facts]]:
        """Questions that can be answered now, with the facts of all managers that did not leave meanwhile."""
        ready = [number for number, (_, open_) in self._asked.items() if not open_]
        return [(number, self._facts(self._asked.pop(number)[0])) for number in ready]

    def _facts(self, managers: Iterable[ManagerView]) -> Facts:
        return [
            {"manager": manager.uid, "hostname": manager.host, "packages": dict(manager.packages)}
            for manager in managers
            if manager.packages is not None
        ]
