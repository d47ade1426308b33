"""Whatever happens to workers and whenever, each attempt that a manager accepted ends exactly once."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from fanflow.pilot.manager_core import ManagerCore
from fanflow.pilot.slots import HORIZON_US, LONG_US, PACKET_TASKS
from fanflow.pilot.wire import Loss, TaskItem
from fanflow.pilot.worker_records import Result, TaskRecord

SLOTS = 3


class SimulatedWorker:
    """Runs attempts in order; what it has received cannot be taken back."""

    def __init__(self) -> None:
        self.is_ready = False
        self.memory_bytes = 0
        self.packets: deque[list[TaskRecord]] = deque()
        self.received: deque[int] = deque()
        self.unsent: list[Result] = []

    def receive(self) -> None:
        if not self.received and self.packets:
            self.received.extend(task[0] for task in self.packets.popleft())

    def finish_one(self, run_us: int) -> None:
        self.receive()
        if self.received:
            self.unsent.append((self.received.popleft(), run_us, b"x", 1))


class SimulatedManager:
    """The shell around the core, with workers that do what the test says, and the book-keeping."""

    def __init__(self) -> None:
        self.core = ManagerCore(SLOTS, "host")
        self.now = 100.0
        self.workers: dict[int, SimulatedWorker] = {}
        self.items: dict[int, TaskItem] = {}
        self.ends: dict[int, str] = {}
        self.started: set[int] = set()
        self.perform()

    def end(self, attempt: int, how: str) -> None:
        assert attempt in self.items, f"{attempt} was never accepted"
        assert attempt not in self.ends, f"{attempt} ended as {self.ends[attempt]}, then as {how}"
        self.ends[attempt] = how

    def perform(self) -> None:
        while True:
            orders = self.core.take_orders(self.now)
            assert len(orders.parts) == sum(item.size > 0 for item in orders.items)
            for item in orders.items:
                self.end(item.attempt, item.lost.cause if item.lost else "done")
            for attempt in orders.returned:
                assert attempt not in self.started, "a started attempt was returned"
                self.end(attempt, "returned")
            for number in orders.start:
                assert number not in self.workers
                self.workers[number] = SimulatedWorker()
            for number, limit in orders.limits:
                self.limit(number, limit)
            for number, tasks in orders.packets:
                self.send(number, tasks)
            for number in orders.measure:
                self.core.memory_measured(number, 50, self.now)
            for number in orders.look:
                self.look(number)
            for number in orders.kill:
                self.die(number)
            self.check_places()
            if not (orders.look or orders.measure or orders.kill):
                return

    def limit(self, number: int, limit: int) -> None:
        worker = self.workers[number]
        assert not worker.received, "the limit of a task that runs was changed"
        assert not worker.packets
        worker.memory_bytes = limit

    def send(self, number: int, tasks: list[TaskRecord]) -> None:
        worker = self.workers[number]
        assert worker.is_ready
        assert 1 <= len(tasks) <= PACKET_TASKS
        held = [self.core.attempts[task[0]] for task in tasks]
        assert {attempt.item.memory_bytes for attempt in held} == {worker.memory_bytes}
        if len(held) > 1:
            assert all(0 <= attempt.times.mean_us < LONG_US for attempt in held)
            assert sum(attempt.estimate_us for attempt in held) < HORIZON_US + LONG_US + 100
        worker.packets.append(tasks)
        worker.receive()

    def report(self, number: int) -> None:
        worker = self.workers[number]
        results, worker.unsent = worker.unsent, []
        self.core.results_came(number, results, self.now)

    def look(self, number: int) -> None:
        worker = self.workers.get(number)
        if worker is None:
            return
        self.report(number)
        taken = [task[0] for packet in worker.packets for task in packet]
        worker.packets.clear()
        self.core.looked(number, taken, self.now)

    def die(self, number: int) -> None:
        if number in self.workers:
            self.look(number)
            del self.workers[number]
            self.core.worker_ended(number, Loss("signal", number))

    def check_places(self) -> None:
        used = 0
        for number, worker in self.workers.items():
            worker.receive()
            if worker.received:
                self.started.add(worker.received[0])
                attempt = self.core.attempts.get(worker.received[0])
                used += 1 if attempt is None else attempt.item.slots
                for other in attempt.reserved if attempt is not None else ():
                    busy = self.workers.get(other)
                    assert busy is None or not (busy.received or busy.packets), f"{other}, kept for {number}"
        assert used <= SLOTS


class Script:
    """Things that may happen, each a method with an argument from 0 to 9."""

    def __init__(self) -> None:
        self.manager = SimulatedManager()
        self.next = 1

    def tasks(self, variant: int) -> None:
        items = [
            TaskItem(
                self.next + step,
                function=variant % 4,
                size=3,
                priority=(0, 0, 0, -1, 2)[step % 5 if variant > 6 else 0],
                walltime_ms=40 if variant == 3 else 0,
                memory_bytes=10 if variant == 5 else 1000 if variant == 6 else 0,
                slots=2 if variant == 8 and step % 3 == 0 else 9 if variant == 9 and step == 1 else 1,
            )
            for step in range(1 + variant * 4)
        ]
        self.next += len(items)
        self.manager.items.update((item.attempt, item) for item in items)
        self.manager.core.tasks_came(items, [b"abc"] * len(items))
        again = [item for item in items if item.attempt in self.manager.core.attempts]
        self.manager.core.tasks_came(again, [b"abc"] * len(again))

    def ready(self, place: int) -> None:
        for number, worker in self.manager.workers.items():
            if not worker.is_ready and number <= place:
                worker.is_ready = True
                self.manager.core.worker_ready(number)

    def work(self, amount: int) -> None:
        worker = self.manager.workers.get(amount % SLOTS)
        for _ in range(3 * amount + 1):
            if worker is not None:
                worker.finish_one((5, 5, 300, 5, 2_000_000)[amount % 5])
        if worker is not None and amount < 8:
            self.manager.report(amount % SLOTS)

    def die(self, place: int) -> None:
        self.manager.die(place % SLOTS)

    def wait(self, length: int) -> None:
        self.manager.now += (0.001, 0.021, 0.05, 0.3)[length % 4]
        self.manager.core.tick(self.manager.now)

    def cancel(self, which: int) -> None:
        self.manager.core.cancel([*range(max(1, self.next - 5 * which), self.next, 2), 999_999])

    def stray(self, place: int) -> None:
        self.manager.core.results_came(place % SLOTS, [(self.next + 7, 1, b"x", 1)], self.manager.now)

    def drain(self, rarely: int) -> None:
        if rarely == 9:
            self.manager.core.drain()


EVENTS = (
    "tasks",
    "tasks",
    "ready",
    "work",
    "work",
    "work",
    "die",
    "wait",
    "wait",
    "cancel",
    "stray",
    "drain",
)


def let_end(manager: SimulatedManager) -> None:
    for _ in range(10_000):
        if not manager.core.attempts:
            return
        for number in list(manager.workers):
            worker = manager.workers[number]
            if not worker.is_ready:
                worker.is_ready = True
                manager.core.worker_ready(number)
            worker.finish_one(10)
            manager.report(number)
        manager.now += 0.01
        manager.core.tick(manager.now)
        manager.perform()
    raise AssertionError(f"these never end: {sorted(manager.core.attempts)}")


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 9)), min_size=5, max_size=80))
def test_each_attempt_ends_exactly_once(events: list[tuple[str, int]]) -> None:
    script = Script()

    for name, argument in events:
        getattr(script, name)(argument)
        script.manager.perform()
    let_end(script.manager)

    assert script.manager.ends.keys() == script.manager.items.keys()


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 9)), min_size=5, max_size=60))
def test_nothing_is_held_after_a_manager_was_abandoned(events: list[tuple[str, int]]) -> None:
    script = Script()
    for name, argument in events:
        getattr(script, name)(argument)
        script.manager.perform()

    script.manager.core.abandon("the test says so", "0123456789ab")
    script.manager.workers.clear()
    script.manager.perform()

    assert script.manager.ends.keys() == script.manager.items.keys()
    assert script.manager.core.is_done
