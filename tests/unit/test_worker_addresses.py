"""Where an interchange listens for managers, and what is said when it cannot."""

import socket

import pytest

from fanflow.errors import ConfigurationError
from fanflow.pilot.addresses import is_number, listen, own_addresses, places
from fanflow.pilot.sockets import host_and_port, url_of

LOOPBACK = "127.0.0.1"
WIDE = (20_000, 60_000)


def test_local_managers_are_listened_for_on_loopback_alone() -> None:
    found = places(None, is_local=True, loopback=LOOPBACK)

    assert list(found.bound) == list(found.published) == [LOOPBACK]


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


@pytest.mark.skipif(not own_addresses(), reason="this host has loopback addresses only")
def test_without_an_address_all_of_this_host_are_candidates_and_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"the network was asked: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    found = places(None, is_local=False, loopback=LOOPBACK)

    assert found.bound == own_addresses()
    assert found.published == [*own_addresses(), socket.gethostname()]
    assert not set(found.bound) & {"0.0.0.0", "::", LOOPBACK, "::1"}


@pytest.mark.parametrize(("wildcard", "mark"), [("0.0.0.0", "."), ("::", ":")])
def test_a_wildcard_is_bound_but_never_published(wildcard: str, mark: str) -> None:
    found = places(wildcard, is_local=False, loopback=LOOPBACK)

    assert found.bound == [wildcard]
    assert all(mark in text and text != wildcard for text in found.published)


def test_own_addresses_leave_out_what_nobody_else_can_reach() -> None:
    assert not {LOOPBACK, "::1", "0.0.0.0", "::"} & set(own_addresses())
    assert not [text for text in own_addresses() if text.startswith(("fe80", "169.254"))]


def test_a_given_port_is_used() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]

    (listening,) = listen([LOOPBACK], port, (1, 2))
    with listening:
        assert listening.getsockname()[1] == port


def test_where_one_address_is_taken_none_is_listened_on() -> None:
    first, second = listen([LOOPBACK, "127.0.0.2"], None, (54_000, 55_000))
    with first, second:
        port = first.getsockname()[1]
        assert second.getsockname()[1] == port
    with (
        socket.create_server(("127.0.0.2", port)),
        pytest.raises(ConfigurationError, match=r"taken on 127\.0\.0\.2"),
    ):
        listen([LOOPBACK, "127.0.0.2"], port, (1, 2))

    with socket.create_server((LOOPBACK, port)) as free:
        assert free.getsockname()[1] == port


@pytest.mark.parametrize(
    ("host", "url"), [("::1", "tcp://[::1]:5"), (LOOPBACK, "tcp://127.0.0.1:5"), ("h", "tcp://h:5")]
)
def test_urls_name_hosts_of_all_kinds(host: str, url: str) -> None:
    assert url_of(host, 5) == url
    assert host_and_port(url) == (host, 5)


def test_numbers_are_told_from_names() -> None:
    assert is_number("::1")
    assert not is_number("node-7")
