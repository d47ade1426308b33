"""What a manager knows and decides: its slots, what they run, what waits, what must end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from fanflow.pilot.admission import Admission
from fanflow.pilot.appetite import Appetite
from fanflow.pilot.manager_orders import Orders, describe_memory
from fanflow.pilot.slots import (
    HORIZON_US,
    LONG_US,
    OVERHEAD_US,
    PACKET_TASKS,
    PACKET_US,
    UNKNOWN_US,
    Slot,
    SlotPools,
)
from fanflow.pilot.waiting_line import Attempt, RunTimes, WaitingLine
from fanflow.pilot.wire import Loss, ResultItem, TaskItem
from fanflow.pilot.worker_records import PACKET_BYTES, Result

STUCK_S: Final = 0.02
"""A worker that has shown no result for so long may have others' work behind a long task."""

MEMORY_PERIOD_S: Final = 0.25

_WEIGHT: Final = 0.2
"""Of the latest run time in a function's mean."""


class ManagerCore:
    """All attempts and slots of one manager. No clock, no sockets, no processes; one caller.

    The shell tells what has happened, then takes the orders. Each attempt that was accepted ends with
    one item among the orders' outcomes, or is returned.

    Args:
        slots: Workers.
        host: Name of this machine, for messages.
        prefetch: Attempts to hold beyond one for each slot; 0: as many as hide the way to fetch more.
        admission: What it can run; None: all that its slots can.
    """

    def __init__(self, slots: int, host: str, prefetch: int = 0, admission: Admission | None = None) -> None:
        self.slots = [Slot(number) for number in range(slots)]
        self.attempts: dict[int, Attempt] = {}
        """Everything held, by number."""
        self.strays = 0
        """Results that no worker should have sent, apart from repetitions."""
        self.bad_starts = 0
        """Workers that ended before they were ready, since the last that was."""
        self.is_draining = False
        self._host = host
        self._prefetch = prefetch
        self._admission = admission or Admission(slots)
        self._line = WaitingLine()
        self._times: dict[int, RunTimes] = {}
        self._pools = SlotPools()
        self._appetite = Appetite(slots)
        self.wanted = slots + prefetch
        """Attempts that it would hold in all, as was said last."""
        self._trapped = 0
        """Attempts behind others on workers that are stuck."""
        self.next_due = inf
        """When to call `tick` at the latest."""
        self._orders = Orders()
        self._orders.start.extend(range(slots))

    # -- what has happened ----------------------------------------------------------------------

    def tasks_came(self, items: Sequence[TaskItem], payloads: Sequence[bytes | None]) -> None:
        """Attempts to run.

        Args:
            items: Their descriptions; those that are held already are passed over.
            payloads: One for each; None if the worker is to ask for it.
        """
        attempts, known_times, line = self.attempts, self._times, self._line
        for item, payload in zip(items, payloads, strict=True):
            if item.attempt in attempts:
                continue
            if self.is_draining:
                self._orders.returned.append(item.attempt)
                continue
            times = known_times.get(item.function)
            if times is None:
                times = known_times[item.function] = RunTimes()
            attempt = Attempt(item, payload, times)
            reason = self._admission.why_not(item)
            if reason:
                self._lose(attempt, Loss("refused", host=self._host, detail=reason))
                continue
            attempts[item.attempt] = attempt
            line.append(attempt)

    def worker_ready(self, number: int) -> None:
        """A worker takes tasks from now on."""
        slot = self.slots[number]
        slot.is_ready = True
        self.bad_starts = 0
        self._pools.note(slot)

    def results_came(self, number: int, results: Sequence[Result], now: float) -> None:
        """A worker has ended these; repetitions are passed over."""
        slot, orders, attempts = self.slots[number], self._orders, self.attempts
        sent, items, parts = slot.sent, orders.items, orders.parts
        before, ran_us = len(items), 0
        for attempt_number, run_us, data, size in results:
            if not sent or sent[0].number != attempt_number:
                self.strays += attempt_number in attempts
                continue
            attempt = sent.popleft()
            del attempts[attempt_number]
            items.append(ResultItem(attempt_number, size, run_us))
            if data:
                parts.append(data)
            slot.load_us -= attempt.estimate_us
            ran_us += run_us
            times = attempt.times
            known_us = times.mean_us
            times.mean_us = run_us if known_us < 0 else known_us + (run_us - known_us) * _WEIGHT
            if attempt.reserved:
                self._release(attempt)
        count = len(items) - before
        if count:
            slot.since = now
            self._set_stuck(slot, is_stuck=False)
            self._appetite.learn(ran_us / count, count)
            self._set_due(slot, now)
            self._pools.note(slot)

    def cancel(self, numbers: Sequence[int]) -> None:
        """Nobody waits for these: they are dropped, or ended if they run."""
        cancelled = {number for number in numbers if number in self.attempts}
        if not cancelled:
            return
        for attempt in self._line.remove(cancelled):
            self._lose(attempt, self._cancelled())
        for number in cancelled & self.attempts.keys():
            self.attempts[number].is_cancelled = self.attempts[number].is_watched = True
        for slot in self.slots:
            if any(attempt.is_cancelled for attempt in slot.sent):
                self._orders.look.append(slot.number)

    def drain(self) -> None:
        """Take nothing more, give back what has not started, finish the rest."""
        self.is_draining = True
        self._give_back(self._line.clear())
        self._orders.look.extend(slot.number for slot in self.slots if len(slot.sent) > 1)

    def abandon(self, reason: str, uid: str) -> None:
        """The manager, which has this uid, ends now: what has not started goes back, what runs is lost."""
        self.is_draining = True
        self._give_back(self._line.clear())
        for slot in self.slots:
            for attempt in slot.sent:
                loss = Loss("manager", slot.number, self._host, reason, blames_task=False, manager=uid)
                self._lose(attempt, loss)
            slot.clear()

    def tick(self, now: float) -> None:
        """Time has passed."""
        if now >= self.next_due:
            self.next_due = inf
            for slot in self.slots:
                if slot.due <= now and slot.sent:
                    if slot.memory_due <= now:
                        self._orders.measure.append(slot.number)
                    if slot.look_due <= now:
                        self._orders.look.append(slot.number)
                elif slot.due < self.next_due:
                    self.next_due = slot.due

    def looked(self, number: int, taken: Sequence[int], now: float) -> None:
        """The worker's results up to now have been reported, and these attempts taken back from it."""
        slot = self.slots[number]
        if taken:
            gone = set(taken)
            back = [attempt for attempt in slot.sent if attempt.number in gone]
            slot.keep_others(gone)
            self._queue_again(back)
        self._set_stuck(slot, is_stuck=bool(slot.sent) and now - slot.since >= STUCK_S)
        self._review(slot, now)
        self._set_due(slot, now)
        self._pools.note(slot)

    def memory_measured(self, number: int, used: int, now: float) -> None:
        """What the worker and its descendants hold, in bytes."""
        slot = self.slots[number]
        limit = slot.sent[0].item.memory_bytes if slot.sent else 0
        if limit and used > limit:
            self.ran_out_of_memory(number, describe_memory(limit, used))
        slot.memory_due = now + MEMORY_PERIOD_S
        self._set_due(slot, now)

    def ran_out_of_memory(self, number: int, detail: str) -> None:
        """What the worker runs has held more than it may: it ends."""
        slot = self.slots[number]
        if slot.sent and slot.doom[1] is None:
            self._condemn(slot, Loss("memory", number, self._host, detail))

    def worker_ended(self, number: int, loss: Loss) -> None:
        """A worker is gone; its results have been reported and its packets taken back before.

        Args:
            number: Its slot.
            loss: Why, with blame for what it ran.
        """
        slot = self.slots[number]
        running = slot.sent[0] if slot.sent else None
        others = list(slot.sent)[1:]
        if not slot.is_ready:
            self.bad_starts += 1
        doomed, doom = slot.doom
        self._set_stuck(slot, is_stuck=False)
        slot.clear()
        if running is not None:
            if doom is not None and running is not doomed:
                detail = "its worker was ended because of the task before it"
                loss = Loss(loss.cause, number, self._host, detail, blames_task=False)
            self._lose(running, loss if doom is None or running is not doomed else doom)
        self._queue_again(others)
        self._pools.note(slot)
        self._orders.start.append(number)

    # -- what is to be done ---------------------------------------------------------------------

    def take_orders(self, now: float) -> Orders:
        """Hand out what waits, and give the orders to the shell."""
        if self._line and not self.is_draining:
            self._dispatch(now)
        self._update_want()
        orders, self._orders = self._orders, Orders()
        return orders

    @property
    def is_done(self) -> bool:
        """Drained: nothing is held any more."""
        return self.is_draining and not self.attempts

    def _dispatch(self, now: float) -> None:
        line, pools = self._line, self._pools
        while line:
            head = line.first()
            if head.is_watched and self._admission.is_too_late(head.item, now):
                self._orders.drains = True  # others like it follow, and have to go elsewhere
                self.drain()
                return
            if head.item.slots > 1:
                if len(pools.idle) < head.item.slots:
                    return  # nobody overtakes it, so the slots that it needs become idle
                self._send_wide(line.take(), now)
                continue
            pool = pools.idle or pools.partly
            if not pool:
                return
            slot = next(iter(pool.values()))
            if slot.sent and slot.memory_bytes != head.item.memory_bytes:
                return  # the limit is the worker's: it can change when the worker is idle
            self._send(slot, self._take_group(slot, -(-len(line) // len(pool))), now)

    def _take_group(self, slot: Slot, share: int) -> list[Attempt]:
        line, group, size = self._line, list[Attempt](), 0
        memory_bytes = line.first().item.memory_bytes
        most = min(share, PACKET_TASKS)
        load_us = slot.load_us
        end_us = min(HORIZON_US, load_us + PACKET_US)
        while line and len(group) < most and load_us < end_us:
            attempt = line.first()
            mean_us = attempt.times.mean_us
            is_alone = not 0 <= mean_us < LONG_US
            size += attempt.size
            if group and (is_alone or size > PACKET_BYTES or attempt.item.slots > 1):
                break
            if attempt.item.memory_bytes != memory_bytes:
                break
            group.append(line.take())
            attempt.estimate_us = mean_us + OVERHEAD_US if mean_us >= 0 else UNKNOWN_US
            load_us += attempt.estimate_us
            if is_alone:
                break
        return group

    def _send(self, slot: Slot, group: list[Attempt], now: float) -> None:
        if not slot.sent:
            slot.since = now
        memory_bytes = group[0].item.memory_bytes
        if memory_bytes != slot.memory_bytes:
            slot.memory_bytes = memory_bytes
            self._orders.limits.append((slot.number, memory_bytes))
        slot.sent.extend(group)
        for attempt in group:
            slot.load_us += attempt.estimate_us
        self._orders.packets.append((slot.number, [attempt.record for attempt in group]))
        self._set_due(slot, now)
        self._pools.note(slot)

    def _send_wide(self, attempt: Attempt, now: float) -> None:
        runs, *kept = list(self._pools.idle.values())[: attempt.item.slots]
        attempt.reserved = [slot.number for slot in kept]
        for slot in kept:
            slot.is_reserved = True
            self._pools.note(slot)
        attempt.estimate_us = HORIZON_US
        self._send(runs, [attempt], now)

    def _release(self, attempt: Attempt) -> None:
        for number in attempt.reserved:
            slot = self.slots[number]
            slot.is_reserved = False
            self._pools.note(slot)
        attempt.reserved = ()

    def _set_stuck(self, slot: Slot, *, is_stuck: bool) -> None:
        trapped = len(slot.sent) - 1 if is_stuck else 0
        self._trapped += trapped - slot.trapped
        slot.trapped = trapped
        slot.is_stuck = is_stuck

    def _set_due(self, slot: Slot, now: float) -> None:
        """When something has to be looked at, if the worker shows nothing before."""
        slot.look_due = inf
        memory_due = inf
        if slot.sent and slot.doom[1] is None:
            if len(slot.sent) > 1 and not slot.is_stuck:
                slot.look_due = slot.since + STUCK_S
            head = slot.sent[0]
            if head.is_watched:
                if head.is_cancelled:
                    slot.look_due = slot.since + STUCK_S
                if head.item.walltime_ms:
                    slot.look_due = min(slot.look_due, slot.since + head.item.walltime_ms / 1000)
                if head.item.memory_bytes:
                    memory_due = min(slot.memory_due, now + MEMORY_PERIOD_S)
        slot.memory_due = memory_due
        slot.due = min(slot.look_due, memory_due)
        self.next_due = min(self.next_due, slot.due)

    def _review(self, slot: Slot, now: float) -> None:
        """End what its worker runs, if that must not go on."""
        if not slot.sent or slot.doom[1] is not None:
            return
        head = slot.sent[0]
        limit = head.item.walltime_ms / 1000
        if head.is_cancelled:
            self._condemn(slot, self._cancelled())
        elif limit and now - slot.since >= limit:
            detail = f"it ran for {now - slot.since:.1f} s, its limit is {limit:g} s"
            self._condemn(slot, Loss("walltime", slot.number, self._host, detail))

    def _condemn(self, slot: Slot, loss: Loss) -> None:
        slot.doom = (slot.sent[0], loss)
        self._orders.kill.append(slot.number)
        self._pools.note(slot)

    def _queue_again(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if attempt.is_cancelled:
                self._lose(attempt, self._cancelled())
        kept = [attempt for attempt in attempts if not attempt.is_cancelled]
        if self.is_draining:
            self._give_back(kept)
        else:
            self._line.put_back(kept)

    def _give_back(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            del self.attempts[attempt.number]
            self._orders.returned.append(attempt.number)

    def _lose(self, attempt: Attempt, loss: Loss) -> None:
        self.attempts.pop(attempt.number, None)
        self._release(attempt)
        self._orders.items.append(ResultItem(attempt.number, 0, lost=loss))

    def _cancelled(self) -> Loss:
        return Loss("cancelled", host=self._host, detail="it was cancelled", blames_task=False)

    def _update_want(self) -> None:
        if self._prefetch:
            return
        wanted = len(self.slots) + self._appetite.prefetch() + self._trapped
        if abs(wanted - self.wanted) * 4 >= self.wanted:
            self.wanted = self._orders.want = wanted
