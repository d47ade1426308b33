"""Eases the garbage collector while kernels run: a million open tasks are not a million leaks."""

from __future__ import annotations

import gc
import threading
from typing import Final

_EASED: Final = 20_000
"""New container objects between two collections; Python's default is 700 or 2,000.

A task and its future are containers that live on, so that the collector, which looks for garbage
whenever enough of them have been made, walks over all of them again and again. Measured with 200,000
no-op tasks: 9.2 us a task at 700, 6.3 us at 20,000, 5.8 us without a collector.
"""

_PYTHON_DEFAULTS: Final = frozenset({(700, 10, 10), (2000, 10, 10), (2000, 10, 0)})
"""Of Python 3.11 to 3.14. A program that has chosen others keeps them."""

_lock = threading.Lock()
_kernels = 0
_before: tuple[int, int, int] | None = None


def ease() -> None:
    """A kernel starts."""
    global _kernels, _before
    with _lock:
        _kernels += 1
        now = gc.get_threshold()
        if _kernels == 1 and now in _PYTHON_DEFAULTS:
            _before = now
            gc.set_threshold(_EASED, *now[1:])


def restore() -> None:
    """A kernel has ended; the last one puts back what the first has changed."""
    global _kernels, _before
    with _lock:
        _kernels -= 1
        if _kernels == 0 and _before is not None:
            if gc.get_threshold() == (_EASED, *_before[1:]):
                gc.set_threshold(*_before)
            _before = None
