"""What an interchange hands out after it has replaced another."""

from fanflow.pilot import wire
from fanflow.pilot.backlog import Backlog
from fanflow.pilot.client import ClientCore
from fanflow.pilot.interchange_core import InterchangeCore
from fanflow.pilot.registration import InterchangeSettings
from fanflow.pilot.takeover import Takeover
from tests.property.interchange_stand import PlainPrinter, PlainUnpacker

BODY = b"the arguments"


def items(*attempts: int, priority: int = 0) -> list[wire.TaskItem]:
    return [wire.TaskItem(attempt, 0, len(BODY), priority=priority) for attempt in attempts]


class Successor:
    """An interchange that takes over; what it says is decoded."""

    def __init__(self) -> None:
        settings = InterchangeSettings(run_id="r", python="3.11", fanflow="1", takes_over=True)
        self.core = InterchangeCore(settings)
        self.core.from_client((wire.encode(wire.Function(0, b"")), b"function"))

    def open(self, *attempts: int) -> None:
        tasks = wire.encode(wire.Tasks(items(*attempts)))
        self.core.from_client((tasks, BODY * len(attempts)))

    def expect(self, *uids: str) -> None:
        self.core.from_client((wire.encode(wire.Expect(list(uids), 3000)),))

    def register(self, uid: str, *holds: int, connection: bytes = b"", is_draining: bool = False) -> None:
        header = wire.Register(
            wire.VERSION, uid, "b", "host", 1, "3.11", "1", "3", slots=4, holds=holds, is_draining=is_draining
        )
        self.core.from_manager(connection or uid.encode(), (wire.encode(header),), 1.0)

    def say(self, uid: str, header: wire.Message, *frames: bytes) -> None:
        self.core.from_manager(uid.encode(), (wire.encode(header), *frames), 1.0)

    def said(self) -> tuple[dict[str, list[int]], dict[str, list[int]], list[wire.Message]]:
        """Attempts handed out and attempts cancelled, by connection; what the client was told."""
        outbox = self.core.take_outbox()
        given: dict[str, list[int]] = {}
        cancelled: dict[str, list[int]] = {}
        for identity, frames in outbox.to_manager:
            header = wire.decode_to_manager(frames[0])
            if isinstance(header, wire.Tasks):
                given.setdefault(identity.decode(), []).extend(item.attempt for item in header.items)
            elif isinstance(header, wire.Cancel):
                cancelled.setdefault(identity.decode(), []).extend(header.attempts)
        return given, cancelled, [wire.decode_to_client(frames[0]) for frames in outbox.to_client]


def test_nothing_is_handed_out_before_the_last_manager_has_come() -> None:
    successor = Successor()
    successor.open(1, 2, 3)
    successor.expect("a", "b")
    successor.register("a", 1)
    early, _, _ = successor.said()

    successor.register("b", 2)
    late, cancelled, _ = successor.said()

    assert early == {}
    assert [attempt for attempts in late.values() for attempt in attempts] == [3]
    assert cancelled == {}


def test_a_manager_may_come_before_the_client_has_said_what_is_open() -> None:
    successor = Successor()
    successor.register("a", 1, 2)
    before, _, _ = successor.said()

    successor.open(1, 2, 3)
    successor.expect("a")
    given, _, _ = successor.said()

    assert before == {}
    assert given == {"a": [3]}


def test_when_patience_ends_the_rest_is_handed_out_and_the_missing_are_named() -> None:
    successor = Successor()
    successor.open(1, 2)
    successor.expect("a", "b")
    successor.register("a", 1)

    successor.core.tick(10.0)
    early, _, _ = successor.said()
    successor.core.tick(13.1)
    given, _, told = successor.said()

    assert early == {}
    assert given == {"a": [2]}
    assert [header.uid for header in told if isinstance(header, wire.ManagerLeft)] == ["b"]


def test_one_that_comes_late_keeps_what_nobody_else_was_given() -> None:
    successor = Successor()
    successor.open(*range(10))
    successor.expect("a", "b")
    successor.register("a")
    successor.core.tick(10.0)
    successor.core.tick(13.1)
    given, _, _ = successor.said()

    successor.register("b", 0, 8, 9)
    later, cancelled, _ = successor.said()

    assert given == {"a": [0, 1, 2, 3]}
    assert cancelled == {"b": [0]}
    assert later == {"b": [4, 5]}  # beside 8 and 9, which it kept


def test_what_two_managers_name_belongs_to_the_first() -> None:
    successor = Successor()
    successor.open(1)
    successor.expect("a", "b")

    successor.register("a", 1)
    successor.register("b", 1)
    given, cancelled, _ = successor.said()

    assert given == {}
    assert cancelled == {"b": [1]}


def test_what_was_cancelled_while_there_was_no_interchange_is_cancelled_now() -> None:
    successor = Successor()
    successor.open(2)
    successor.expect("a")

    successor.register("a", 1, 2)
    _, cancelled, _ = successor.said()

    assert cancelled == {"a": [1]}


def test_what_a_draining_manager_gives_back_meanwhile_goes_to_another() -> None:
    successor = Successor()
    successor.open(1, 2)
    successor.expect("a", "b")
    successor.register("a", 1, 2)

    successor.say("a", wire.Drain())
    successor.say("a", wire.Return([2]))
    successor.register("b")
    given, _, told = successor.said()

    assert given == {"b": [2]}
    assert not any(isinstance(header, wire.Results) for header in told)


def test_a_manager_that_was_draining_gets_nothing() -> None:
    successor = Successor()
    successor.open(1, 2)
    successor.expect("a", "b")

    successor.register("a", 1, is_draining=True)
    successor.register("b")
    given, _, _ = successor.said()

    assert given == {"b": [2]}


def test_a_block_that_was_to_drain_drains_whenever_its_manager_comes_back() -> None:
    successor = Successor()
    client = ClientCore(PlainUnpacker(), PlainPrinter(lambda event: None), lambda header: None)  # type: ignore[arg-type]
    client.drain(["b"])
    client.managers["a"] = wire.ManagerJoined("a", "b", "host", 4)

    successor.open(1)
    for frames in client.takeover(3000):
        successor.core.from_client(frames)
    successor.register("a")
    outbox = successor.core.take_outbox()

    headers = [wire.decode_to_manager(frames[0]) for _, frames in outbox.to_manager]
    assert [type(header) for header in headers] == [wire.Accepted, wire.Drain]


def test_what_a_manager_held_that_died_meanwhile_is_lost_not_handed_out() -> None:
    successor = Successor()
    successor.open(1)
    successor.expect("a", "b")
    successor.register("a", 1)

    successor.core.connection_ended(b"a")
    successor.register("b")
    given, _, told = successor.said()

    lost = [item.attempt for header in told if isinstance(header, wire.Results) for item in header.items]
    assert given == {}
    assert lost == [1]


def test_a_manager_with_a_new_connection_keeps_what_it_holds() -> None:
    successor = Successor()
    successor.open(1, 2)
    successor.expect("a")
    successor.register("a", 1, 2)
    successor.said()

    successor.register("a", 1, connection=b"again")
    given, cancelled, told = successor.said()
    successor.core.connection_ended(b"a")
    _, _, told_later = successor.said()

    lost = [item.attempt for header in told if isinstance(header, wire.Results) for item in header.items]
    assert (given, cancelled, lost, told_later) == ({}, {}, [2], [])


def test_questions_are_answered_when_all_managers_are_there() -> None:
    successor = Successor()
    successor.core.from_client((wire.encode(wire.Ask(7, "managers")),))
    successor.expect("a")
    _, _, early = successor.said()

    successor.register("a")
    _, _, late = successor.said()

    assert early == []
    [answer] = [header for header in late if isinstance(header, wire.Answer)]
    assert [fact["manager"] for fact in answer.facts] == ["a"]


def test_an_interchange_that_replaces_none_expects_nobody() -> None:
    core = InterchangeCore(InterchangeSettings(run_id="r", python="3.11", fanflow="1"))

    core.from_client((wire.encode(wire.Expect(["a"], 3000)),))

    assert core.malformed == 1


def test_a_release_makes_an_attempt_wait_again() -> None:
    takeover = Takeover()
    takeover.add((items(1, 2), [BODY, BODY], []))
    takeover.came("a", {1, 2})

    takeover.release([2])

    [(waiting, parts, _)] = takeover.waiting()
    assert [item.attempt for item in waiting] == [2]
    assert parts == [BODY]


def test_removing_from_the_queue_finds_what_waits_and_was_not_cancelled() -> None:
    backlog = Backlog()
    backlog.add(items(1, 2, 3), [BODY] * 3)
    backlog.add(items(4, 5, priority=-1), [BODY] * 2)
    backlog.take(1)
    backlog.cancel([2])

    found = backlog.remove({2, 3, 4, 99})

    assert found == {3}
    assert backlog.take(10).attempts() == [5, 1]
