"""Who has which key: exactly the admitted ones come in, each for its own block."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from fanflow.pilot import wire
from fanflow.pilot.authenticator import DOMAIN, Authenticator
from fanflow.pilot.keys import KeyPair, load_pair, make_pair
from tests.security.conftest import Guarded
from tests.security.peers import access_of, admitted, counter, log_of, manager_of, peer, revoke, uids


def test_a_manager_with_its_blocks_key_is_accepted(guarded: Guarded) -> None:
    with admitted(guarded.engine, "right") as connection:
        assert connection.has_shaken_hands()
        answer = connection.register(block="right")

    assert isinstance(answer, wire.Accepted)


def test_exactly_the_admitted_keys_come_in(guarded: Guarded) -> None:
    revoked = load_pair(access_of(guarded.engine, "over").key_file)
    revoke(guarded.engine, "over")
    server_key = guarded.access.server_key
    other = make_pair()
    admitted_pair = load_pair(guarded.access.key_file)
    keys = {
        "admitted": (server_key, admitted_pair),
        "of an earlier run": (server_key, make_pair()),
        "of an earlier run, for its interchange": (make_pair().public, make_pair()),
        "revoked": (server_key, revoked),
        "the interchange's public key": (server_key, KeyPair(server_key, other.secret)),
        "a stolen public key": (server_key, KeyPair(admitted_pair.public, other.secret)),
        "the client's own": (make_pair().public, KeyPair(server_key, other.secret)),
    }
    refused, strangers = counter(guarded.engine, "refused"), counter(guarded.engine, "strangers")

    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(peer(guarded.url, expected, pair))
            for name, (expected, pair) in keys.items()
        }
        come_in = [name for name, connection in peers.items() if connection.has_shaken_hands()]

    assert come_in == ["admitted"]
    assert counter(guarded.engine, "refused") >= refused + 2
    assert counter(guarded.engine, "strangers") >= strangers + len(keys) - 1


def test_the_key_file_of_a_block_that_has_ended_is_removed(guarded: Guarded) -> None:
    access = access_of(guarded.engine, "removed")
    assert Path(access.key_file).exists()

    revoke(guarded.engine, "removed")

    assert not Path(access.key_file).exists()


def test_a_connected_manager_is_turned_away_when_its_block_has_ended(guarded: Guarded) -> None:
    with admitted(guarded.engine, "ending") as connection:
        connection.register(block="ending", uid="ending")

        revoke(guarded.engine, "ending")

        answer = connection.receive()
    assert isinstance(answer, wire.Refused)
    assert "block ending has ended" in answer.reason
    assert "ending" not in uids(guarded.engine)


def test_the_key_of_one_block_does_not_speak_for_another(guarded: Guarded) -> None:
    refused = counter(guarded.engine, "refused")
    with admitted(guarded.engine, "mine") as connection:
        answer = connection.register(block="0", uid="impostor")

    assert isinstance(answer, wire.Refused)
    assert answer.reason == "it has the key of block mine, and claims to belong to block 0"
    assert counter(guarded.engine, "refused") == refused + 1
    assert "impostor" not in uids(guarded.engine)


def test_a_refused_manager_ends_within_ten_seconds_and_says_why(guarded: Guarded, tmp_path: Path) -> None:
    access = access_of(guarded.engine, "refused")
    pair = Path(access.key_file).read_bytes()
    revoke(guarded.engine, "refused")
    Path(access.key_file).touch(mode=0o600)
    Path(access.key_file).write_bytes(pair)

    with manager_of(access, tmp_path / "node", "refused") as manager:
        status = manager.wait(10)

    Path(access.key_file).unlink()
    assert status == 1
    assert "refuses the key of this block: the block has ended, or the key is of another run" in log_of(
        tmp_path
    )


@pytest.fixture
def asked() -> Iterator[tuple[Authenticator, dict[bytes, str], Callable[..., list[bytes]]]]:
    """An authenticator, the keys that it lets in, and a way to ask it: (request, now) -> answers."""
    with zmq.Context() as context:
        admitted: dict[bytes, str] = {}
        authenticator = Authenticator(context, admitted.get)
        asking = context.socket(zmq.DEALER)
        asking.connect("inproc://zeromq.zap.01")

        def ask(request: list[bytes], now: float) -> list[bytes]:
            if request:
                asking.send_multipart([b"", *request])
                assert authenticator.socket.poll(1000)
            authenticator.serve(now)
            return [asking.recv_multipart()[3]] if asking.poll(50) else []

        yield authenticator, admitted, ask
        asking.close(linger=0)
        authenticator.close()


KEY = b"k" * 32
RIGHT = [b"1.0", b"7", DOMAIN, b"127.0.0.1", b"", b"CURVE", KEY]
Asked = tuple[Authenticator, dict[bytes, str], Callable[..., list[bytes]]]


@pytest.mark.parametrize(
    "request_",
    [
        RIGHT[:-1],
        [*RIGHT, b"more"],
        [b"2.0", *RIGHT[1:]],
        [*RIGHT[:2], b"another", *RIGHT[3:]],
        [*RIGHT[:5], b"NULL", b""],
        [*RIGHT[:5], b"PLAIN", b"user", b"password"],
        [*RIGHT[:6], b""],
    ],
    ids=["short", "long", "version", "domain", "NULL", "PLAIN", "no key"],
)
def test_a_question_that_is_not_understood_is_refused_at_once(request_: list[bytes], asked: Asked) -> None:
    authenticator, admitted, ask = asked
    admitted[KEY] = "b"

    assert ask(request_, 0.0) == [b"400"]
    assert authenticator.refused == 1


def test_a_manager_that_is_faster_than_the_word_of_its_key_comes_in(asked: Asked) -> None:
    _, admitted, ask = asked

    assert ask(RIGHT, 0.0) == []
    admitted[KEY] = "b"

    assert ask([], 0.5) == [b"200"]


def test_an_unknown_key_is_refused_when_its_time_is_over(asked: Asked) -> None:
    authenticator, _, ask = asked

    assert ask(RIGHT, 0.0) == []
    due = authenticator.next_due

    assert 0 < due < 5
    assert ask([], due) == [b"400"]
    assert ask([], due + 1) == []
