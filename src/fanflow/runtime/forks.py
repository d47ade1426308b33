"""Tells kernels in a forked child that they have no thread there."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Orphan(Protocol):
    """What has to know."""

    def orphan(self) -> None:
        """This process was forked. Called in the child, before anything else runs there."""
        ...


_known: weakref.WeakSet[Orphan] = weakref.WeakSet()


def tell_of_fork(one: Orphan) -> None:
    """Call its `orphan` in every child that is forked while it lives."""
    _known.add(one)


def _in_child() -> None:
    for one in list(_known):
        one.orphan()


os.register_at_fork(after_in_child=_in_child)
