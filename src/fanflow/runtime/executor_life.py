"""Starts executors together or not at all, and closes them side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, cast

from fanflow.core.events import CallRequested
from fanflow.errors import NoDataFlowKernelError, WaitInCallbackError
from fanflow.loop import KernelLoop
from fanflow.spi.executor import EventSink, Executor

if TYPE_CHECKING:
    from fanflow.runtime.futures import AppFuture
    from fanflow.runtime.kernel import Kernel

_log = logging.getLogger("fanflow")

_CLOSE_S: Final = 1.0
"""For executors that have hardly begun."""

_SLACK_S: Final = 10.0
"""Beyond their deadline, for those that have to cancel batch jobs: schedulers may be slow."""


def start_executors(executors: Iterable[Executor], events: EventSink, loop: KernelLoop) -> None:
    """Start all; if one cannot start, close all and raise what it raised."""
    every = list(executors)
    try:
        for executor in every:
            executor.start(events, loop)
    except BaseException:
        _close_turning(every, loop)
        raise


def _close_turning(executors: Sequence[Executor], loop: KernelLoop) -> None:
    """Close them while no thread turns the loop yet: this one does, since those that run need it to end."""
    closed = threading.Event()

    def close() -> None:
        close_executors(executors, _CLOSE_S)
        closed.set()
        loop.wake()

    threading.Thread(target=close, name="fanflow-closing", daemon=True).start()
    while not closed.is_set():
        loop.turn(may_wait=True)


def add_executor(kernel: Kernel, executor: Executor) -> None:
    """Let the tasks of a running kernel run on one more executor. Any thread but the kernel's.

    Raises:
        NoDataFlowKernelError: The kernel has been cleaned up.
        WaitInCallbackError: Called by a done-callback.
        Exception: It cannot start. It is closed in any of these cases.
    """
    try:
        _add_executor(kernel, executor)
    except BaseException:
        close_executors([executor], _CLOSE_S)
        raise


def _add_executor(kernel: Kernel, executor: Executor) -> None:
    if kernel.in_kernel_thread():
        raise WaitInCallbackError(f"executor {executor.label!r} to be added")
    refusal = NoDataFlowKernelError(f"executor {executor.label!r} cannot be added: its kernel is closed")
    if kernel.is_closed:
        raise refusal
    added = threading.Event()
    failures: list[Exception] = []

    def add() -> None:
        try:
            if kernel.is_closed:
                raise refusal
            executor.start(kernel.post_all, kernel.loop)
        except Exception as error:  # noqa: BLE001 - it is raised in the caller
            failures.append(error)
        else:
            kernel.executors[executor.label] = executor
            kernel.labels = kernel.core.places.labels = (*kernel.labels, executor.label)
        added.set()

    kernel.post(CallRequested(add))
    added.wait()
    if failures:
        raise failures[0]


def cancel_all(kernel: Kernel, seconds: float) -> None:
    """Cancel every open task, as far as that can be done in the time given. Any thread but the kernel's."""
    done = threading.Event()

    def cancel() -> None:
        for task in list(kernel.core.tasks.values()):
            cast("AppFuture[object]", task.future).cancel()
        done.set()

    kernel.post(CallRequested(cancel))  # there, since tasks may still be in the inbox
    done.wait(seconds)


def close_executors(executors: Iterable[Executor], seconds: float) -> None:
    """Close all, without draining, in about the time given; one that hangs does not hold up the others."""
    ends_at = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_close, args=(executor, ends_at), name="fanflow-closing", daemon=True)
        for executor in list(executors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at + _SLACK_S - time.monotonic()))


def _close(executor: Executor, ends_at: float) -> None:
    try:
        executor.close(drain=False, deadline=max(0.0, ends_at - time.monotonic()))
    except Exception:  # noqa: BLE001 - logged; the others are closed all the same
        _log.exception("executor %r failed while it was closed", executor.label)
