"""Peers without keys at the interchange's port: they get nowhere, and tasks go on."""

import os
import pickle
import random
import select
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from fanflow import python_app
from tests.leaks import wait_until
from tests.security.conftest import Guarded
from tests.security.peers import admitted, counter, stranger, uids

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
HELLO = b"\x04\x10\x05HELLO\x04user\x04pass"


def greeting(mechanism: bytes, version: bytes = b"\x03\x00") -> bytes:
    return SIGNATURE + version + mechanism.ljust(20, b"\0") + bytes(32)


def frame(data: bytes) -> bytes:
    return b"\x02" + len(data).to_bytes(8, "big") + data


class Canary:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


OPENINGS = {
    "nothing": b"",
    "half a signature": SIGNATURE[:5],
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000ffc0303") + bytes(500),
    "ZMTP 1": b"\x01\x00",
    "ZMTP 2": SIGNATURE + b"\x01\x05\x00\x00",
    "a later ZMTP": greeting(b"CURVE", b"\x09\x09"),
    "NULL": greeting(b"NULL") + READY,
    "PLAIN": greeting(b"PLAIN") + HELLO,
    "GSSAPI": greeting(b"GSSAPI"),
    "no such mechanism": greeting(b"\xff" * 20),
    "CURVE without its handshake": greeting(b"CURVE"),
    "CURVE with a false hello": greeting(b"CURVE") + b"\x04\xc8\x05HELLO" + os.urandom(194),
    "CURVE with READY at once": greeting(b"CURVE") + READY,
    "a frame of 2**63 bytes": greeting(b"CURVE") + b"\x06" + b"\x7f" + b"\xff" * 7,
}


@python_app
def double(number: int) -> int:
    return 2 * number


def tasks_go_on(count: int = 50) -> None:
    futures = [double(number) for number in range(count)]
    assert [future.result(timeout=20) for future in futures] == [2 * number for number in range(count)]


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
def test_no_opening_lets_a_stranger_in(opening: bytes, guarded: Guarded, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    tasks_go_on(1)
    strangers, managers, first = (
        counter(guarded.engine, "strangers"),
        uids(guarded.engine),
        guarded.interchange,
    )

    with stranger(guarded.url) as connection:
        for data in (opening, frame(pickle.dumps(Canary(canary))) * 3):
            try:
                connection.sendall(data)
            except OSError:  # cut off, which is as well
                break
        wait_until(lambda: counter(guarded.engine, "strangers") > strangers, 10)
        tasks_go_on()

    assert counter(guarded.engine, "strangers") > strangers
    assert uids(guarded.engine) == managers
    assert guarded.interchange == first
    assert not canary.exists()


def test_random_bytes_crash_nothing(guarded: Guarded) -> None:
    tasks_go_on()
    chance = random.Random(5)
    process = psutil.Process(guarded.interchange)
    memory, strangers = process.memory_info().rss, counter(guarded.engine, "strangers")

    for number in range(300):
        opening = chance.choice([b"", SIGNATURE, greeting(b"CURVE"), greeting(b"NULL")])
        with stranger(guarded.url) as connection:
            try:
                connection.sendall(opening[: chance.randrange(70)] + chance.randbytes(chance.randrange(5000)))
            except OSError:
                continue
        if number % 50 == 0:
            tasks_go_on()

    wait_until(lambda: counter(guarded.engine, "strangers") >= strangers + 300, 10)
    assert counter(guarded.engine, "strangers") >= strangers + 300
    assert process.is_running()
    assert process.memory_info().rss - memory < 50 << 20


class SlowCrowd:
    """Connections that say nothing, or a byte now and then."""

    def __init__(self, url: str, count: int, stack: ExitStack) -> None:
        self._opening = greeting(b"CURVE") + b"\x04\xc8\x05HELLO" + bytes(194)
        self._open = {}
        self._poll = select.poll()
        for _ in range(count):
            connection = stack.enter_context(stranger(url))
            self._open[connection.fileno()] = connection
            self._poll.register(connection, select.POLLIN)

    def turn(self, number: int) -> int:
        """Every other one says its next byte; returns how many have not been cut off a moment later."""
        for fd, connection in self._open.items():
            if fd % 2:
                with suppress(OSError):
                    connection.send(self._opening[number : number + 1])
        for fd, _ in self._poll.poll(100):
            try:
                is_cut = not self._open[fd].recv(1000)
            except OSError:
                is_cut = True
            if is_cut:
                self._poll.unregister(fd)
                del self._open[fd]
        return len(self._open)


def test_the_slow_are_cut_off_and_hold_up_nobody(guarded: Guarded) -> None:
    tasks_go_on()
    deadline = time.monotonic() + 15
    with ExitStack() as stack:
        crowd = SlowCrowd(guarded.url, 400, stack)

        with admitted(guarded.engine, "late") as late:  # who has a key gets in all the same
            assert late.has_shaken_hands()
        number = 0
        while crowd.turn(number) and time.monotonic() < deadline:
            tasks_go_on()
            number += 1

        assert crowd.turn(number) == 0


def test_what_an_admitted_peer_sends_is_never_unpickled(guarded: Guarded, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    malformed, first = counter(guarded.engine, "malformed"), guarded.interchange

    with admitted(guarded.engine, "hostile") as hostile:
        assert hostile.has_shaken_hands()
        for _ in range(20):
            hostile.dealer.send_multipart([pickle.dumps(Canary(canary)), pickle.dumps(Canary(canary))])
        wait_until(lambda: counter(guarded.engine, "malformed") >= malformed + 20, 10)
        tasks_go_on()

    assert counter(guarded.engine, "malformed") >= malformed + 20
    assert guarded.interchange == first
    assert not canary.exists()
