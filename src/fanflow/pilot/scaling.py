"""When an executor asks for blocks and when it gives them back. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from fanflow.spi.executor import Strategy
from fanflow.spi.scaling import BlockLoad, ScalingDecision, ScalingPolicy, ScalingView


def none(view: ScalingView, /) -> ScalingDecision:
    """The first blocks are all that there ever will be."""
    return ScalingDecision()


def simple(view: ScalingView, /) -> ScalingDecision:
    """Grow with the tasks; shrink to the minimum when there have been none for long."""
    wanted = _wanted(view)
    if wanted:
        return ScalingDecision(start=wanted)
    if view.tasks or view.idle_s <= view.max_idletime_s:
        return ScalingDecision()
    return ScalingDecision(end=longest_idle(view, len(view.blocks) - _least(view)))


def htex_auto_scale(view: ScalingView, /) -> ScalingDecision:
    """Like `simple`, and give back single blocks that are idle while others work."""
    decision = simple(view)
    if decision != ScalingDecision() or not view.tasks or view.slots <= view.tasks:
        return decision
    spare = math.floor((view.slots - view.tasks * view.parallelism) / view.slots_per_block)
    most = min(spare, len(view.blocks) - max(_least(view), 1))  # the work needs one
    return ScalingDecision(end=longest_idle(view, most, view.max_idletime_s))


POLICIES: Mapping[Strategy, ScalingPolicy] = MappingProxyType(
    {"none": none, "simple": simple, "htex_auto_scale": htex_auto_scale}
)


def _wanted(view: ScalingView) -> int:
    """Further blocks for the tasks that there are, and to keep the minimum."""
    active = len(view.blocks)
    room = view.maximum - active
    wanted = _least(view) - active
    if view.tasks:
        if view.slots < view.tasks * view.parallelism:
            excess = math.ceil(view.tasks * view.parallelism - view.slots)
            wanted = max(wanted, math.ceil(excess / view.slots_per_block))
        elif not view.slots:
            wanted = max(wanted, 1)
    return max(0, min(wanted, room))


def _least(view: ScalingView) -> int:
    return min(view.minimum, view.maximum)


def longest_idle(view: ScalingView, count: int, idle_s: float | None = None) -> tuple[str, ...]:
    """Blocks to give back: first those that have not begun, then those idle longest, busy ones last.

    Args:
        view: What there is.
        count: How many at most.
        idle_s: Only those that are empty and have been idle for longer.
    """
    blocks = list(view.blocks)
    if idle_s is not None:
        blocks = [block for block in blocks if not block.tasks and (block.idle_s or 0.0) > idle_s]
    blocks.sort(key=_worth)
    return tuple(block.name for block in blocks[: max(0, count)])


def _worth(block: BlockLoad) -> tuple[int, float]:
    return block.tasks, -math.inf if block.idle_s is None else -block.idle_s
