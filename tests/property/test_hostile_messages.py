"""Messages of authenticated peers that make no sense: nothing escapes, nobody else is harmed."""

from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fanflow.ids import AttemptId
from fanflow.model.attempts import AttemptEvent, Returned
from fanflow.pilot import wire
from fanflow.pilot.client import ClientCore
from fanflow.pilot.interchange_core import InterchangeCore
from fanflow.pilot.registration import InterchangeSettings
from fanflow.testing import make_launch, tasks
from tests.property.interchange_stand import PlainPrinter, PlainUnpacker

HONEST, HOSTILE = b"honest", b"hostile"
ITS_OWN, FOREIGN, WAITING = range(1, 5), range(5, 9), range(9, 21)

numbers = st.one_of(
    st.integers(0, 25),
    st.sampled_from([-1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]),
    st.integers(-9, 9),
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | numbers
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
TAGS = "Register Results Chunk Want Return Drain Heartbeat Printed Answer Leave Tasks Function Cancel Ask"
tags = st.sampled_from(TAGS.split())
small = st.integers(0, 25)
losses = st.none() | st.builds(
    wire.Loss, st.sampled_from(["signal", "drained", "cancelled", "what?"]), small, detail=st.text(max_size=4)
)
items = st.builds(wire.ResultItem, small, st.sampled_from([0, 0, 1, 2, -1, 70_000, 2**63 - 1]), small, losses)
headers = st.one_of(
    st.builds(wire.Results, st.lists(items, max_size=5)),
    st.builds(wire.Chunk, small, st.sampled_from([0, 1, -5, 2**62]), st.booleans()),
    st.builds(wire.Want, st.sampled_from([0, -7, 3, 2**62])),
    st.builds(wire.Return, st.lists(small, max_size=6)),
    st.builds(wire.Leave, st.text(max_size=3), st.booleans()),
    st.just(wire.Drain()),
    st.builds(wire.Printed, small, st.text(max_size=3), st.text(max_size=3)),
    st.builds(wire.Answer, small, st.lists(st.dictionaries(st.text(max_size=3), plain), max_size=2)),
    st.builds(
        wire.Register,
        version=st.just(wire.VERSION),
        uid=st.sampled_from(["hostile", "other", ""]),
        block=st.just("b"),
        host=st.just("h"),
        pid=small,
        python=st.just("3.11"),
        fanflow=st.just("1"),
        cloudpickle=st.just("3"),
        slots=st.sampled_from([4, 0, -1, 2**40]),
        holds=st.lists(small, max_size=9),
    ),
)
DEEP = b"\x91" * 90_000 + b"\xc0"
first_frames = st.one_of(
    headers.map(wire.encode),
    st.tuples(tags, st.lists(plain, max_size=6)).map(
        lambda pair: msgspec.msgpack.encode([pair[0], *pair[1]])
    ),
    plain.map(msgspec.msgpack.encode),
    st.binary(max_size=40),
    st.sampled_from([DEEP, b"\x92\xa9Heartbeat" + DEEP, b"\x93\xa6Answer\x01\x91\x81\xa1k" + DEEP]),
)
some_frames = st.tuples(first_frames, st.lists(st.sampled_from([b"", b"x", b"xy", b"xxxxx"]), max_size=3))
sizes = st.dictionaries(small, st.sampled_from([-1, 0, 1, 1, 2]), max_size=4)
"""Attempt -> size; the payloads that follow are as long as their sum."""


def outcomes(size_of: dict[int, int]) -> tuple[bytes, bytes]:
    header = wire.Results([wire.ResultItem(attempt, size) for attempt, size in size_of.items()])
    return wire.encode(header), b"x" * max(0, sum(size_of.values()))


messages = st.one_of(some_frames.map(lambda pair: (pair[0], *pair[1])), sizes.map(outcomes))


class Stand:
    """An interchange with an honest manager and a hostile one; each holds four attempts of twenty."""

    def __init__(self) -> None:
        self.core = InterchangeCore(InterchangeSettings(run_id="r", python="3.11", fanflow="1"))
        self.core.from_client((wire.encode(wire.Function(0, b"")), b"function"))
        self.ended: dict[int, list[bytes]] = {}
        """Attempt -> connections whose messages ended it."""
        self.pieces: set[tuple[int, bytes]] = set()
        """Attempts, and connections from which pieces of their results came."""
        for connection, attempts in ((HOSTILE, ITS_OWN), (HONEST, FOREIGN), (b"", WAITING)):
            if connection:
                self.register(connection)
            self.submit(attempts)

    def register(self, connection: bytes) -> None:
        header = wire.Register(wire.VERSION, connection.decode(), "b", "h", 1, "3.11", "1", "3", slots=4)
        self.take(connection, (wire.encode(header),))

    def submit(self, attempts: Sequence[int]) -> None:
        tasks = wire.Tasks([wire.TaskItem(attempt, 0, 1) for attempt in attempts])
        self.core.from_client((wire.encode(tasks), b"x" * len(attempts)))
        self.core.take_outbox()

    def take(self, connection: bytes, frames: Sequence[bytes]) -> None:
        self.core.from_manager(connection, frames, 1.0)
        for told in self.core.take_outbox().to_client:
            header = wire.decode_to_client(told[0])
            if isinstance(header, wire.Chunk):
                self.pieces.add((header.attempt, connection))
            if isinstance(header, wire.Results):
                wire.split(header.items, told[1])  # the client can take it apart
                for item in header.items:
                    self.ended.setdefault(item.attempt, []).append(connection)

    def holder(self, attempt: int) -> set[bytes]:
        return {view.identity for view in self.core.roster.by_connection.values() if attempt in view.holds}


@settings(max_examples=600)
@given(st.lists(messages, max_size=12))
def test_a_manager_ends_nothing_that_it_does_not_hold(wild: list[tuple[bytes, ...]]) -> None:
    stand = Stand()

    for frames in wild:
        stand.take(HOSTILE, frames)
        stand.core.from_client(frames)
        stand.take(b"stranger", frames)
    results = wire.Results([wire.ResultItem(attempt, 1) for attempt in FOREIGN])
    stand.take(HONEST, (wire.encode(results), b"xxxx"))

    assert all(stand.ended[attempt] == [HONEST] for attempt in FOREIGN)
    assert not any((attempt, HOSTILE) in stand.pieces for attempt in FOREIGN)
    assert all(len(by) == 1 for attempt, by in stand.ended.items() if attempt in ITS_OWN)
    assert all(len(stand.holder(attempt)) <= 1 for attempt in range(30))


def test_a_manager_that_sends_nothing_but_nonsense_is_given_up() -> None:
    stand = Stand()

    for _ in range(100):
        stand.take(HOSTILE, (b"\xc1",))

    assert {view.identity for view in stand.core.roster.by_connection.values()} == {HONEST}
    assert set(stand.ended) == set(ITS_OWN)


@settings(max_examples=200)
@given(st.lists(messages, max_size=12))
def test_nothing_that_an_interchange_says_stops_the_client(wild: list[tuple[bytes, ...]]) -> None:
    events: list[AttemptEvent] = []
    client = ClientCore(
        PlainUnpacker(),  # type: ignore[arg-type]
        PlainPrinter(events.append),  # type: ignore[arg-type]
        lambda header: None,
    )
    launch = make_launch(tasks.add, 1, 2)
    launch.attempt = AttemptId(1_000)  # which none of the messages speaks of
    client.submit([launch])

    for frames in wild:
        events += client.receive([frames])[0]
    last = wire.Results([wire.ResultItem(launch.attempt, 1)])
    events += client.receive([(wire.encode(last), b"v")])[0]

    assert [event.attempt for event in events] == [AttemptId(launch.attempt)]
    assert isinstance(events[-1], Returned)
