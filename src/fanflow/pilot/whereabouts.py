"""Where an attempt is and what it waits for: found among an interchange's managers, told in words. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from fanflow.pilot.manager_view import ManagerView
from fanflow.pilot.wire import Ask

if TYPE_CHECKING:
    from fanflow.pilot.block_core import Block

Facts = dict[str, object]


def answer(question: Ask, managers: Collection[ManagerView], waiting: int, now: float) -> list[Facts]:
    """What an interchange answers to a question about its managers or one attempt.

    Args:
        question: `whereabouts` or `managers`.
        managers: All that are connected.
        waiting: Attempts that no manager has been given.
        now: Monotonic seconds.
    """
    if question.what == "whereabouts":
        return [find(question.attempt, managers, waiting)]
    return [manager.facts(now) for manager in managers]


def find(attempt: int, managers: Collection[ManagerView], waiting: int) -> Facts:
    """What an interchange knows of an attempt.

    Args:
        attempt: Its number.
        managers: All that are connected.
        waiting: Attempts that no manager has been given.
    """
    for manager in managers:
        if attempt in manager.holds:
            return {
                "manager": manager.uid,
                "host": manager.host,
                "block": manager.block,
                "held": len(manager.holds),
                "slots": manager.slots,
            }
    return {
        "waiting": waiting,
        "managers": len(managers),
        "slots": sum(manager.slots for manager in managers),
        "held": sum(len(manager.holds) for manager in managers),
        "paused": sum(manager.is_held for manager in managers),
    }


def tell(facts: Facts) -> str:
    """The same, as the end of a sentence about the attempt."""
    held, slots = cast("int", facts["held"]), cast("int", facts["slots"])
    if "manager" in facts:
        who = f"manager {facts['manager']} of block {facts['block']} on {facts['host']}"
        if held <= slots:
            return f"where {who} runs it"
        return f"where {who} has it among {held} attempts, of which it runs {slots} at a time"
    text = f"where it waits in a queue of {facts['waiting']}; the {slots} workers have {held} others"
    paused = cast("int", facts["paused"])
    if paused:
        text += f"; {paused} of {facts['managers']} managers take nothing new, since they are to end"
    return text


def tell_of_blocks(blocks: Sequence[Block], now: float) -> str:
    """Why no worker is there.

    Args:
        blocks: The latest.
        now: Monotonic seconds.
    """
    if not blocks:
        return "where there is no block: none has been asked for"
    return f"where no worker is connected: {', '.join(_told(block, now) for block in blocks)}"


def _told(block: Block, now: float) -> str:
    text = f"block {block.name} is {block.status.status_name} since {now - block.since:.0f} s"
    left_at = block.left_at
    if left_at is not None and not block.status.terminal:
        text += f", but its managers are gone since {now - left_at:.0f} s"
    return text + (f" ({block.status.message})" if block.status.message else "")
