"""The blocks of one executor: what is known of each, what is to be done. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from fanflow.errors import InternalConsistencyError
from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus

MISSING_POLLS: Final = 3
"""Looks in a row at which a job is not listed before it counts as gone."""

MOST_REFUSALS: Final = 10
"""Jobs in a row that could not be obtained before there is a pause."""

MOST_BAD_STARTS: Final = 3
"""Blocks in a row that ended before a manager connected before there is a pause."""

_FIRST_PAUSE_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 600.0


class BlockState(enum.Enum):
    """Life of one block."""

    REQUESTED = "requested"  # the provider has been asked; there is no job yet
    QUEUED = "queued"  # there is a job; no manager of it has connected
    RUNNING = "running"  # a manager has connected
    DRAINING = "draining"  # no new tasks; its managers finish those that they have, then it ends
    ENDED = "ended"  # wanted, or after its work
    FAILED = "failed"  # there was no job, or it failed, or it ended before a manager connected
    LOST = "lost"  # the job is not listed any more, and no manager is connected


class BlockSignal(enum.Enum):
    """What moves a block."""

    ACCEPTED = "accepted"  # there is a job
    REFUSED = "refused"  # there is none
    STARTED = "started"  # a manager has connected
    DRAIN = "drain"  # it is not wanted any more
    COMPLETED = "completed"  # the job ended as it should
    BROKE = "broke"  # the job failed, or ended too early
    VANISHED = "vanished"  # the job is not listed any more


S, G = BlockState, BlockSignal
BLOCK_TRANSITIONS: Mapping[tuple[BlockState, BlockSignal], BlockState] = MappingProxyType(
    {
        (S.REQUESTED, G.ACCEPTED): S.QUEUED,
        (S.REQUESTED, G.REFUSED): S.FAILED,
        (S.REQUESTED, G.DRAIN): S.DRAINING,
        (S.REQUESTED, G.STARTED): S.RUNNING,  # faster than the provider's answer
        (S.QUEUED, G.STARTED): S.RUNNING,
        (S.QUEUED, G.DRAIN): S.DRAINING,
        (S.QUEUED, G.COMPLETED): S.ENDED,
        (S.QUEUED, G.BROKE): S.FAILED,
        (S.QUEUED, G.VANISHED): S.LOST,
        (S.RUNNING, G.ACCEPTED): S.RUNNING,
        (S.RUNNING, G.REFUSED): S.FAILED,
        (S.RUNNING, G.STARTED): S.RUNNING,
        (S.RUNNING, G.DRAIN): S.DRAINING,
        (S.RUNNING, G.COMPLETED): S.ENDED,
        (S.RUNNING, G.BROKE): S.FAILED,
        (S.RUNNING, G.VANISHED): S.LOST,
        (S.DRAINING, G.ACCEPTED): S.DRAINING,
        (S.DRAINING, G.REFUSED): S.ENDED,
        (S.DRAINING, G.STARTED): S.DRAINING,
        (S.DRAINING, G.DRAIN): S.DRAINING,
        (S.DRAINING, G.COMPLETED): S.ENDED,
        (S.DRAINING, G.BROKE): S.ENDED,
        (S.DRAINING, G.VANISHED): S.ENDED,
    }
)
"""Every legal move."""

FINAL: Final = frozenset({S.ENDED, S.FAILED, S.LOST})
ACTIVE: Final = frozenset({S.REQUESTED, S.QUEUED, S.RUNNING})
"""States in which a block runs tasks, or will."""


class Block:
    """One block."""

    __slots__ = (
        "is_cancelled",
        "job",
        "managers",
        "missed",
        "name",
        "since",
        "state",
        "status",
        "trouble",
        "worked",
    )

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.state = BlockState.REQUESTED
        self.since = now
        """When it entered its state; monotonic seconds."""
        self.job: JobId | None = None
        self.status = JobStatus(JobState.PENDING, "asked of the provider")
        """What is said of it; MISSING and SCALED_IN are ours."""
        self.managers: set[str] = set()
        """Those that are connected, by uid."""
        self.worked = 0
        """Managers that have connected, but for those that found that they cannot work."""
        self.trouble = ""
        """What the last of its managers said that could not work."""
        self.missed = 0
        """Looks in a row at which the job was not listed."""
        self.is_cancelled = False
        """Its job has been told to end."""


class BlockOrders:
    """What the shell has to do."""

    __slots__ = ("cancel", "drain", "ended", "submit")

    def __init__(self) -> None:
        self.submit: list[str] = []
        """Blocks for which a job is to be obtained."""
        self.drain: list[str] = []
        """Blocks whose managers are to finish."""
        self.cancel: list[JobId] = []
        """Jobs to end."""
        self.ended: list[Block] = []
        """Blocks that have just ended: nobody of them is let in any more."""


class BlockCore:
    """All blocks of one executor. No clock, no processes; one caller.

    The shell tells what has happened, then takes the orders.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        """In the order in which they were asked for, ended ones included."""
        self.paused_until = 0.0
        """Nothing is asked for by itself before."""
        self._refusals = self._bad_starts = 0
        self._pause_s = _FIRST_PAUSE_S
        self._orders = BlockOrders()

    # -- what is wanted -------------------------------------------------------------------------

    def request(self, count: int, now: float) -> list[str]:
        """Ask for so many more; returns their names."""
        names = [str(number) for number in range(len(self.blocks), len(self.blocks) + count)]
        for name in names:
            self.blocks[name] = Block(name, now)
        self._orders.submit += names
        return names

    def drain(self, names: Iterable[str], now: float) -> None:
        """Give these back: managers finish what they have; a block without any ends at once."""
        for name in names:
            block = self.blocks[name]
            if block.state in FINAL or block.state is BlockState.DRAINING:
                continue
            self._step(block, BlockSignal.DRAIN, now)
            if block.managers:
                self._orders.drain.append(name)
            else:
                self._cancel(block)

    def is_deserted(self, name: str) -> bool:
        """Whether a block has lost its last manager; its job is about to end, or should have."""
        block = self.blocks.get(name)
        return block is not None and block.state not in FINAL and not block.managers

    def active(self) -> list[Block]:
        """Blocks that run tasks, or will."""
        return [block for block in self.blocks.values() if block.state in ACTIVE]

    def jobs(self) -> list[JobId]:
        """Jobs of blocks that have not ended."""
        return [
            block.job for block in self.blocks.values() if block.job is not None and block.state not in FINAL
        ]

    # -- what has happened ----------------------------------------------------------------------

    def submitted(self, name: str, job: JobId, now: float) -> None:
        """There is a job for a block."""
        block = self.blocks[name]
        block.job = job
        self._refusals = 0
        if block.status.state is JobState.PENDING:
            block.status = JobStatus(JobState.PENDING, f"job {job}; none of its managers has connected")
        if block.state in FINAL:
            self._cancel(block)
            return
        self._step(block, BlockSignal.ACCEPTED, now)
        if block.state is BlockState.DRAINING and not block.managers:
            self._cancel(block)

    def refused(self, name: str, reason: str, now: float) -> None:
        """There is no job for a block."""
        block = self.blocks[name]
        if block.state in FINAL:
            return
        block.status = JobStatus(JobState.FAILED, reason)
        self._step(block, BlockSignal.REFUSED, now)
        self._refusals += 1
        if self._refusals >= MOST_REFUSALS:
            self._pause(now)

    def manager_joined(self, name: str, uid: str, now: float) -> None:
        """A manager of a block has connected."""
        block = self.blocks.get(name)
        if block is None or block.state in FINAL:
            return
        block.managers.add(uid)
        block.worked += 1
        block.missed = 0
        self._bad_starts, self._pause_s = 0, _FIRST_PAUSE_S
        self._step(block, BlockSignal.STARTED, now)
        if block.state is BlockState.DRAINING:
            self._orders.drain.append(name)

    def manager_failed(self, name: str, uid: str, reason: str) -> None:
        """A manager of a block was refused, or found that it cannot work; nothing ran on it."""
        block = self.blocks.get(name)
        if block is not None:
            block.trouble = reason
            block.worked -= uid in block.managers

    def manager_left(self, name: str, uid: str) -> None:
        """A manager of a block is gone."""
        block = self.blocks.get(name)
        if block is None:
            return
        block.managers.discard(uid)
        if block.state is BlockState.DRAINING and not block.managers:
            self._cancel(block)

    def looked(self, asked: Sequence[JobId], found: Mapping[JobId, JobStatus], now: float) -> None:
        """The provider was asked for the status of jobs."""
        by_job = {block.job: block for block in self.blocks.values() if block.job is not None}
        for job in asked:
            block = by_job[job]
            if block.state in FINAL:
                continue
            status = found.get(job)
            if status is None or status.state in (JobState.UNKNOWN, JobState.MISSING):
                self._missed(block, status, now)
            elif status.terminal:
                self._job_ended(block, status, now)
            else:
                block.missed, block.status = 0, status

    def _missed(self, block: Block, status: JobStatus | None, now: float) -> None:
        if block.managers:
            return  # it lives, whatever the listing says
        block.missed += 1
        if block.missed < MISSING_POLLS:
            return
        said = f": {status.message}" if status is not None and status.message else ""
        state = JobState.FAILED if block.worked else JobState.MISSING
        block.status = JobStatus(state, f"its job {block.job} is not listed any more{said}")
        self._finish(block, BlockSignal.VANISHED, now)

    def _job_ended(self, block: Block, status: JobStatus, now: float) -> None:
        was_wanted = block.state is not BlockState.DRAINING
        if not was_wanted:
            state = JobState.SCALED_IN
        elif block.worked:
            state = status.state
        else:
            state = JobState.MISSING
        message = status.message if was_wanted else "given back"
        if state is JobState.MISSING:
            why = block.trouble or f"{status.status_name}: {message or 'no message'}"
            message = f"its job ended before a manager could work ({why})"
        block.status = JobStatus(state, message, status.exit_code, status.stdout_path, status.stderr_path)
        well = status.state is JobState.COMPLETED and block.worked > 0
        self._finish(block, BlockSignal.COMPLETED if well else BlockSignal.BROKE, now)

    def _finish(self, block: Block, signal: BlockSignal, now: float) -> None:
        is_bad_start = not block.worked and block.state is not BlockState.DRAINING
        self._step(block, signal, now)
        if is_bad_start:
            self._bad_starts += 1
            if self._bad_starts >= MOST_BAD_STARTS:
                self._pause(now)

    # -- what is to be done ---------------------------------------------------------------------

    def take_orders(self) -> BlockOrders:
        """Give the orders to the shell."""
        orders, self._orders = self._orders, BlockOrders()
        return orders

    def statuses(self) -> dict[str, JobStatus]:
        """What is said of every block, ended ones included."""
        return {name: _shown(block) for name, block in self.blocks.items()}

    def _cancel(self, block: Block) -> None:
        if block.job is not None and not block.is_cancelled:
            block.is_cancelled = True
            self._orders.cancel.append(block.job)

    def _pause(self, now: float) -> None:
        self.paused_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _step(self, block: Block, signal: BlockSignal, now: float) -> None:
        new = BLOCK_TRANSITIONS.get((block.state, signal))
        if new is None:
            raise InternalConsistencyError(
                f"block {block.name} is {block.state.value}, which {signal.value} cannot follow"
            )
        if new is not block.state:
            block.state, block.since = new, now
            if new in FINAL:
                self._orders.ended.append(block)


def _shown(block: Block) -> JobStatus:
    """A manager that is connected proves that the job runs, whatever the scheduler said last."""
    status = block.status
    if block.managers and not status.terminal and status.state is not JobState.RUNNING:
        return JobStatus(JobState.RUNNING, status.message, None, status.stdout_path, status.stderr_path)
    return status
