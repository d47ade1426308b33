"""Which managers fit a run: the others are refused by name, before they get a task."""

import msgspec
import pytest

from fanflow.pilot import wire
from fanflow.pilot.admissions import Admissions
from fanflow.pilot.interchange_core import InterchangeCore
from fanflow.pilot.registration import InterchangeSettings, why_refused

SETTINGS = InterchangeSettings(run_id="r", python="3.11", fanflow="1.2", cloudpickle="3.1")
FITS = wire.Register(wire.VERSION, "a" * 12, "b0", "host", 1, "3.11", "1.2", "3.1.9", 2)


def test_a_manager_of_the_same_versions_fits() -> None:
    assert why_refused(FITS, SETTINGS) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 99}, f"it speaks version 99 of the protocol, this run version {wire.VERSION}"),
        ({"python": "3.12"}, "it runs Python 3.12, this run Python 3.11"),
        ({"fanflow": "1.3"}, "it has fanflow 1.3, this run fanflow 1.2"),
        ({"cloudpickle": "3.2.0"}, "it has cloudpickle 3.2.0, this run cloudpickle 3.1"),
        ({"cloudpickle": "2.1.9"}, "it has cloudpickle 2.1.9, this run cloudpickle 3.1"),
        ({"slots": 0}, "it offers 0 workers"),
        ({"uid": ""}, "its uid has 0 characters"),
    ],
)
def test_another_version_is_refused_by_name(change: dict[str, object], reason: str) -> None:
    assert why_refused(msgspec.structs.replace(FITS, **change), SETTINGS) == reason


class Desk:
    """An interchange with keys, and the connections that knock."""

    def __init__(self) -> None:
        self.admissions = Admissions({"b0": b"key 0", "b1": b"key 1"})
        self.core = InterchangeCore(SETTINGS, admissions=self.admissions)

    def register(
        self, connection: bytes, shown: bytes, block: str = "b0", uid: str = "m", python: str = "3.11"
    ) -> None:
        owner = self.admissions.block_of(shown)
        if owner is not None:
            self.admissions.connected(connection, owner)
        header = msgspec.structs.replace(FITS, block=block, uid=uid, python=python)
        self.core.from_manager(connection, [wire.encode(header)], 1.0)

    def answers(self) -> list[tuple[bytes, object]]:
        return [(to, wire.decode_to_manager(frames[0])) for to, frames in self.core.take_outbox().to_manager]


def reasons(answers: list[tuple[bytes, object]]) -> list[str]:
    return [answer.reason if isinstance(answer, wire.Refused) else "" for _, answer in answers]


def test_others_go_on_when_one_manager_does_not_fit() -> None:
    desk = Desk()

    desk.register(b"1", b"key 0", uid="old", python="3.9")
    desk.register(b"2", b"key 0", uid="new")
    desk.core.from_client([wire.encode(wire.Function(1, b"d" * 16)), b"body"])
    desk.core.from_client([wire.encode(wire.Tasks([wire.TaskItem(7, 1, 1)])), b"x"])

    messages = [(to, type(answer)) for to, answer in desk.answers()]
    assert (b"1", wire.Refused) in messages
    assert (b"2", wire.Tasks) in messages
    assert (b"1", wire.Tasks) not in messages


@pytest.mark.parametrize(
    ("shown", "block", "reason"),
    [
        (b"key 0", "b0", ""),
        (b"key 1", "b0", "it has the key of block b1, and claims to belong to block b0"),
        (b"", "b0", "it has shown no key"),
        (b"key 0", "b7", "it has the key of block b0, and claims to belong to block b7"),
    ],
)
def test_a_key_speaks_for_its_own_block_alone(shown: bytes, block: str, reason: str) -> None:
    desk = Desk()

    desk.register(b"1", shown, block)

    assert reasons(desk.answers()) == [reason]


def test_a_block_that_has_ended_takes_its_managers_with_it() -> None:
    desk = Desk()
    desk.register(b"1", b"key 0", uid="one")
    desk.register(b"2", b"key 1", block="b1", uid="two")
    desk.answers()

    desk.core.from_client([wire.encode(wire.Revoke("b0"))])

    assert desk.answers() == [(b"1", wire.Refused("block b0 has ended"))]
    assert list(desk.core.roster.by_connection) == [b"2"]
    assert desk.admissions.block_of(b"key 0") is None


def test_a_block_that_is_admitted_again_has_its_new_key_only() -> None:
    desk = Desk()

    desk.core.from_client([wire.encode(wire.Admit("b0", b"key 2"))])

    assert desk.admissions.block_of(b"key 0") is None
    assert desk.admissions.block_of(b"key 2") == "b0"


def test_an_identity_that_is_used_again_does_not_inherit_a_key() -> None:
    desk = Desk()
    desk.register(b"1", b"key 0")
    desk.core.connection_ended(b"1")
    desk.answers()

    desk.register(b"1", b"")

    assert reasons(desk.answers()) == ["it has shown no key"]


def test_those_turned_away_are_counted() -> None:
    desk = Desk()
    desk.register(b"1", b"key 1")
    desk.core.from_manager(b"2", [b"\x93\x01"], 1.0)
    desk.core.take_outbox()

    desk.core.from_client([wire.encode(wire.Ask(1, "counters"))])

    answer = wire.decode_to_client(desk.core.take_outbox().to_client[-1][0])
    assert isinstance(answer, wire.Answer)
    assert answer.facts == [{"malformed": 1, "strays": 0, "refused": 1, "strangers": 0}]


@pytest.mark.parametrize(
    ("run_id", "version", "is_open"),
    [("r", wire.VERSION, True), ("another", wire.VERSION, False), ("r", wire.VERSION + 1, False)],
    ids=["its client", "a client of another run", "a client of another version"],
)
def test_keys_come_with_the_first_message_of_its_own_client(run_id: str, version: int, is_open: bool) -> None:
    admissions = Admissions({})
    core = InterchangeCore(SETTINGS, admissions=admissions)

    core.from_client([wire.encode(wire.Hello(version, run_id, {"b5": b"key 5"}))])

    assert admissions.is_open is is_open
    assert admissions.block_of(b"key 5") == ("b5" if is_open else None)
    assert core.malformed == (not is_open)
