"""Launches made by hand, and latches that say what happened to them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import ParamSpec

from fanflow.ids import AttemptId, TaskId
from fanflow.model.attempts import Launch

P = ParamSpec("P")

_numbers = itertools.count(1)


class OpenLatch:
    """Lets every attempt start."""

    __slots__ = ()

    def claim(self) -> bool:
        return True


class CountingLatch:
    """Counts claims, and refuses them once it is shut. Any thread.

    Args:
        is_open: Whether attempts may start.
    """

    __slots__ = ("_claims", "_is_open", "_lock", "_refusals")

    def __init__(self, *, is_open: bool = True) -> None:
        self._is_open = is_open
        self._claims = 0
        self._refusals = 0
        self._lock = threading.Lock()

    @property
    def claims(self) -> int:
        """How often `claim` was called, refused ones included."""
        with self._lock:
            return self._claims

    @property
    def refusals(self) -> int:
        """How many claims were refused."""
        with self._lock:
            return self._refusals

    def shut(self) -> None:
        """Refuse from now on, as the latch of a cancelled task does."""
        with self._lock:
            self._is_open = False

    def claim(self) -> bool:
        with self._lock:
            self._claims += 1
            self._refusals += not self._is_open
            return self._is_open


def make_launch(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Launch:
    """A launch of `function(*args, **kwargs)` with numbers of its own and an open latch.

    Walltime, resources and latch are attributes of the launch: set them before it is submitted.
    """
    number = next(_numbers)
    name = str(getattr(function, "__name__", type(function).__name__))
    return Launch(AttemptId(number), TaskId(number), name, function, args, kwargs, OpenLatch())
