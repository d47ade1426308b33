"""The simplest executor that keeps every rule: threads, a queue and a lock. Defects are made from it."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

from fanflow.errors import AppTimeout, ExecutorError, InvalidResourceSpecification, TaskExitedError
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import Launch, Lost, Raised, Returned
from fanflow.spi.executor import BuildContext, EventSink, Loop
from fanflow.testing import Outcome


class PlainExecutor:
    """Runs attempts in daemon threads. Its steps are methods, so that a defect overrides one of them."""

    kills = False
    stops_commands = False

    def __init__(self, label: str, workers: int) -> None:
        self.label = ExecutorLabel(label)
        self.capacity = workers
        self.changed = threading.Condition()
        self.queue: deque[Launch] = deque()
        self.open: dict[AttemptId, Launch] = {}
        self.threads: set[threading.Thread] = set()
        self.is_closed = False

    def start(self, events: EventSink, loop: Loop) -> None:
        self.events = events
        self.loop = loop
        for _ in range(self.capacity):
            self.add_worker()

    def add_worker(self) -> None:
        thread = threading.Thread(target=self.work, name="plain-worker", daemon=True)
        thread.start()  # first, since close() joins what is in the set
        self.threads.add(thread)

    def submit(self, batch: Sequence[Launch]) -> None:
        for launch in batch:
            refusal = self.refusal_of(launch)
            with self.changed:
                self.open[launch.attempt] = launch
                if refusal is None:
                    self.queue.append(launch)
                    self.changed.notify()
            if refusal is not None:
                self.end(refusal)

    def refusal_of(self, launch: Launch) -> Outcome | None:
        if self.is_closed:
            return Lost(launch.attempt, ExecutorError(self, "it has been closed"))
        if launch.resources:
            return Raised(launch.attempt, InvalidResourceSpecification(launch.resources))
        return None

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        with self.changed:
            cancelled = [launch for launch in self.queue if launch.attempt in set(attempts)]
            for launch in cancelled:
                self.queue.remove(launch)
        for launch in cancelled:
            self.end(Lost(launch.attempt, CancelledError()))

    def close(self, *, drain: bool, deadline: float) -> None:
        end = time.monotonic() + deadline
        with self.changed:
            self.is_closed = True
            dropped = [] if drain else list(self.queue)
            self.queue = self.queue if drain else deque()
            self.changed.notify_all()
        self.lose([launch.attempt for launch in dropped])
        with self.changed:
            self.changed.wait_for(lambda: not self.open, max(end - time.monotonic(), 0.0))
            self.queue.clear()
            left = list(self.open)
        self.lose(left)
        self.join(end)

    def lose(self, attempts: Sequence[AttemptId]) -> None:
        for attempt in attempts:
            self.end(Lost(attempt, ExecutorError(self, "it was closed")))

    def join(self, end: float) -> None:
        for thread in list(self.threads):
            thread.join(max(end - time.monotonic(), 0.0))

    def work(self) -> None:
        while self.work_once():
            pass
        self.threads.discard(threading.current_thread())

    def work_once(self) -> bool:
        """Run one attempt. Nothing of it is held while the thread waits for the next."""
        launch = self.take()
        if launch is None:
            return False
        if not launch.latch.claim():
            self.end(Lost(launch.attempt, CancelledError()))
            return True
        timer = self.set_timer(launch)
        outcome = self.run(launch)
        timer.cancel()
        return self.end(outcome)  # False: it timed out, and another worker took the place

    def take(self) -> Launch | None:
        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.is_closed)
            return self.queue.popleft() if self.queue else None

    def set_timer(self, launch: Launch) -> threading.Timer:
        timer = threading.Timer(launch.walltime or 3600.0, self.time_out, [launch.attempt])
        timer.daemon = True
        if launch.walltime is not None:
            timer.start()
        return timer

    def time_out(self, attempt: AttemptId) -> None:
        if self.end(Raised(attempt, AppTimeout())):
            self.add_worker()

    def run(self, launch: Launch) -> Outcome:
        try:
            return Returned(launch.attempt, launch.function(*launch.args, **launch.kwargs))
        except (SystemExit, KeyboardInterrupt) as error:
            exited = TaskExitedError(repr(error))
            exited.__cause__ = error
            return Raised(launch.attempt, exited)
        except BaseException as error:  # noqa: BLE001 - it belongs to the attempt
            return Raised(launch.attempt, error)

    def end(self, outcome: Outcome) -> bool:
        with self.changed:
            if self.open.pop(outcome.attempt, None) is None:
                return False
            self.events([outcome])
            self.changed.notify_all()
            return True


@dataclass
class PlainSpec:
    kind: type[PlainExecutor] = PlainExecutor
    label: str = "plain"
    built: list[PlainExecutor] = field(default_factory=list)

    def build(self, context: BuildContext) -> PlainExecutor:
        self.built.append(self.kind(self.label, 2))
        return self.built[-1]
