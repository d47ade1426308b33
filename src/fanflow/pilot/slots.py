"""Slots of a manager: a place for one worker each, and which of them can take how much. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final

from fanflow.pilot.waiting_line import Attempt
from fanflow.pilot.wire import Loss

HORIZON_US: Final = 4000
"""Estimated work in microseconds that a worker is sent, at most, before it has shown results."""

LONG_US: Final = 1000
"""What runs longer travels alone."""

UNKNOWN_US: Final = 3000
"""What counts for a task of unknown run time: one may wait behind one."""

OVERHEAD_US: Final = 10
"""What a task costs a worker beside its run time."""

PACKET_TASKS: Final = 16
"""Tasks in a packet; when the first of them takes long, the others wait for it."""


PACKET_US: Final = 1000
"""Estimated work in a packet."""


class Slot:
    """The place of one worker; workers come and go."""

    __slots__ = (
        "doom", "due", "is_ready", "is_reserved", "is_stuck", "load_us", "look_due", "memory_bytes",
        "memory_due", "number", "sent", "since", "trapped",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_reserved = False
        """Kept idle for an attempt that takes several slots."""
        self.clear()

    def clear(self) -> None:
        """There is no worker, or a new one."""
        self.is_ready = False
        self.sent: deque[Attempt] = deque()
        """In the order in which they run; the first is running, as far as is known."""
        self.load_us = 0.0
        """Estimated run time of what was sent."""
        self.memory_bytes = 0
        """The limit of everything that was sent, and of the worker; 0: none."""
        self.since = 0.0
        """When the first was sent, or is known to have become the first: not before it started."""
        self.trapped = 0
        """Attempts behind the first, while it is stuck."""
        self.is_stuck = False
        """It has shown nothing for long: nothing is sent to wait behind."""
        self.doom: tuple[Attempt | None, Loss | None] = (None, None)
        """What the worker is being killed for."""
        self.look_due = self.memory_due = self.due = inf

    def keep_others(self, gone: AbstractSet[int]) -> None:
        """These attempts are not with the worker any more."""
        self.sent = deque(attempt for attempt in self.sent if attempt.number not in gone)
        self.load_us = sum(attempt.estimate_us for attempt in self.sent)


class SlotPools:
    """The slots that can be sent something."""

    def __init__(self) -> None:
        self.idle: dict[int, Slot] = {}
        self.partly: dict[int, Slot] = {}
        """Busy, but with less than the horizon's work; the one that was sent something last comes last."""

    def note(self, slot: Slot) -> None:
        """Something about a slot has changed."""
        number = slot.number
        self.partly.pop(number, None)
        if slot.sent or not slot.is_ready or slot.is_reserved or slot.doom[1] is not None:
            self.idle.pop(number, None)
            is_open = slot.is_ready and slot.load_us < HORIZON_US and not slot.is_stuck
            if slot.sent and is_open and slot.doom[1] is None:
                self.partly[number] = slot
        else:
            slot.load_us = 0.0
            self.idle[number] = slot
