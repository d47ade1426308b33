"""Blocks under random news, lies among them."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import FINAL, BlockCore, BlockState
from fanflow.pilot.scaling import BlockLoad, ScalingView, htex_auto_scale

MAXIMUM = 4
BLOCKS = st.integers(0, 30).map(str)
MANAGERS = st.sampled_from(["a", "b", "c"])


class Blocks(RuleBasedStateMachine):
    """A shell that does what the rules order, and a provider and managers that do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.core = BlockCore()
        self.now = 0.0
        self.asked: list[str] = []
        self.cancelled: list[JobId] = []
        self.drained: set[str] = set()
        self.ended: list[str] = []

    def perform(self) -> None:
        orders = self.core.take_orders()
        self.asked += orders.submit
        self.cancelled += orders.cancel
        self.drained |= set(orders.drain)
        self.ended += [block.name for block in orders.ended]

    @rule(tasks=st.integers(0, 50), idle=st.floats(0, 300))
    def scale(self, tasks: int, idle: float) -> None:
        view = ScalingView(
            tasks=tasks,
            idle_s=0.0 if tasks else idle,
            blocks=[BlockLoad(name=block.name, tasks=0, idle_s=idle) for block in self.core.active()],
            slots_per_block=2,
            minimum=1,
            maximum=MAXIMUM,
            parallelism=1.0,
            max_idletime_s=120.0,
        )
        decision = htex_auto_scale(view)
        if self.now >= self.core.paused_until:
            self.core.request(decision.start, self.now)
        self.core.drain(decision.end, self.now)
        self.perform()

    @rule(seconds=st.floats(0.1, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(works=st.booleans())
    def answer(self, works: bool) -> None:
        if self.asked:
            name = self.asked.pop(0)
            if works:
                self.core.submitted(name, JobId(f"job-{name}"), self.now)
            else:
                self.core.refused(name, "no", self.now)
            self.perform()

    @rule(name=BLOCKS, uid=MANAGERS)
    def join(self, name: str, uid: str) -> None:
        self.core.manager_joined(name, uid, self.now)
        self.perform()

    @rule(name=BLOCKS, uid=MANAGERS, failed=st.booleans())
    def leave(self, name: str, uid: str, failed: bool) -> None:
        if failed:
            self.core.manager_failed(name, uid, "it cannot")
        self.core.manager_left(name, uid)
        self.perform()

    @rule(states=st.lists(st.none() | st.sampled_from(JobState), min_size=1, max_size=6))
    def look(self, states: list[JobState | None]) -> None:
        jobs = self.core.jobs()
        found = {
            job: JobStatus(state)
            for job, state in zip(jobs, states * len(jobs), strict=False)
            if state is not None
        }
        ended = {job for job, status in found.items() if status.terminal and status.state != JobState.MISSING}
        before = {
            block.name: (block.missed, bool(block.managers))
            for block in self.core.blocks.values()
            if block.state not in FINAL
        }

        self.core.looked(jobs, found, self.now)
        self.perform()

        for name, (missed, has_managers) in before.items():
            block = self.core.blocks[name]
            if block.job in ended:
                assert block.state in FINAL
            if block.state is BlockState.LOST:
                assert missed >= 2
                assert not has_managers

    @invariant()
    def no_more_than_allowed(self) -> None:
        assert len(self.core.active()) <= MAXIMUM

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert len(set(self.cancelled)) == len(self.cancelled)
        assert len(set(self.ended)) == len(self.ended)

    @invariant()
    def what_has_ended_was_said_once(self) -> None:
        assert set(self.ended) == {name for name, b in self.core.blocks.items() if b.state in FINAL}

    @invariant()
    def terminal_statuses_belong_to_ended_blocks(self) -> None:
        for name, status in self.core.statuses().items():
            if status.terminal:
                assert self.core.blocks[name].state in FINAL


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
