"""Whatever providers and schedulers claim: limits hold, draining ends no work, and what was begun ends."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import DESERTED_S, BlockCore
from fanflow.pilot.block_states import FINAL, BlockState
from fanflow.pilot.scaling import POLICIES
from fanflow.spi.scaling import BlockLoad, ScalingView

MAX_BLOCKS = 4
SLOTS = 2


class Site:
    """A scheduler that lies, jobs that die, managers that come and go; and what is true of them."""

    def __init__(self, seed: int, *, honest_cancel: bool) -> None:
        self.random = random.Random(seed)
        self.core = BlockCore(MAX_BLOCKS)
        self.now = 0.0
        self.honest_cancel = honest_cancel
        self.requests: list[str] = []
        self.jobs: dict[JobId, str] = {}
        """Jobs that exist in truth."""
        self.mute: set[JobId] = set()
        """Those whose managers never get through."""
        self.managers: dict[str, str] = {}
        """Manager -> its block; what the core knows of them comes later."""
        self.tasks: dict[str, int] = {}
        self.held: set[str] = set()
        """Blocks that the interchange holds."""
        self.messages: list[Callable[[], None]] = []
        """Between client and interchange, in order, both ways: the interchange acts when it reads."""
        self.blind_until = 0.0
        """The scheduler lists nothing before."""
        self.given = 0
        self.states: dict[str, BlockState] = {}
        self.unended: set[str] = set()

    def perform(self) -> None:
        orders = self.core.take_orders()
        for name in orders.submit:
            assert name not in self.states, "a block was asked for twice"
            self.requests.append(name)
        if orders.drain:
            names = list(orders.drain)
            self.messages.append(lambda: self.hold(names))
        for job in orders.cancel:
            self.cancel(job)
        for block in orders.ended:
            for uid in [uid for uid, its in self.managers.items() if its == block.name]:
                self.drop(uid)
        self.check()

    def hold(self, names: list[str]) -> None:
        self.held.update(names)
        self.messages.append(lambda: self.core.held(names))

    def cancel(self, job: JobId) -> None:
        block = self.jobs.get(job)
        if block is None:
            return
        its = self.core.blocks[block]
        # A minute without an answer of the interchange is too long to wait for it.
        is_patient = its.left_at is None or self.now - its.left_at < DESERTED_S
        if its.state is BlockState.DRAINING and is_patient:
            working = sum(self.tasks[uid] for uid, owner in self.managers.items() if owner == block)
            assert not working, "draining ended a block that had work"
        if self.honest_cancel or self.random.random() < 0.7:
            self.end(job)

    def end(self, job: JobId) -> None:
        block = self.jobs.pop(job)
        for uid in [uid for uid, its in self.managers.items() if its == block]:
            self.drop(uid)

    def drop(self, uid: str) -> None:
        block = self.managers.pop(uid)
        del self.tasks[uid]
        self.messages.append(lambda: self.core.manager_left(block, uid, self.now))

    def check(self) -> None:
        assert len(self.core.open) <= MAX_BLOCKS
        for name in self.unended | self.core.open.keys():
            block = self.core.blocks[name]
            before = self.states.get(name)
            assert before not in FINAL or before is block.state, "a block left a final state"
            self.states[name] = block.state
            assert (block.state in FINAL) is (name not in self.core.open)
            if block.state in FINAL:
                assert block.status.terminal
                assert block.status.state is not JobState.COMPLETED or block.worked
        self.unended = set(self.core.open)
        if self.honest_cancel:
            assert len(self.jobs) + len(self.requests) <= MAX_BLOCKS

    def step(self) -> None:
        self.now += self.random.choice([0.1, 1, 5])
        if self.random.random() < 0.001:
            self.blind_until = self.now + 600
        moves = [
            self.answer,
            self.look,
            self.connect,
            self.leave,
            self.work,
            self.scale,
            self.read,
            self.read,
        ]
        self.random.choice(moves)()
        self.perform()

    def read(self) -> None:
        for _ in range(min(len(self.messages), self.random.randrange(1, 4))):
            self.messages.pop(0)()
            self.perform()

    def answer(self) -> None:
        if not self.requests:
            return
        block = self.requests.pop(0)
        if self.random.random() < 0.2:
            self.core.refused(block, "no", self.now)
            return
        self.given += 1
        job = JobId(f"j{self.given}")
        self.jobs[job] = block
        if self.random.random() < 0.3:
            self.mute.add(job)
        self.core.submitted(block, job, self.now)

    def look(self) -> None:
        asked = self.core.jobs()
        found: dict[JobId, JobStatus] = {}
        for job in asked:
            roll = self.random.random()
            truth: JobState | None = self.random.choice([JobState.PENDING, JobState.RUNNING])
            if job not in self.jobs:
                truth = self.random.choice([JobState.COMPLETED, JobState.FAILED, JobState.TIMEOUT, None])
            if roll < 0.1 and not self.honest_cancel:
                truth = self.random.choice([*JobState, None])
            elif roll < 0.2:
                truth = self.random.choice([JobState.UNKNOWN, JobState.PENDING, None])
            if truth is not None and self.now >= self.blind_until:
                found[job] = JobStatus(truth)
        self.core.looked(asked, found, self.now)

    def connect(self) -> None:
        blocks = [block for job, block in self.jobs.items() if job not in self.mute]
        if blocks:
            block = self.random.choice(blocks)
            uid = f"m{self.random.randrange(10**9)}"
            self.managers[uid] = block
            self.tasks[uid] = 0
            self.messages.append(lambda: self.core.manager_joined(block, uid, self.now))

    def leave(self) -> None:
        if self.jobs and self.random.random() < 0.2:
            self.end(self.random.choice(list(self.jobs)))
        for uid in [
            uid for uid, block in self.managers.items() if block in self.held and not self.tasks[uid]
        ]:
            self.drop(uid)

    def work(self) -> None:
        for uid, block in self.managers.items():
            if self.random.random() < 0.5 and block not in self.held:
                self.tasks[uid] += 1
            elif self.tasks[uid]:
                self.tasks[uid] -= 1

    def scale(self) -> None:
        is_quiet = int(self.now / 2000) % 2 == 0
        view = ScalingView(
            tasks=0 if is_quiet else self.random.choice([1, 5, 50]),
            idle_s=self.random.choice([0.0, 100.0]) if is_quiet else 0.0,
            blocks=[
                BlockLoad(
                    name=block.name,
                    tasks=0,
                    idle_s=self.random.choice([None, 1.0, 100.0]) if is_quiet else 0.0,
                )
                for block in self.core.active()
            ],
            slots_per_block=SLOTS,
            minimum=self.random.choice([0, 1, 9]),
            maximum=MAX_BLOCKS,
            parallelism=self.random.choice([0, 0.5, 1]),
            max_idletime_s=10,
        )
        decision = self.random.choice(list(POLICIES.values()))(view)
        extra = self.random.choice([0, 0, 7])  # a user's own policy may ask for anything
        self.core.request(decision.start + extra, self.now, by_policy=True)
        self.core.drain(decision.end, self.now)


@pytest.mark.parametrize("honest_cancel", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_limits_and_promises_hold_for_ten_thousand_steps(seed: int, honest_cancel: bool) -> None:
    site = Site(seed, honest_cancel=honest_cancel)

    for _ in range(10_000):
        site.step()

    assert {block.state for block in site.core.blocks.values()} >= FINAL, "too little happened"


@pytest.mark.parametrize("seed", range(10))
def test_every_block_ends_once_all_are_given_back(seed: int) -> None:
    site = Site(seed, honest_cancel=True)
    for _ in range(300):
        site.step()

    for _ in range(50):
        site.now += 100
        site.core.drain(list(site.core.open), site.now)
        for move in (site.answer, site.look, site.work, site.leave, site.read):
            move()
            site.perform()

    assert site.core.open == {}
    assert site.jobs == {}
