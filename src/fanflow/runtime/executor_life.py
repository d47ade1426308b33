"""Starts executors together or not at all, and closes them side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from fanflow.core.events import CallRequested
from fanflow.errors import NoDataFlowKernelError, WaitInCallbackError
from fanflow.spi.executor import EventSink, Executor, Loop

if TYPE_CHECKING:
    from fanflow.runtime.futures import AppFuture
    from fanflow.runtime.kernel import Kernel

_log = logging.getLogger("fanflow")


def start_executors(executors: Iterable[Executor], events: EventSink, loop: Loop) -> None:
    """Start all; if one cannot start, close those that had and raise what it raised."""
    started: list[Executor] = []
    try:
        for executor in executors:
            executor.start(events, loop)
            started.append(executor)
    except BaseException:
        close_executors(started, 1.0)
        raise


def add_executor(kernel: Kernel, executor: Executor) -> None:
    """Let the tasks of a running kernel run on one more executor. Any thread but the kernel's.

    Raises:
        NoDataFlowKernelError: The kernel has been cleaned up.
        WaitInCallbackError: Called by a done-callback.
    """
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
    """Close all, without draining, within the time given; one that hangs does not hold up the others."""
    ends_at = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_close, args=(executor, ends_at), name="fanflow-closing", daemon=True)
        for executor in list(executors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at + 1.0 - time.monotonic()))


def _close(executor: Executor, ends_at: float) -> None:
    try:
        executor.close(drain=False, deadline=max(0.0, ends_at - time.monotonic()))
    except Exception:  # noqa: BLE001 - logged; the others are closed all the same
        _log.exception("executor %r failed while it was closed", executor.label)
