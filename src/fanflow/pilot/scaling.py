"""When an executor asks for blocks and when it gives them back. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fanflow.spi.executor import Strategy


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockLoad:
    """One block that runs tasks, or will."""

    name: str
    tasks: int
    """Attempts that its managers hold."""
    idle_s: float
    """Seconds for which they have held none; 0 before a manager has connected."""


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


ScalingPolicy = Callable[[ScalingView], ScalingDecision]


def none(view: ScalingView) -> ScalingDecision:
    """The first blocks are all that there ever will be."""
    return ScalingDecision()


def simple(view: ScalingView) -> ScalingDecision:
    """Grow with the tasks; shrink to the minimum when there have been none for long."""
    wanted = _wanted(view)
    if wanted:
        return ScalingDecision(start=wanted)
    if view.tasks or view.idle_s <= view.max_idletime_s:
        return ScalingDecision()
    return ScalingDecision(end=longest_idle(view, len(view.blocks) - view.minimum))


def htex_auto_scale(view: ScalingView) -> ScalingDecision:
    """Like `simple`, and give back single blocks that are idle while others work."""
    decision = simple(view)
    if decision != ScalingDecision() or not view.tasks or view.slots <= view.tasks:
        return decision
    spare = math.floor((view.slots - view.tasks * view.parallelism) / view.slots_per_block)
    most = min(spare, len(view.blocks) - view.minimum)
    return ScalingDecision(end=longest_idle(view, most, view.max_idletime_s))


POLICIES: Mapping[Strategy, ScalingPolicy] = MappingProxyType(
    {"none": none, "simple": simple, "htex_auto_scale": htex_auto_scale}
)


def _wanted(view: ScalingView) -> int:
    """Further blocks for the tasks that there are, and to keep the minimum."""
    active = len(view.blocks)
    room = view.maximum - active
    wanted = view.minimum - active
    if view.tasks:
        if view.slots < view.tasks * view.parallelism:
            excess = math.ceil(view.tasks * view.parallelism - view.slots)
            wanted = max(wanted, math.ceil(excess / view.slots_per_block))
        elif not view.slots:
            wanted = max(wanted, 1)
    return max(0, min(wanted, room))


def longest_idle(view: ScalingView, count: int, idle_s: float | None = None) -> tuple[str, ...]:
    """Blocks to give back, those that were idle longest first, busy ones last.

    Args:
        view: What there is.
        count: How many at most.
        idle_s: Only those that are empty and have been idle for longer.
    """
    blocks = [block for block in view.blocks if idle_s is None or (not block.tasks and block.idle_s > idle_s)]
    blocks.sort(key=lambda block: (block.tasks > 0, -block.idle_s, block.tasks))
    return tuple(block.name for block in blocks[: max(0, count)])
