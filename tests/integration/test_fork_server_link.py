"""The client's end of the fork server, when the server is slow or gone."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fanflow.pilot.fork_server_link import ForkServerLink
from tests.integration import brief_process
from tests.leaks import wait_until

PATIENCE_S = 20.0
MODULE = brief_process.__name__


@pytest.fixture
def link() -> Iterator[ForkServerLink]:
    link = ForkServerLink()
    yield link
    link.close(PATIENCE_S)


def receive_until(link: ForkServerLink, is_done: Callable[[], bool]) -> bool:
    """Take what the server says; whether it is still there."""
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    lives = True

    def look() -> bool:
        nonlocal lives
        if poll.poll(10):
            lives = link.receive()
        return is_done() or not lives

    wait_until(look, PATIENCE_S)
    return lives


def server_of(link: ForkServerLink) -> int:
    return link._process.pid


def test_more_orders_than_the_server_has_room_for_are_all_followed(
    link: ForkServerLink, tmp_path: Path
) -> None:
    statuses: list[int] = []
    os.kill(server_of(link), signal.SIGSTOP)

    for number in range(120):
        config = bytes([number % 2]) + bytes(3_000)
        link.start(MODULE, config, statuses.append, output=str(tmp_path / "output"))
    os.kill(server_of(link), signal.SIGCONT)

    assert receive_until(link, lambda: len(statuses) == 120)
    assert statuses.count(0) == 60
    assert statuses.count(1) == 60


def test_everything_that_ran_counts_as_killed_when_the_server_is(link: ForkServerLink) -> None:
    statuses: list[int] = []
    os.kill(server_of(link), signal.SIGSTOP)
    for _ in range(3):
        link.start(MODULE, bytes(1), statuses.append)
    os.kill(server_of(link), signal.SIGKILL)

    assert not receive_until(link, lambda: False)
    link.end_all()
    link.start(MODULE, bytes(1), statuses.append)

    assert statuses == [-signal.SIGKILL] * 3


def test_the_scratch_directory_of_a_client_that_has_gone_is_removed(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "socket").touch()
    link = ForkServerLink(str(scratch))

    link.close(PATIENCE_S)

    assert not scratch.exists()
