"""Who listens on the network while an engine runs: nobody, or the interchange where it was told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import fanflow
from fanflow import Config, HighThroughputExecutor
from fanflow.ids import ExecutorLabel
from fanflow.launchers import WrappedLauncher
from fanflow.pilot.addresses import own_addresses
from fanflow.pilot.running import Engine
from fanflow.pilot.transport import TcpSettings, TcpTransport
from fanflow.providers import LocalProvider
from fanflow.spi.executor import BuildContext, Executor, ExecutorSpec
from tests.integration.engines import OneBlock
from tests.leaks import wait_until
from tests.security.test_strangers import double


def listeners() -> set[tuple[str, int]]:
    """Addresses and ports on which this process or its descendants listen, or take datagrams."""
    found = set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN or (connection.type == 2 and connection.laddr):
                found.add((connection.laddr.ip, connection.laddr.port))
    return found


@contextmanager
def running(executor: ExecutorSpec, directory: Path) -> Iterator[None]:
    before = listeners()
    with fanflow.load(Config(executors=[executor], run_dir=str(directory / "runs"))):
        assert double(4).result(timeout=30) == 8
        yield
    wait_until(lambda: listeners() <= before, 5)
    assert listeners() <= before


class OverTcp:
    """Two workers, reached in a way that the test chooses.

    Args:
        options: For the transport.
    """

    label = "engine"

    def __init__(self, **options: object) -> None:
        self._options = options

    def build(self, context: BuildContext) -> Executor:
        settings = TcpSettings(key_directory=str(context.run_dir / "keys"), **self._options)  # type: ignore[arg-type]
        blocks = OneBlock(context.run_dir / "manager")
        return Engine(ExecutorLabel(self.label), context.run_id, blocks, TcpTransport(settings))


def unix_sockets() -> set[Path]:
    """Paths of our own that this process or its descendants have bound."""
    found = set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        for connection in process.net_connections("unix"):
            path = Path(str(connection.laddr))
            if path.parent.name.startswith("ff"):
                found.add(path)
    return found


def test_local_workers_are_reached_by_sockets_of_this_user_and_not_by_the_network(tmp_path: Path) -> None:
    before = listeners()

    with running(HighThroughputExecutor(max_workers_per_node=1), tmp_path):
        new = listeners() - before
        modes = {path.parent.stat().st_mode & 0o777 for path in unix_sockets()}

    assert new == set()
    assert modes == {0o700}


def test_local_workers_over_tcp_are_reached_by_loopback_alone(tmp_path: Path) -> None:
    before = listeners()

    with running(OverTcp(is_local=True), tmp_path):
        (new,) = listeners() - before

    assert new[0] == "127.0.0.1"
    assert 54_000 <= new[1] < 55_000


def test_only_a_given_address_is_listened_on(tmp_path: Path) -> None:
    before = listeners()

    with running(OverTcp(is_local=False, address="127.0.0.1", worker_port_range=(55_100, 55_200)), tmp_path):
        (new,) = listeners() - before

    assert new[0] == "127.0.0.1"
    assert 55_100 <= new[1] < 55_200


@pytest.mark.skipif(not own_addresses(), reason="this host has loopback addresses only")
def test_without_an_address_each_of_this_hosts_is_listened_on_and_no_wildcard(tmp_path: Path) -> None:
    before = listeners()

    with running(OverTcp(is_local=False), tmp_path):
        new = listeners() - before

    assert {address for address, _ in new} == set(own_addresses())
    assert len({port for _, port in new}) == 1


@pytest.mark.skipif(not own_addresses(), reason="this host has loopback addresses only")
def test_a_launcher_that_may_lead_elsewhere_is_served_on_this_hosts_addresses(tmp_path: Path) -> None:
    before = listeners()
    provider = LocalProvider(launcher=WrappedLauncher(prepend=""))

    with running(HighThroughputExecutor(provider=provider, max_workers_per_node=1), tmp_path):
        new = listeners() - before

    assert {address for address, _ in new} == set(own_addresses())
