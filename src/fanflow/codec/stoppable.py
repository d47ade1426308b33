"""How code that waits in a thread can be told, from any other thread, to stop.

Where a thread waits outside the interpreter, for a process to end, an exception injected into it would
not be seen before the wait is over. Such code registers a way to end its wait; executors use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

_lock = threading.RLock()  # a signal handler may call `stop_thread` in a thread that is registering
_stops: dict[int, Callable[[], None]] = {}
_requested: set[int] = set()  # threads whose code is to be stopped as soon as it registers


@contextmanager
def register(stop: Callable[[], None]) -> Generator[None]:
    """Makes `stop` what `stop_thread` calls for this thread, until the block ends.

    Args:
        stop: Called from another thread, at any time and any number of times while the block runs,
            never after it. It must return at once and not raise; the block then ends by itself,
            usually with `concurrent.futures.CancelledError`.
    """
    ident = threading.get_ident()
    with _lock:
        outer = _stops.get(ident)
        _stops[ident] = stop
        if ident in _requested:
            _requested.discard(ident)
            stop()
    try:
        yield
    finally:
        with _lock:
            if outer is None:
                _stops.pop(ident, None)
            else:
                _stops[ident] = outer


def stop_thread(ident: int) -> bool:
    """Tells what waits in a thread to stop; returns at once. Any thread may call it.

    To end it with another exception than `CancelledError`, inject that exception first
    (`PyThreadState_SetAsyncExc`), then call this: the thread wakes and finds it.

    Args:
        ident: `threading.get_ident()` of the thread.

    Returns:
        Whether there was something that can be stopped. False changes nothing.
    """
    with _lock:
        stop = _stops.get(ident)
        if stop is None:
            return False
        stop()
        return True


def stop_current(ident: int, is_current: Callable[[], bool]) -> bool:
    """Tells what a thread runs to stop, now or as soon as it registers. Any thread may call it.

    Args:
        ident: `threading.get_ident()` of the thread.
        is_current: Whether the thread still runs what is meant; asked under the lock that registering
            takes, so that what the thread runs next is never stopped in its stead.

    Returns:
        What `is_current` said.
    """
    with _lock:
        if not is_current():
            return False
        stop = _stops.get(ident)
        if stop is None:
            _requested.add(ident)
        else:
            stop()
        return True


def forget_request(ident: int) -> None:
    """The thread runs something else now: a request that found nothing to stop is void."""
    with _lock:
        _requested.discard(ident)
