"""Asks what names of hosts mean, without making anybody wait."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_RECORD: Final = b"."


@dataclass(frozen=True, slots=True)
class Found:
    """What a name means."""

    name: str
    numbers: Sequence[str]
    failure: str
    """Empty if it is known."""


class Lookups:
    """The system's call blocks, perhaps for a minute, so each name gets a thread that ends with its answer.

    Args:
        names: Each is asked for once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.waiting = set(names)
        """Names without an answer."""
        self._answers: deque[Found] = deque()
        self._read, self._write = socket.socketpair()
        for name in self.waiting:
            threading.Thread(target=self._ask, args=(name,), name=f"lookup {name}", daemon=True).start()

    def fileno(self) -> int:
        """Readable when there are answers."""
        return self._read.fileno()

    def _ask(self, name: str) -> None:
        try:
            entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no name"
            self._answers.append(Found(name, (), f"name not known: {reason}"))
        else:
            numbers = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
            self._answers.append(Found(name, numbers, ""))
        with contextlib.suppress(OSError):  # nobody waits for it any more
            self._write.send(_RECORD)

    def take(self) -> list[Found]:
        """Answers that have come; call it when there are some."""
        taken: list[Found] = []
        for _ in self._read.recv(100):
            found = self._answers.popleft()
            self.waiting.discard(found.name)
            taken.append(found)
        return taken

    def close(self) -> None:
        """Wait for no answers any more."""
        self._read.close()
        self._write.close()
