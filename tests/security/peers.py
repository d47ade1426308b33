"""Peers that speak to an interchange as its managers do, with whatever keys and words the test wants."""

import contextlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import cloudpickle
import zmq
from zmq.utils.monitor import recv_monitor_message

from fanflow._version import __version__
from fanflow.pilot import wire
from fanflow.pilot.access import Access
from fanflow.pilot.keys import KeyPair, load_pair
from fanflow.pilot.manager import ManagerConfig, write_config
from fanflow.pilot.running import Engine
from fanflow.pilot.sockets import host_and_port

DEADLINE_MS = 10_000

_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)


class RawPeer:
    """One connection.

    Args:
        context: For its sockets.
        url: Where it connects to.
        server_key: The public key that it expects there; empty: no encryption.
        pair: Its own keys.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        url: str,
        server_key: str = "",
        pair: KeyPair | None = None,
    ) -> None:
        self.dealer = context.socket(zmq.DEALER)
        self.dealer.set(zmq.LINGER, 0)
        if pair is not None:
            self.dealer.set(zmq.CURVE_SERVERKEY, server_key.encode())
            self.dealer.set(zmq.CURVE_PUBLICKEY, pair.public.encode())
            self.dealer.set(zmq.CURVE_SECRETKEY, pair.secret.encode())
        self.monitor = self.dealer.get_monitor_socket(_EVENTS)
        self.dealer.connect(url)

    def has_shaken_hands(self) -> bool:
        """Whether the other side wants to know it."""
        assert self.monitor.poll(DEADLINE_MS), "nothing came of the connection"
        return recv_monitor_message(self.monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def register(self, **changes: object) -> wire.Accepted | wire.Refused:
        """Claim to be a manager; returns the answer."""
        self.dealer.send(wire.encode(registration(**changes)))
        answer = self.receive()
        assert isinstance(answer, wire.Accepted | wire.Refused)
        return answer

    def receive(self) -> object:
        """The header of the next message."""
        assert self.dealer.poll(DEADLINE_MS), "no answer"
        return wire.decode_to_manager(self.dealer.recv_multipart()[0])

    def close(self) -> None:
        self.dealer.disable_monitor()
        self.monitor.close(linger=0)
        self.dealer.close(linger=0)


def registration(**changes: object) -> wire.Register:
    """A manager that fits, but for the changes. It takes no tasks: they are the others'."""
    fields: dict[str, object] = {
        "version": wire.VERSION,
        "uid": os.urandom(6).hex(),
        "block": "0",
        "host": "elsewhere",
        "pid": 1,
        "python": platform.python_version().rpartition(".")[0],
        "fanflow": __version__,
        "cloudpickle": cloudpickle.__version__,
        "slots": 1,
        "is_draining": True,
    }
    return wire.Register(**{**fields, **changes})  # type: ignore[arg-type]


@contextlib.contextmanager
def peer(url: str, server_key: str = "", pair: KeyPair | None = None) -> Iterator[RawPeer]:
    """A connection that is closed in the end."""
    with zmq.Context() as context:
        connection = RawPeer(context, url, server_key, pair)
        try:
            yield connection
        finally:
            connection.close()


def access_of(engine: Engine, block: str) -> Access:
    """Let a block in, from any thread."""

    def begin(answer: Future[Access]) -> None:
        answer.set_result(engine.admit(block))

    return engine.mailbox.ask("the engine", begin)


def revoke(engine: Engine, block: str) -> None:
    """A block has ended, says any thread."""

    def begin(answer: Future[None]) -> None:
        answer.set_result(engine.revoke(block))

    engine.mailbox.ask("the engine", begin)


@contextlib.contextmanager
def admitted(engine: Engine, block: str) -> Iterator[RawPeer]:
    """A connection with the keys of a new block."""
    access = access_of(engine, block)
    with peer(access.addresses[0], access.server_key, load_pair(access.key_file)) as connection:
        yield connection


def counter(engine: Engine, name: str) -> int:
    """How often the interchange has seen such a thing."""
    value = engine.ask("counters")[0][name]
    assert isinstance(value, int)
    return value


def uids(engine: Engine) -> set[object]:
    """Managers that are there."""
    return {facts["manager"] for facts in engine.ask("managers")}


@contextlib.contextmanager
def stranger(url: str) -> Iterator[socket.socket]:
    """A bare TCP connection."""
    with socket.create_connection(host_and_port(url), timeout=DEADLINE_MS / 1000) as connection:
        yield connection


@contextlib.contextmanager
def manager_of(access: Access, directory: Path, block: str = "0") -> Iterator["subprocess.Popen[bytes]"]:
    """A real manager of one worker, as a batch job starts it."""
    config = ManagerConfig(
        access=access, block=block, slots=1, log_directory=str(directory / "logs"), path=sys.path
    )
    directory.mkdir(exist_ok=True)
    write_config(str(directory / "manager.json"), config)
    process = subprocess.Popen(
        [sys.executable, "-m", "fanflow.pilot.manager", str(directory / "manager.json")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_MS / 1000)


def log_of(directory: Path) -> str:
    """What that manager has written."""
    return "".join(path.read_text() for path in directory.rglob("manager.log"))
