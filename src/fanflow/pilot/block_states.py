"""The life of a block as one table: every legal move, and nothing else. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fanflow.errors import InternalConsistencyError


class BlockState(enum.Enum):
    """Life of one block."""

    REQUESTED = "requested"  # the provider has been asked; there is no job yet
    QUEUED = "queued"  # there is a job; no manager of it has connected
    RUNNING = "running"  # a manager has connected
    DRAINING = "draining"  # no new tasks; its managers finish those that they have, then its job is cancelled
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
BLOCK_TRANSITIONS: Final[Mapping[tuple[BlockState, BlockSignal], BlockState]] = MappingProxyType(
    {
        (S.REQUESTED, G.ACCEPTED): S.QUEUED,
        (S.REQUESTED, G.REFUSED): S.FAILED,
        (S.REQUESTED, G.DRAIN): S.DRAINING,
        (S.REQUESTED, G.STARTED): S.RUNNING,  # faster than the provider's answer
        (S.QUEUED, G.STARTED): S.RUNNING,
        (S.QUEUED, G.DRAIN): S.DRAINING,
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
        (S.DRAINING, G.COMPLETED): S.ENDED,
        (S.DRAINING, G.BROKE): S.ENDED,
        (S.DRAINING, G.VANISHED): S.ENDED,
    }
)
"""Every legal move."""

FINAL: Final = frozenset({S.ENDED, S.FAILED, S.LOST})
"""No block leaves one of these; blocks in all others count towards the limit."""

ACTIVE: Final = frozenset({S.REQUESTED, S.QUEUED, S.RUNNING})
"""States in which a block runs tasks, or will."""


class InvalidBlockTransitionError(InternalConsistencyError):
    """A block was told something that its state does not allow: a bug, please report it."""

    def __init__(self, block: str, state: BlockState, signal: BlockSignal) -> None:
        self.block, self.state, self.signal = block, state, signal
        super().__init__(f"block {block} is {state.value} and cannot take {signal.name}")
