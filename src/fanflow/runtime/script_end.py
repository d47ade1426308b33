"""What becomes of open tasks when the script ends."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from fanflow.runtime.kernel import Kernel

_log = logging.getLogger("fanflow")

_A_MOMENT_S = 0.2
"""For tasks that are just ending."""

_SAY_AFTER_S = 1.0


class Ending(Protocol):
    """A kernel's owner, as far as its end goes."""

    @property
    def kernel(self) -> Kernel: ...
    @property
    def is_embedded(self) -> bool:
        """Whether a call of an app started it."""
        ...

    def end(self, *, cancel: bool) -> None:
        """Clean up."""
        ...


interrupted = threading.Event()
"""Ctrl-C ended the script, or its wait for tasks."""

live: set[Ending] = set()
"""Those that have not been cleaned up, forgotten ones included: their tasks are still open."""


def wait_for_all(kernel: Kernel) -> None:
    """Wait until nothing is open any more, tasks that done-callbacks submit included."""
    seen = -1
    while (number := sum(kernel.core.counts.values())) != seen or kernel.core.tasks:
        seen = number
        kernel.wait()
        # Callbacks of the last tasks run after their waiters were told. The kernel thread hears of
        # this second wait only when they have run.
        kernel.wait()


def at_exit() -> None:
    """End every kernel: wait as configured, or cancel after Ctrl-C. Called by the interpreter."""
    raised = cast("type[BaseException] | None", getattr(sys, "last_type", None))
    failed = raised is not None and not hasattr(sys, "ps1")
    cancel = failed and raised is not None and issubclass(raised, KeyboardInterrupt)
    if cancel:
        interrupted.set()
    with suppress(KeyboardInterrupt):  # the second one leaves
        for one in list(live):
            try:
                if not failed and not one.kernel.is_closed:
                    _wait(one)
                with _saying_what_runs(one.kernel):
                    one.end(cancel=cancel)
            except KeyboardInterrupt:
                interrupted.set()
                if one.kernel.is_closed:
                    return
                cancel = failed = True
                _say("cancelling; Ctrl-C again leaves at once")
                one.end(cancel=True)


def _end_as_interrupted() -> None:
    """After Ctrl-C the process is to end by SIGINT, as Python does itself, so that shell loops stop."""
    if interrupted.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _say(text: str) -> None:
    print(f"fanflow: {text}", file=sys.stderr, flush=True)


def _wait(one: Ending) -> None:
    settings = one.kernel.settings
    waits = settings.waits_at_exit if one.is_embedded else settings.exit_mode == "wait"
    if not waits:
        if not one.kernel.wait(_A_MOMENT_S):
            mode = settings.exit_mode
            _say(f"the script has ended before its tasks; those are dropped (exit_mode={mode!r})")
        return
    began = time.monotonic()
    if not one.kernel.wait(_SAY_AFTER_S):
        left = len(one.kernel.core.tasks)
        _say(f"the script has ended; waiting for {left} task{'s' * (left != 1)} (Ctrl-C cancels them)")
    wait_for_all(one.kernel)
    _log.info("waited %.1f s for tasks at the end of the script", time.monotonic() - began)


@contextmanager
def _saying_what_runs(kernel: Kernel) -> Generator[None]:
    """No silent wait for tasks that cannot be stopped."""

    def say() -> None:
        if kernel.core.attempts:
            running = ", ".join(sorted({task.app.name for task in list(kernel.core.attempts.values())})[:5])
            _say(f"tasks still run and get ten seconds to end: {running} (Ctrl-C leaves at once)")

    timer = threading.Timer(_SAY_AFTER_S, say)
    timer.daemon = True
    if kernel.core.attempts:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _register_at_exit() -> None:
    # Before the interpreter joins threads, and before the standard pools close (their hooks are
    # registered by their imports, and hooks run in reverse order): tasks may still need both.
    for pool in ("process", "thread"):
        import_module(f"concurrent.futures.{pool}")
    # Registered first of all, it runs last: other programs' hooks come before it.
    atexit.register(_end_as_interrupted)
    register = getattr(threading, "_register_atexit", None)
    if register is None:  # pragma: no cover - a Python without this hook
        register = atexit.register
    register(at_exit)


_register_at_exit()
