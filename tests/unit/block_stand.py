"""A `BlockCore` with one block, under a clock that the test moves."""

from __future__ import annotations

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import BlockCore, BlockOrders
from fanflow.pilot.block_states import BlockState

J0 = JobId("j0")
RUNNING = JobStatus(JobState.RUNNING)
PENDING = JobStatus(JobState.PENDING)


class Stand:
    """A core, and a clock that the test moves."""

    def __init__(self, limit: int = 1) -> None:
        self.core = BlockCore(limit)
        self.now = 1000.0

    def request(self, count: int = 1, after: float = 1.0) -> list[str]:
        self.now += after
        return self.core.request(count, self.now, by_policy=True)

    def look(self, status: JobStatus | None = None, after: float = 1.0) -> BlockOrders:
        """The provider says the same of every job; None: it lists none."""
        self.now += after
        jobs = self.core.jobs()
        self.core.looked(jobs, {job: status for job in jobs if status is not None}, self.now)
        return self.core.take_orders()

    def queue(self) -> None:
        self.request()
        self.core.submitted("0", J0, self.now)
        self.core.take_orders()

    def connect(self) -> None:
        self.queue()
        self.core.manager_joined("0", "m", self.now)

    def leave(self) -> BlockOrders:
        self.core.manager_left("0", "m", self.now)
        return self.core.take_orders()

    def drain(self) -> BlockOrders:
        self.core.drain(["0"], self.now)
        return self.core.take_orders()

    def held(self) -> BlockOrders:
        self.core.held(["0"])
        return self.core.take_orders()

    @property
    def state(self) -> BlockState:
        return self.core.blocks["0"].state

    @property
    def status(self) -> JobStatus:
        return self.core.statuses()["0"]
