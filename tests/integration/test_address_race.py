"""A manager tries all addresses of the interchange, and says of each that fails why."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from fanflow.pilot import keys
from fanflow.pilot.access import Access
from fanflow.pilot.authenticator import DOMAIN, Authenticator
from fanflow.pilot.race import Race, Winner
from fanflow.pilot.sockets import url_of

NOWHERE = url_of("127.0.0.1", 1)
NO_NAME = url_of("no-such-host.invalid", 5)
DEADLINE_S = 20.0

SERVER, BLOCK = keys.make_pair(), keys.make_pair()


class Guard:
    """Listens as an interchange does, and knows one key.

    Args:
        admitted: That key.
    """

    def __init__(self, admitted: keys.KeyPair) -> None:
        self._context = zmq.Context()
        known = {keys.raw(admitted.public): "0"}
        self.authenticator = Authenticator(self._context, known.get)
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._router.set(zmq.LINGER, 0)
        self._router.set(zmq.CURVE_SERVER, 1)
        self._router.set(zmq.CURVE_SECRETKEY, SERVER.secret.encode())
        self._router.set(zmq.ZAP_DOMAIN, DOMAIN)
        port = self._router.bind_to_random_port("tcp://127.0.0.1")
        self.url = url_of("127.0.0.1", port)
        self.url_by_name = url_of("localhost", port)

    def close(self) -> None:
        self._router.close()
        self.authenticator.close()
        self._context.term()


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard(BLOCK)
    yield guard
    guard.close()


def run(
    addresses: list[str],
    guard: Guard | None = None,
    *,
    probe_s: float = 30.0,
    pair: keys.KeyPair = BLOCK,
    server: keys.KeyPair = SERVER,
) -> dict[str, str]:
    """One race until it is won or lost: the winner's address as `won`, or why each failed."""
    context, poller = zmq.Context(), zmq.Poller()
    access = Access(addresses=addresses, server_key=server.public, probe_timeout_s=probe_s)
    race = Race(
        context=context, poller=poller, access=access, pair=pair, now=time.monotonic(), is_again=False
    )
    winner: Winner | None = None
    try:
        while winner is None and not race.is_lost(time.monotonic()):
            ready = dict(poller.poll(20))
            now = time.monotonic()
            if guard is not None:
                guard.authenticator.serve(now)
            winner = race.follow(ready, now)
        return race.failures() if winner is None else {"won": winner.url}
    finally:
        race.close()
        if winner is not None:
            winner.dealer.disable_monitor()
            winner.monitor.close()
            winner.dealer.close()
        context.term()


def test_the_address_that_answers_wins_whatever_the_others_do(guard: Guard) -> None:
    assert run([NOWHERE, NO_NAME, guard.url], guard) == {"won": guard.url}


def test_a_name_is_looked_up_and_tried(guard: Guard) -> None:
    assert run([guard.url_by_name], guard) == {"won": guard.url}


def test_addresses_that_all_fail_are_given_up_before_the_time_is_over() -> None:
    began = time.monotonic()

    failures = run([NOWHERE, NO_NAME])

    assert time.monotonic() - began < 15
    assert failures[NOWHERE] == "refused: nothing listens there"
    assert failures["no-such-host.invalid"].startswith("name not known: ")


def test_what_listens_but_stays_silent_is_told_from_what_does_not_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = url_of("127.0.0.1", silent.getsockname()[1])

        failures = run([url], probe_s=0.5)

    assert failures == {url: "something listens there, but it does not speak as an interchange does"}


def test_a_refused_key_is_named_long_before_the_time_is_over(guard: Guard) -> None:
    failures = run([guard.url], guard, pair=keys.make_pair())

    assert "refuses the key of this block" in failures[guard.url]
    assert guard.authenticator.refused == 1


def test_an_interchange_of_another_run_is_told_from_one_that_refuses_the_key(guard: Guard) -> None:
    failures = run([guard.url], guard, probe_s=0.5, server=keys.make_pair())

    assert failures == {guard.url: "what listens there is not this run's interchange"}
    assert guard.authenticator.refused == 0


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_manager_does_not_begin_with_a_key_file_that_others_may_read(mode: int, tmp_path: Path) -> None:
    keys.make_key_directory(str(tmp_path / "keys"))
    path = keys.write_pair(str(tmp_path / "keys"), "block_0", BLOCK)
    os.chmod(path, mode)
    access = {"addresses": [NOWHERE], "server_key": SERVER.public, "key_file": path}
    config = {"access": access, "block": "0", "slots": 1, "log_directory": str(tmp_path / "logs")}
    (tmp_path / "manager.json").write_text(json.dumps(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "fanflow.pilot.manager", str(tmp_path / "manager.json")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        status = process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        raise

    logs = "".join(log.read_text() for log in (tmp_path / "logs").rglob("manager.log"))
    assert status == 1
    assert f"{path} has mode {mode:04o}, so others may read or change keys there" in logs
