"""One manager as the interchange sees it."""

from __future__ import annotations

from fanflow.pilot import wire


class ManagerView:
    """What a manager said of itself, and what it holds.

    Args:
        identity: Of its connection.
        header: Its registration.
        now: Monotonic seconds.
    """

    __slots__ = (
        "block", "done", "functions", "header", "holds", "host", "identity", "idle_since", "is_draining",
        "is_held", "last_seen", "nonsense", "packages", "registered_at", "slots", "uid", "want",
    )  # fmt: skip

    def __init__(self, identity: bytes, header: wire.Register, now: float) -> None:
        self.identity = identity
        self.header = header
        self.uid = header.uid
        self.block = header.block
        self.host = header.host
        self.slots = header.slots
        """Attempts that it runs at one time."""
        self.want = header.slots + header.prefetch
        """Attempts that it would hold in all."""
        self.holds: set[int] = set()
        """Attempts that it has, running or not."""
        self.done = 0
        self.functions: set[int] = set()
        """Functions that it has been sent."""
        self.is_held = False
        """Nothing more is sent to it."""
        self.is_draining = False
        """It has asked for nothing more; then it is held, too."""
        self.packages: dict[str, object] | None = None
        """Name -> version of what is installed there; None until somebody has asked."""
        self.nonsense = 0
        """Messages in a row that made no sense."""
        self.last_seen = now
        self.registered_at = now
        self.idle_since = now
        """When it ended its last attempt; while it holds any, this says nothing."""

    def free_slots(self) -> int:
        """Attempts that could start at once."""
        return 0 if self.is_held else self.slots - len(self.holds)

    def spare_room(self) -> int:
        """Attempts that it would take, started at once or not."""
        return 0 if self.is_held else self.want - len(self.holds)

    def facts(self, now: float) -> dict[str, object]:
        """What users see of it, under the names that existing programs know."""
        node = self.header.node or wire.NodeDescription()
        return {
            "manager": self.uid,
            "block_id": self.block,
            "hostname": self.host,
            "process_id": self.header.pid,
            "worker_count": self.slots,
            "plan": node.plan,
            "tasks": len(self.holds),
            "tasks_done": self.done,
            "idle_duration": 0.0 if self.holds else max(0.0, now - self.idle_since),
            "active": not self.is_held,
            "draining": self.is_draining,
            "fanflow_version": self.header.fanflow,
            "parsl_version": self.header.fanflow,
            "python_version": node.python or self.header.python,
            "os": node.os,
            "cpu_count": node.cpu_count,
            "total_memory": node.total_memory,
            "dir": node.directory,
            "start_time": node.started,
            "drain_time": node.drains or None,
        }
