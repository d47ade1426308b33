"""What a manager has sent once is worth nothing to whoever recorded it."""

import random
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from fanflow.pilot import wire
from fanflow.pilot.keys import load_pair
from fanflow.pilot.sockets import host_and_port, url_of
from tests.leaks import wait_until
from tests.security.conftest import Guarded
from tests.security.peers import access_of, counter, peer, stranger, uids
from tests.security.test_strangers import tasks_go_on

GREETING_BYTES = 64


@dataclass
class Recorder:
    """Passes one connection on, and keeps what its client sends."""

    target: str
    pieces: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = url_of("127.0.0.1", self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._pass_on, name="recorder")

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._thread.join(10)
        self._listening.close()

    def _pass_on(self) -> None:
        client, _ = self._listening.accept()
        with client, socket.create_connection(host_and_port(self.target)) as server:
            while True:
                for side in select.select([client, server], [], [], 10)[0]:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    if side is client:
                        self.pieces.append(data)
                    (server if side is client else client).sendall(data)


@pytest.fixture(scope="module")
def recorded(guarded: Guarded) -> list[bytes]:
    """The bytes of a manager that connected, registered, and went."""
    access = access_of(guarded.engine, "victim")
    with (
        Recorder(guarded.url) as recorder,
        peer(recorder.url, access.server_key, load_pair(access.key_file)) as connection,
    ):
        assert connection.has_shaken_hands()
        answer = connection.register(block="victim", uid="victim")
        assert isinstance(answer, wire.Accepted)
    wait_until(lambda: "victim" not in uids(guarded.engine), 10)
    return recorder.pieces


def reordered(pieces: list[bytes]) -> list[bytes]:
    return [pieces[0], *random.Random(3).sample(pieces[1:], len(pieces) - 1)]


WAYS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "whole": lambda pieces: pieces,
    "twice": lambda pieces: pieces * 2,
    "reordered": reordered,
    "without the greeting": lambda pieces: pieces[1:],
    "without the handshake": lambda pieces: [pieces[0][:GREETING_BYTES], pieces[-1]],
    "with a bit turned": lambda pieces: [*pieces[:-1], pieces[-1][:-1] + bytes([pieces[-1][-1] ^ 1])],
    **{
        f"the first {part} eighths": lambda pieces, part=part: [
            b"".join(pieces)[: sum(map(len, pieces)) * part // 8]
        ]  # type: ignore[misc]
        for part in range(1, 8)
    },
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_replay_makes_a_manager(
    way: Callable[[list[bytes]], list[bytes]], recorded: list[bytes], guarded: Guarded
) -> None:
    joined = set(uids(guarded.engine))
    strangers = counter(guarded.engine, "strangers")

    with stranger(guarded.url) as connection:
        for piece in way(recorded):
            with suppress(OSError):  # it is cut off as soon as it goes wrong
                connection.sendall(piece)
        wait_until(lambda: counter(guarded.engine, "strangers") > strangers, 10)
        tasks_go_on(20)
        seen = uids(guarded.engine)

    assert seen == joined
    assert counter(guarded.engine, "strangers") > strangers
