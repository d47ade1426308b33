"""Where an interchange listens for managers, and what is said when it cannot."""

import socket

import pytest

from fanflow.errors import ConfigurationError
from fanflow.pilot.addresses import listen, own_addresses, places

LOOPBACK = "127.0.0.1"
WIDE = (20_000, 60_000)


def test_local_managers_are_listened_for_on_loopback_alone() -> None:
    found = places(None, is_local=True, loopback=LOOPBACK)

    assert list(found.bound) == list(found.published) == [LOOPBACK]


def test_without_an_address_each_one_of_this_host_is_bound_by_itself() -> None:
    found = places(None, is_local=False, loopback=LOOPBACK)

    assert list(found.bound) == own_addresses()
    assert list(found.published[: len(found.bound)]) == list(found.bound)
    assert not set(found.bound) & {"0.0.0.0", "::", LOOPBACK, "::1"}


def test_an_address_that_is_given_is_the_only_one() -> None:
    found = places(LOOPBACK, is_local=False, loopback=LOOPBACK)

    assert list(found.bound) == list(found.published) == [LOOPBACK]


def test_a_name_is_bound_as_the_numbers_that_it_means() -> None:
    found = places("localhost", is_local=True, loopback=LOOPBACK)

    assert set(found.bound) <= {LOOPBACK, "::1"}


def test_a_name_that_nobody_knows_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"address='no-such-host\.invalid' is not known here"):
        places("no-such-host.invalid", is_local=False, loopback=LOOPBACK)


def test_a_loopback_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"loopback_address='192\.0\.2\.1' is no loopback address"):
        places(None, is_local=True, loopback="192.0.2.1")


def test_an_address_of_another_host_cannot_be_listened_on() -> None:
    with pytest.raises(ConfigurationError, match=r"198\.51\.100\.77 is not one of this host's"):
        listen(["198.51.100.77"], None, WIDE)


def test_all_addresses_get_the_same_port_of_the_range() -> None:
    sockets = listen([LOOPBACK, "127.0.0.2"], None, WIDE)
    names = [listening.getsockname() for listening in sockets]
    for listening in sockets:
        listening.close()

    assert [name[0] for name in names] == [LOOPBACK, "127.0.0.2"]
    assert names[0][1] == names[1][1]
    assert WIDE[0] <= names[0][1] < WIDE[1]


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port: int = other.getsockname()[1]

        with pytest.raises(ConfigurationError, match=rf"worker_port={port} is taken on 127\.0\.0\.1"):
            listen(["127.0.0.2", LOOPBACK], port, WIDE)


def test_a_range_without_a_free_port_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port: int = other.getsockname()[1]

        with pytest.raises(ConfigurationError, match=r"none of 1 ports that were tried is free"):
            listen([LOOPBACK], None, (port, port + 1))


@pytest.mark.parametrize("ports", [(5, 5), (0, 10), (65_000, 65_537), (9, 3)])
def test_what_is_no_range_of_ports_is_refused(ports: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match="is no range of ports"):
        listen([LOOPBACK], None, ports)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match="is no port"):
        listen([LOOPBACK], port, WIDE)
