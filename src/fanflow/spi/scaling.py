"""The seam for deciding how many blocks an executor has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockLoad:
    """One block that runs tasks, or will."""

    name: str
    tasks: int
    """Attempts that its managers hold."""
    idle_s: float | None
    """Seconds for which they have held none; None before a manager has connected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingView:
    """What a policy decides by."""

    tasks: int
    """Attempts without an outcome."""
    idle_s: float
    """Seconds for which there have been none."""
    blocks: Sequence[BlockLoad]
    slots_per_block: int
    """Attempts that one block runs at a time."""
    minimum: int
    """Blocks kept even when idle."""
    maximum: int
    """Blocks never exceeded."""
    parallelism: float
    """Slots wanted for each task, from 0 to 1."""
    max_idletime_s: float

    @property
    def slots(self) -> int:
        """Attempts that all blocks run at a time."""
        return len(self.blocks) * self.slots_per_block


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingDecision:
    """What a policy wants."""

    start: int = 0
    """Further blocks."""
    end: Sequence[str] = ()
    """Blocks to give back; what runs on them is finished before."""


class ScalingPolicy(Protocol):
    """Decides how many blocks there are to be, every `strategy_period` and when one has ended. Pure.

    Called in the kernel thread. Limits hold whatever it says, and nothing that runs is ended by it.
    """

    def __call__(self, view: ScalingView, /) -> ScalingDecision: ...
