"""What the pure core of a manager orders its shell to do."""

from __future__ import annotations

from typing import Final

from fanflow.pilot.wire import ResultItem
from fanflow.pilot.worker_records import TaskRecord

_MIB: Final = 1 << 20


def describe_memory(limit: int, peak: int) -> str:
    """What is said of an attempt that needed more memory than it may; in bytes."""
    return f"it ran out of memory: its limit is {limit / _MIB:.0f} MiB, its peak was {peak / _MIB:.0f} MiB"


class Orders:
    """What the shell has to do, in the order of the fields."""

    __slots__ = (
        "drains",
        "items",
        "kill",
        "limits",
        "look",
        "measure",
        "packets",
        "parts",
        "returned",
        "start",
        "want",
    )

    def __init__(self) -> None:
        self.drains = False
        """Tell the interchange that nothing more may come; what is returned follows."""
        self.items: list[ResultItem] = []
        """Outcomes for the client."""
        self.parts: list[bytes] = []
        """Their small payloads."""
        self.returned: list[int] = []
        """Attempts that go back to the interchange."""
        self.start: list[int] = []
        """Slots that need a new worker."""
        self.limits: list[tuple[int, int]] = []
        """Slot and bytes that its idle worker may hold from now on; 0: as many as there are."""
        self.packets: list[tuple[int, list[TaskRecord]]] = []
        self.look: list[int] = []
        """Read the worker's results, the unsent ones too, take back its packets, and call `looked`."""
        self.measure: list[int] = []
        """Call `memory_measured`, or `ran_out_of_memory`."""
        self.kill: list[int] = []
        """The worker and all that it has started; `worker_ended` follows."""
        self.want: int | None = None
        """Attempts that the manager would hold, if that has changed."""
