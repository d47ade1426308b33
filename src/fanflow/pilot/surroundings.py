"""What a task finds around it in a worker: the same for all, whatever the task before has done to it."""

from __future__ import annotations

import builtins
import functools
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from typing import Final, ParamSpec, TextIO, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_CHANGES: Final[tuple[tuple[types.ModuleType, tuple[str, ...]], ...]] = (
    (os, ("chdir", "fchdir", "umask")),
    (signal, ("signal", "alarm", "setitimer", "pthread_sigmask")),
    (resource, ("setrlimit", "prlimit")),
)
"""Functions whose effects outlast a task. Looking for the effects after each task would take longer than
most tasks: calls are noted instead."""

_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS: Final = tuple(value for name, value in vars(resource).items() if name.startswith("RLIMIT_"))


class Surroundings:
    """Remembers how things are when it is made. Main thread only.

    Threads, modules, environment variables and what else a library keeps for the next call stay.

    Args:
        streams: Standard output and standard error.
    """

    def __init__(self, streams: tuple[TextIO, TextIO]) -> None:
        self.is_touched = False
        """Whether a task has called one of the functions that `restore` makes up for."""
        self._stdout, self._stderr = streams
        self._directory = os.getcwd()
        self._umask = os.umask(0o77)
        os.umask(self._umask)
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._limits = {limit: resource.getrlimit(limit) for limit in _LIMITS}
        self._builtins = dict(vars(builtins))
        self._names = len(self._builtins)
        self._depth = sys.getrecursionlimit()
        self._restore = {
            function: getattr(module, function) for module, names in _CHANGES for function in names
        }
        for module, names in _CHANGES:
            for name in names:
                setattr(module, name, self._noted(getattr(module, name)))

    def _noted(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def noted(*args: P.args, **kwargs: P.kwargs) -> R:
            self.is_touched = True
            return function(*args, **kwargs)

        for known in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
            if function in known:
                known.add(noted)
        return noted

    @property
    def are_changed(self) -> bool:
        """Whether `restore` may have something to do. It takes a fraction of a microsecond."""
        return (
            self.is_touched
            or sys.stdout is not self._stdout
            or sys.stderr is not self._stderr
            or len(builtins.__dict__) < self._names
            or sys.getrecursionlimit() < self._depth
        )

    def restore(self) -> bool:
        """Put everything back as it was; False if that cannot be done."""
        for name in self._builtins.keys() - builtins.__dict__.keys():
            setattr(builtins, name, self._builtins[name])
        sys.stdout, sys.stderr = self._stdout, self._stderr
        if sys.getrecursionlimit() < self._depth:  # a higher one may be what a library needs from now on
            sys.setrecursionlimit(self._depth)
        if not self.is_touched:
            return True
        self.is_touched = False
        restore = self._restore
        try:
            for timer in _TIMERS:
                restore["setitimer"](timer, 0)
            for number, handler in self._handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    restore["signal"](number, handler)
            restore["pthread_sigmask"](signal.SIG_SETMASK, self._mask)
            restore["umask"](self._umask)
            restore["chdir"](self._directory)
            for limit, values in self._limits.items():
                if resource.getrlimit(limit) != values:
                    restore["setrlimit"](limit, values)
        except (OSError, ValueError):
            return False
        return True
