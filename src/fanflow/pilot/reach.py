"""Finds out why addresses cannot be reached, in the system's words."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Final

from fanflow.pilot.sockets import host_and_port

_PATIENCE_S: Final = 1.0

NO_ANSWER: Final = "no answer: the address is wrong, or a firewall drops what is sent there"
_WORDS: Final = {
    errno.ECONNREFUSED: "refused: nothing listens there",
    errno.ETIMEDOUT: NO_ANSWER,
    errno.EHOSTUNREACH: "no way to that host",
    errno.ENETUNREACH: "no way to that network",
}


def why_unreachable(urls: Sequence[str]) -> dict[str, str]:
    """Try to connect to each of these numbers once more, all together, for a second.

    Returns:
        Reasons of those to which no connection was made.
    """
    reasons: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        trying: dict[int, tuple[str, socket.socket]] = {}
        for url in urls:
            host, port = host_and_port(url)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                attempt = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                attempt.setblocking(False)
                number = attempt.connect_ex((host, port))
            except OSError as error:
                number = error.errno or 0
                reasons[url] = _words(number)
                continue
            if number == errno.EINPROGRESS:
                reasons[url] = NO_ANSWER
                trying[attempt.fileno()] = url, attempt
                poll.register(attempt, select.POLLOUT)
            elif number:
                reasons[url] = _words(number)
        deadline = time.monotonic() + _PATIENCE_S
        while trying and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                url, attempt = trying.pop(descriptor)
                poll.unregister(descriptor)
                number = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number:
                    reasons[url] = _words(number)
                else:
                    del reasons[url]
    return reasons


def _words(number: int) -> str:
    return _WORDS.get(number, os.strerror(number))
