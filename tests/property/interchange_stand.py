"""A client core, an interchange core and simulated managers, with a network that the test drives.

The stand plays the kernel too: a task whose attempt is lost gets another, and each outcome is checked.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent, Launch, Lost, Returned
from fanflow.pilot import wire
from fanflow.pilot.client import ClientCore
from fanflow.pilot.flight import Flight
from fanflow.pilot.interchange_core import InterchangeCore
from fanflow.pilot.registration import InterchangeSettings
from fanflow.testing import make_launch, tasks

SLOTS, PREFETCH = 2, 3
LARGE = wire.INLINE_LIMIT + 100
PATIENCE_MS = 3_000

Frames = Sequence[bytes | memoryview]


def settings(*, takes_over: bool = False) -> InterchangeSettings:
    return InterchangeSettings(run_id="r", python="3.11", fanflow="1", takes_over=takes_over)


class PlainUnpacker:
    """Outcomes are their payloads."""

    def unpack(
        self,
        attempt: AttemptId,
        name: str,
        payload: bytes | memoryview,
        pieces: Sequence[bytes] | None,
        report: object,
    ) -> AttemptEvent:
        return Returned(attempt, b"".join(pieces) if pieces is not None else bytes(payload))


class PlainPrinter:
    """Shows nothing, and reports at once."""

    def __init__(self, report: Callable[[AttemptEvent], None]) -> None:
        self.report = report

    def show(self, mark: str, text: str, *, is_error: bool) -> None:
        pass


class SimulatedManager:
    """Holds attempts, runs some of them, repeats outcomes after a reconnection as the real one does."""

    connections = 0

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.inbox: deque[Frames] = deque()
        self.outbox: deque[Frames] = deque()
        """On its way to the interchange."""
        self.pending: deque[Frames] = deque()
        """Waits until the registration is accepted."""
        self.identity: bytes | None = None
        self.is_accepted = self.is_draining = self.is_dead = False
        self.held: dict[int, bool] = {}
        """Attempt -> whether it runs."""
        self.recent: list[tuple[list[int], Frames]] = []
        self.started: list[int] = []
        self.has_large_results = False

    def connect(self) -> None:
        SimulatedManager.connections += 1
        self.identity = b"%s-%d" % (self.uid.encode(), SimulatedManager.connections)
        self.inbox.clear()
        self.is_accepted = False
        repeated = [attempt for attempts, _ in self.recent for attempt in attempts]
        register = wire.Register(
            wire.VERSION, self.uid, "b", "host", 1, "3.11", "1", "3", SLOTS, PREFETCH,
            holds=[*self.held, *repeated], is_draining=self.is_draining,
        )  # fmt: skip
        self.outbox = deque([(wire.encode(register),)])
        self.pending = deque(frames for _, frames in self.recent)

    def send(self, header: wire.Message, *frames: bytes) -> None:
        self._send_frames((wire.encode(header), *frames))

    def _send_frames(self, frames: Frames) -> None:
        if self.identity is not None:
            (self.outbox if self.is_accepted else self.pending).append(frames)

    def _send_results(self, items: list[wire.ResultItem], blob: bytes) -> None:
        message = (wire.encode(wire.Results(items)), blob)
        self.recent.append(([item.attempt for item in items], message))
        self._send_frames(message)

    def receive(self) -> None:
        frames = self.inbox.popleft()
        header = wire.decode_to_manager(frames[0])
        if isinstance(header, wire.Accepted):
            self.is_accepted = True
            self.outbox.extend(self.pending)
            self.pending.clear()
        elif isinstance(header, wire.Refused):
            self.identity = None  # begins anew when the test lets it
        elif isinstance(header, wire.Tasks):
            large = [item.attempt for item in header.items if item.size > wire.INLINE_LIMIT]
            if large:
                self.send(wire.Got(large))
            self._take([item.attempt for item in header.items])
        elif isinstance(header, wire.Cancel):
            for attempt in header.attempts:
                if self.held.pop(attempt, None) is not None:
                    self._send_results([wire.ResultItem(attempt, 0, lost=wire.Loss("cancelled"))], b"")
        elif isinstance(header, wire.Drain):
            self.drain()

    def _take(self, attempts: list[int]) -> None:
        if self.is_draining:
            self.send(wire.Return(attempts))
            return
        for attempt in attempts:
            self.held.setdefault(attempt, False)

    def drain(self) -> None:
        self.is_draining = True
        back = [attempt for attempt, runs in self.held.items() if not runs]
        for attempt in back:
            del self.held[attempt]
        self.send(wire.Drain())
        self.send(wire.Return(back))

    def start(self) -> None:
        for attempt, runs in list(self.held.items()):
            if sum(self.held.values()) < SLOTS and not runs:
                self.held[attempt] = True
                self.started.append(attempt)

    def finish(self, most: int) -> None:
        ended = [attempt for attempt, runs in self.held.items() if runs][:most]
        for attempt in ended:
            del self.held[attempt]
        large = [attempt for attempt in ended if self.has_large_results and attempt % 4 == 0]
        for attempt in large:
            result = large_result(attempt)
            self.send(wire.Chunk(attempt, 0, True), result)  # these are not repeated
            self.send(wire.Results([wire.ResultItem(attempt, len(result))]), b"")
        small = [attempt for attempt in ended if attempt not in large]
        parts = [b"%d" % attempt for attempt in small]
        items = [wire.ResultItem(attempt, len(part)) for attempt, part in zip(small, parts, strict=True)]
        if items:
            self._send_results(items, b"".join(parts))


def large_result(attempt: int) -> bytes:
    return b"%d" % attempt * (wire.INLINE_LIMIT // len(str(attempt)) + 1)


class World:
    """Everything, and the kernel's book-keeping."""

    def __init__(self, managers: int = 2, *, has_large_results: bool = False) -> None:
        self.now = 100.0
        self.has_large_results = has_large_results
        self.client = ClientCore(
            PlainUnpacker(),  # type: ignore[arg-type]
            PlainPrinter(lambda event: self._take_events([event])),  # type: ignore[arg-type]
            lambda header: None,
        )
        self.client._flight = Flight(window=2 * LARGE)
        self.core: InterchangeCore | None = InterchangeCore(settings())
        self.to_interchange: deque[Frames] = deque([(wire.encode(wire.Hello(wire.VERSION, "r")),)])
        self.to_client: deque[Frames] = deque()
        self.managers: list[SimulatedManager] = []
        self.task_of: dict[int, int] = {}
        """Attempt -> task."""
        self.open: dict[int, int] = {}
        """Task -> its attempt that is open."""
        self.ends: Counter[int] = Counter()
        """Task -> outcomes that were delivered."""
        self.cancelled: set[int] = set()
        self.starts_before: Counter[int] = Counter()
        for _ in range(managers):
            self.add_manager()
        self.flow()

    def add_manager(self) -> SimulatedManager:
        manager = SimulatedManager(f"m{len(self.managers)}")
        manager.has_large_results = self.has_large_results
        self.managers.append(manager)
        manager.connect()
        return manager

    # -- the kernel -----------------------------------------------------------------------------

    def submit(self, count: int) -> None:
        first = len(self.ends)
        for task in range(first, first + count):
            self.ends[task] = 0
        self._launch(list(range(first, first + count)))

    def _launch(self, wanted: list[int]) -> None:
        launches: list[Launch] = []
        for task in wanted:
            launch = (
                make_launch(tasks.echo, bytes(LARGE)) if task % 3 == 0 else make_launch(tasks.add, task, 1)
            )
            self.task_of[launch.attempt] = task
            self.open[task] = launch.attempt
            launches.append(launch)
        messages, refused = self.client.submit(launches)
        assert not refused
        self.to_interchange.extend(messages)

    def cancel(self, tasks_: list[int]) -> None:
        attempts = [AttemptId(self.open[task]) for task in tasks_ if task in self.open]
        messages, lost = self.client.cancel(attempts)
        self.to_interchange.extend(messages)
        for event in lost:
            self.cancelled.add(self.task_of[event.attempt])
        self._take_events(lost)

    def _take_events(self, events: Sequence[AttemptEvent]) -> None:
        again: list[int] = []
        for event in events:
            task = self.task_of[event.attempt]
            assert self.open.get(task) == event.attempt, f"attempt {event.attempt} is not open"
            del self.open[task]
            if isinstance(event, Lost) and task not in self.cancelled:
                again.append(task)
                continue
            self.ends[task] += 1
            if isinstance(event, Returned):
                expected = {b"%d" % event.attempt, large_result(event.attempt)}
                assert event.value in expected, "the wrong outcome"
        if again:
            self._launch(again)

    # -- the network ----------------------------------------------------------------------------

    def from_client(self, most: int) -> None:
        if self.core is not None:
            for _ in range(min(most, len(self.to_interchange))):
                self.core.from_client(self.to_interchange.popleft())
            self.relay()

    def from_manager(self, manager: SimulatedManager, most: int) -> None:
        if self.core is not None and manager.identity is not None:
            for _ in range(min(most, len(manager.outbox))):
                self.core.from_manager(manager.identity, manager.outbox.popleft(), self.now)
            self.relay()

    def relay(self) -> None:
        """What the interchange sends is on its way."""
        assert self.core is not None
        outbox = self.core.take_outbox()
        self.to_client.extend(outbox.to_client)
        for identity, frames in outbox.to_manager:
            for manager in self.managers:
                if manager.identity == identity and not manager.is_dead:
                    manager.inbox.append(frames)
        self.check_holders()

    def check_holders(self) -> None:
        """No attempt has two holders, as far as the interchange knows."""
        assert self.core is not None
        held = Counter(attempt for view in self.core.roster.by_connection.values() for attempt in view.holds)
        assert not held or max(held.values()) == 1

    def to_manager(self, manager: SimulatedManager, most: int) -> None:
        for _ in range(min(most, len(manager.inbox))):
            if manager.identity is not None and not manager.is_dead and manager.inbox:
                manager.receive()

    def receive(self, most: int) -> None:
        messages = [self.to_client.popleft() for _ in range(min(most, len(self.to_client)))]
        events, again = self.client.receive(messages)
        self.to_interchange.extend(again)
        self._take_events(events)

    # -- what befalls them ----------------------------------------------------------------------

    def kill_interchange(self) -> None:
        self.core = None
        self.to_interchange.clear()
        for manager in self.managers:
            manager.outbox.clear()

    def replace_interchange(self, received: int) -> None:
        """The client has noticed; so many messages of the dead one had reached it."""
        if self.core is None:
            self.receive(received)
            self.to_client.clear()
            self.core = InterchangeCore(settings(takes_over=True))
            self.to_interchange = deque(self.client.takeover(PATIENCE_MS))

    def reconnect(self, manager: SimulatedManager) -> None:
        """It has noticed that its connection is gone, if it is."""
        if manager.is_dead or self.core is None:
            return
        if manager.identity is None or manager.identity not in self.connected():
            manager.connect()

    def connected(self) -> set[bytes]:
        """Connections that the interchange knows, or that are being made to it."""
        assert self.core is not None
        being_made = {
            manager.identity
            for manager in self.managers
            if manager.identity is not None and any(is_registration(frames) for frames in manager.outbox)
        }
        return being_made | set(self.core.roster.by_connection)

    def kill_manager(self, manager: SimulatedManager) -> None:
        manager.is_dead = True
        manager.outbox.clear()
        if self.core is not None and manager.identity is not None:
            self.core.connection_ended(manager.identity)
            self.relay()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.core is not None:
            self.core.tick(self.now)
            self.relay()

    def flow(self) -> None:
        """Everything that is on its way arrives, and is answered."""
        for _ in range(4):
            self.from_client(1000)
            for manager in self.managers:
                self.from_manager(manager, 1000)
                self.to_manager(manager, 1000)
            self.receive(1000)

    def settle(self) -> None:
        """Everything works from now on: whatever is open ends."""
        self.add_manager()
        for _ in range(6):
            self.replace_interchange(1000)
            self.flow()
            for manager in self.managers:
                self.reconnect(manager)
                manager.send(wire.Heartbeat())
            self.wait(1.0)
        self.flow()
        self.check_nothing_unwanted()
        for _ in range(500):
            self.flow()
            for manager in self.managers:
                if not manager.is_dead:
                    manager.start()
                    manager.finish(1000)
            if not self.open:
                return
        raise AssertionError(f"these never end: {sorted(self.open.items())[:10]}")

    def check_nothing_unwanted(self) -> None:
        """Managers hold only what somebody waits for, and the interchange knows what they hold."""
        assert self.core is not None
        for manager in self.managers:
            view = self.core.roster.find(manager.uid)
            if not manager.is_dead:
                assert view is not None
                assert manager.held.keys() <= set(self.open.values())
                assert view.holds == set(manager.held)


def is_registration(frames: Frames) -> bool:
    try:
        return isinstance(wire.decode_from_manager(frames[0]), wire.Register)
    except ValueError:
        return False
