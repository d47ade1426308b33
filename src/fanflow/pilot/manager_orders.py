"""What the pure core of a manager orders its shell to do."""

from __future__ import annotations

from fanflow.pilot.wire import ResultItem
from fanflow.pilot.worker_records import TaskRecord


class Orders:
    """What the shell has to do, in the order of the fields."""

    __slots__ = ("items", "kill", "look", "measure", "packets", "parts", "returned", "start", "want")

    def __init__(self) -> None:
        self.items: list[ResultItem] = []
        """Outcomes for the client."""
        self.parts: list[bytes] = []
        """Their small payloads."""
        self.returned: list[int] = []
        """Attempts that go back to the interchange."""
        self.start: list[int] = []
        """Slots that need a new worker."""
        self.packets: list[tuple[int, list[TaskRecord]]] = []
        self.look: list[int] = []
        """Read the worker's results, the unsent ones too, take back its packets, and call `looked`."""
        self.measure: list[int] = []
        """Call `memory_measured`."""
        self.kill: list[int] = []
        """The worker and all that it has started; `worker_ended` follows."""
        self.want: int | None = None
        """Attempts that the manager would hold, if that has changed."""
