"""The seam for finding futures inside arguments."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass


@dataclass(frozen=True)
class DependencyResolver:
    """How arguments are searched for futures, and how results take their places.

    Called in the thread that calls the app (`traverse_to_gather`) and in the internal pool
    (`traverse_to_unwrap`, when all the futures are done). Either may raise: the task fails with it.
    """

    traverse_to_gather: Callable[[object], list[Future[object]]]
    """Argument -> the futures inside, in any order."""

    traverse_to_unwrap: Callable[[object], object]
    """Argument -> the same argument with results in place of futures; the argument is not changed."""
