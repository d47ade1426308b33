"""The blocks of one executor: what is known of each, what is to be done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_states import (
    ACTIVE,
    BLOCK_TRANSITIONS,
    FINAL,
    BlockSignal,
    BlockState,
    InvalidBlockTransitionError,
)
from fanflow.pilot.start_pause import StartPause

SURE_LOOKS: Final = 3
"""Looks in a row at which something is seen that contradicts what was known, before it is believed."""

VANISHED_S: Final = 60.0
"""A job has to be missing for so long, too, before it counts as gone."""

ACCOUNTING_LAG_S: Final = 300.0
"""The same for a job that has never been listed: schedulers' accounts may lag behind."""

DESERTED_S: Final = 60.0
"""A block that all its managers have left is given back after so long."""


class Block:
    """One block."""

    __slots__ = (
        "claim", "contradictions", "is_cancelled", "is_held", "is_listed", "job", "left_at", "managers",
        "missed", "missed_since", "name", "since", "state", "status", "trouble", "worked",
    )  # fmt: skip

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
        self.left_at: float | None = None
        """When the last of its managers left; None while one is connected."""
        self.trouble = ""
        """What the last of its managers said that could not work."""
        self.is_listed = False
        """The provider has listed its job once."""
        self.missed = 0
        """Looks in a row at which the job was not listed."""
        self.missed_since = now
        """When the first of them was."""
        self.claim: JobStatus | None = None
        """The end of its job that the provider claims while managers are connected."""
        self.contradictions = 0
        """Looks in a row that contradict connected managers, or an order to end."""
        self.is_held = False
        """It drains, and the interchange has said that its managers get no more tasks."""
        self.is_cancelled = False
        """Its job has been told to end."""


class BlockOrders:
    """What the shell has to do."""

    __slots__ = ("cancel", "drain", "ended", "submit")

    def __init__(self) -> None:
        self.submit: list[str] = []
        """Blocks for which a job is to be obtained."""
        self.drain: list[str] = []
        """Blocks whose managers are to finish. When the interchange knows, `held` is to be told."""
        self.cancel: list[JobId] = []
        """Jobs to end; ordered again while they run."""
        self.ended: list[Block] = []
        """Blocks that have just ended: nobody of them is let in any more."""


class BlockCore:
    """All blocks of one executor. No clock, no processes; one caller.

    The shell tells what has happened, then takes the orders.

    Args:
        limit: Blocks that may not have ended at a time, whatever a policy wants or a provider claims;
            who asks for a block by hand gets one more.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.blocks: dict[str, Block] = {}
        """In the order in which they were asked for, ended ones included."""
        self.open: dict[str, Block] = {}
        """Those that have not ended."""
        self.pause = StartPause()
        self._by_job: dict[JobId, Block] = {}
        """Of those that have not ended."""
        self._orders = BlockOrders()

    # -- what is wanted -------------------------------------------------------------------------

    def request(self, count: int, now: float, *, by_policy: bool = False) -> list[str]:
        """Ask for so many more; returns their names.

        Args:
            count: How many.
            now: Monotonic seconds.
            by_policy: Nobody asked for them by hand, so that limit and pauses hold.
        """
        if by_policy:
            unproven = sum(not block.worked for block in self.open.values())
            allowed = self.pause.allowed(unproven, now)
            count = min(count, self.limit - len(self.open))
            count = max(0, count if allowed is None else min(count, allowed))
        names = [str(number) for number in range(len(self.blocks), len(self.blocks) + count)]
        for name in names:
            self.blocks[name] = self.open[name] = Block(name, now)
        self._orders.submit += names
        return names

    def drain(self, names: Iterable[str], now: float) -> None:
        """Give these back: managers finish what they have, then the job is cancelled."""
        for name in names:
            block = self.open.get(name)
            if block is not None and block.state is not BlockState.DRAINING:
                self._step(block, BlockSignal.DRAIN, now)
                self._orders.drain.append(name)

    def abandon(self, now: float) -> None:
        """Cancel the jobs of all, whatever they run."""
        for block in list(self.open.values()):
            if block.state is not BlockState.DRAINING:
                self._step(block, BlockSignal.DRAIN, now)
            block.is_held = True  # so that a job that there will be is cancelled at once
            block.managers.clear()
            self._cancel_empty(block)

    def held(self, names: Iterable[str]) -> None:
        """The interchange has answered after it was told to drain these: no manager gets more tasks.

        Only now is a block without managers certain to run nothing: one may have connected, and may
        have been sent tasks, while the order was on its way.
        """
        for name in names:
            block = self.open.get(name)
            if block is not None and block.state is BlockState.DRAINING:
                block.is_held = True
                self._cancel_empty(block)

    def is_deserted(self, name: str) -> bool:
        """Whether a block has lost its last manager; its job is about to end, or should have."""
        block = self.open.get(name)
        return block is not None and not block.managers

    @property
    def paused_until(self) -> float:
        """The policy's wishes for more blocks do not count before."""
        return self.pause.until

    def active(self) -> list[Block]:
        """Blocks that run tasks, or will."""
        return [block for block in self.open.values() if block.state in ACTIVE]

    def jobs(self) -> list[JobId]:
        """Jobs of blocks that have not ended."""
        return list(self._by_job)

    # -- what has happened ----------------------------------------------------------------------

    def submitted(self, name: str, job: JobId, now: float) -> None:
        """There is a job for a block."""
        block = self.blocks[name]
        block.job = job
        self.pause.note_submitted()
        if block.state in FINAL:
            self._cancel(block)
            return
        self._by_job[job] = block
        if block.status.state is JobState.PENDING:
            block.status = JobStatus(JobState.PENDING, f"job {job}; none of its managers has connected")
        self._step(block, BlockSignal.ACCEPTED, now)
        self._cancel_empty(block)

    def refused(self, name: str, reason: str, now: float) -> None:
        """There is no job for a block."""
        block = self.blocks[name]
        if block.state in FINAL:
            return
        block.status = JobStatus(JobState.FAILED, reason)
        self._step(block, BlockSignal.REFUSED, now)
        self.pause.note_submit_failed(now)

    def manager_joined(self, name: str, uid: str, now: float) -> None:
        """A manager of a block has connected."""
        block = self.open.get(name)
        if block is None:
            return
        block.managers.add(uid)
        block.worked += 1
        block.left_at = None
        block.missed = 0
        self.pause.note_started()
        if block.status.state is JobState.PENDING:
            block.status = JobStatus(JobState.RUNNING, "a manager of it has connected")
        self._step(block, BlockSignal.STARTED, now)
        if block.state is BlockState.DRAINING:
            self._orders.drain.append(name)

    def manager_failed(self, name: str, uid: str, reason: str) -> None:
        """A manager of a block was refused, or found that it cannot work; nothing ran on it."""
        block = self.open.get(name)
        if block is not None:
            block.trouble = reason
            block.worked -= uid in block.managers

    def manager_left(self, name: str, uid: str, now: float) -> None:
        """A manager of a block is gone."""
        block = self.open.get(name)
        if block is None or uid not in block.managers:
            return
        block.managers.discard(uid)
        if block.managers:
            return
        block.left_at = now
        if block.claim is not None:
            self._job_ended(block, block.claim, now)
        else:
            self._cancel_empty(block)

    def looked(self, asked: Sequence[JobId], found: Mapping[JobId, JobStatus], now: float) -> None:
        """The provider was asked for the status of jobs; those that it leaves out are not listed."""
        for job in asked:
            block = self._by_job.get(job)
            if block is None:
                continue
            status = found.get(job)
            if status is None or status.state in (JobState.UNKNOWN, JobState.MISSING):
                self._missed(block, status, now)
                continue
            block.is_listed, block.missed = True, 0
            if not status.terminal:
                self._job_lives(block, status, now)
            elif block.managers and block.contradictions < SURE_LOOKS - 1:
                block.contradictions += 1  # most likely their end will be heard, too
                block.claim = status
            else:
                self._job_ended(block, status, now)

    def _job_lives(self, block: Block, status: JobStatus, now: float) -> None:
        block.claim = None
        block.status = status
        if block.is_cancelled:
            block.contradictions += 1
            if block.contradictions >= SURE_LOOKS:
                self._cancel(block)
            return
        block.contradictions = 0
        if block.left_at is None or now - block.left_at < DESERTED_S:
            return
        if block.state is BlockState.DRAINING:
            self._cancel(block)  # the interchange has not answered
        else:
            self.drain([block.name], now)

    def _missed(self, block: Block, status: JobStatus | None, now: float) -> None:
        if block.managers:
            return  # it lives, whatever the listing says
        if not block.missed:
            block.missed_since = now
        block.missed += 1
        if block.missed < SURE_LOOKS:
            return
        patience = VANISHED_S if block.is_listed else ACCOUNTING_LAG_S
        if block.is_cancelled and block.is_listed:
            patience = 0.0  # this is how many schedulers say that it has ended
        if now - block.missed_since < patience:
            return
        said = f": {status.message}" if status is not None and status.message else ""
        words = f"its job {block.job} is not listed any more{said}"
        if block.state is BlockState.DRAINING:
            state = JobState.SCALED_IN
        else:
            state = JobState.FAILED if block.worked else JobState.MISSING
        block.status = _as(block.status, state, words)
        self._cancel(block)  # if it should run nevertheless, there would be one block too many
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
        block.status = _as(status, state, message)
        well = block.worked > 0 and status.state is not JobState.FAILED
        self._finish(block, BlockSignal.COMPLETED if well else BlockSignal.BROKE, now)

    def _finish(self, block: Block, signal: BlockSignal, now: float) -> None:
        is_bad_start = not block.worked and block.state is not BlockState.DRAINING
        self._step(block, signal, now)
        if is_bad_start:
            self.pause.note_start_failed(now)

    # -- what is to be done ---------------------------------------------------------------------

    def take_orders(self) -> BlockOrders:
        """Give the orders to the shell."""
        orders, self._orders = self._orders, BlockOrders()
        return orders

    def statuses(self) -> dict[str, JobStatus]:
        """What is said of every block, ended ones included. Any thread."""
        return {block.name: _shown(block) for block in list(self.blocks.values())}

    def _cancel_empty(self, block: Block) -> None:
        is_over = block.state is BlockState.DRAINING and block.is_held and not block.managers
        if is_over and not block.is_cancelled:
            self._cancel(block)

    def _cancel(self, block: Block) -> None:
        block.contradictions = 0
        if block.job is not None:
            block.is_cancelled = True
            self._orders.cancel.append(block.job)

    def _step(self, block: Block, signal: BlockSignal, now: float) -> None:
        new = BLOCK_TRANSITIONS.get((block.state, signal))
        if new is None:
            raise InvalidBlockTransitionError(block.name, block.state, signal)
        if new is block.state:
            return
        block.state, block.since = new, now
        if new in FINAL:
            del self.open[block.name]
            if block.job is not None and self._by_job.get(block.job) is block:
                del self._by_job[block.job]
            block.managers.clear()
            self._orders.ended.append(block)


def _as(status: JobStatus, state: JobState, message: str | None) -> JobStatus:
    return JobStatus(state, message, status.exit_code, status.stdout_path, status.stderr_path)


def _shown(block: Block) -> JobStatus:
    """A manager that is connected proves that the job runs, whatever the scheduler said last."""
    status = block.status
    if block.managers and not status.terminal and status.state is not JobState.RUNNING:
        return _as(status, JobState.RUNNING, status.message)
    return status
