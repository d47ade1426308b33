"""The future of one call of an app."""

from __future__ import annotations

import asyncio
import logging
import operator
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import (
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    PENDING,
    RUNNING,
    _Waiter,  # pyright: ignore[reportPrivateUsage]
)
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar, cast

from fanflow.core.events import CancelRequested
from fanflow.core.task import Task
from fanflow.errors import WaitInCallbackError
from fanflow.model.states import States

if TYPE_CHECKING:
    from fanflow.runtime.data_futures import DataFuture
    from fanflow.runtime.explain import Explanation
    from fanflow.runtime.kernel import Kernel

R = TypeVar("R")

_log = logging.getLogger("fanflow")

_latch = threading.RLock()
"""Guards every future that nobody waits for yet. Re-entrant: a signal handler may cancel."""


def _renew_latch() -> None:
    global _latch
    _latch = threading.RLock()  # another thread may have held it when the process was forked


os.register_at_fork(after_in_child=_renew_latch)

_DONE = (FINISHED, CANCELLED_AND_NOTIFIED)


class _Waiters:
    """What only futures that somebody waits for need; made on first use, never taken away."""

    __slots__ = ("callbacks", "condition", "waiters")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[_Waiter] = []
        self.callbacks: list[Callable[[Future[object]], object]] = []


class AppFuture(Future[R], Generic[R]):
    """The result of one call of an app, now or later. Made by calling an app.

    It is a `concurrent.futures.Future` in every respect, and it can be awaited on any running
    asyncio loop, in any thread; cancelling the `await` stops the waiting, not the task.

    Done-callbacks run in the kernel thread, or at once in the caller's if the future is done.
    """

    # A standard future costs 4 us to build, most of it the Condition. Here the state lives in slots
    # that shadow the base class's attributes, and the rest is built when somebody waits.
    __slots__ = ("_exception", "_result", "_shared", "_state", "_task", "app", "kernel", "tid")

    def __init__(self, task: Task, kernel: Kernel) -> None:
        self._task: Task | None = task
        self.tid = task.id
        """Number of the task in its kernel."""
        self.app = task.app
        """What was called."""
        self.kernel = kernel
        self._state = PENDING
        self._result: R | None = None
        self._exception: BaseException | None = None
        self._shared: _Waiters | None = None

    # -- what the standard library's wait() and as_completed() use -------------------------------

    def _share(self) -> _Waiters:
        shared = self._shared
        if shared is None:
            with _latch:
                if self._shared is None:
                    self._shared = _Waiters()
                shared = self._shared
        return shared

    if not TYPE_CHECKING:  # for checkers they are the attributes that the standard functions ask for

        @property
        def _condition(self) -> threading.Condition:
            return self._share().condition

        @property
        def _waiters(self) -> list[_Waiter]:
            return self._share().waiters

    @property
    def _done_callbacks(self) -> list[Callable[[Future[object]], object]]:
        return self._share().callbacks

    # -- the latch ------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Whether the attempt may start; afterwards only a kill can stop it. Executors call this."""
        if self._shared is None:
            with _latch:
                if self._shared is None:
                    return self._claim()
        with self._share().condition:
            return self._claim()

    def _claim(self) -> bool:
        if self._state is PENDING:
            self._state = RUNNING
        return self._state is RUNNING

    def unclaim(self) -> None:
        """The attempt that claimed it has ended, and another is to start: it can be cancelled until then."""
        with self._share().condition:
            if self._state is RUNNING:
                self._state = PENDING

    def settle(self, value: R | None, error: BaseException | None) -> bool:
        """Resolve it; False if it was cancelled before. Kernel thread only; runs no callbacks."""
        if self._shared is None:
            with _latch:
                if self._shared is None:
                    if self._state is CANCELLED_AND_NOTIFIED:
                        return False
                    self._result = value
                    self._exception = error
                    self._state = FINISHED
                    self._forget_task()
                    return True
        shared = self._share()
        with shared.condition:
            if self._state is CANCELLED_AND_NOTIFIED:
                return False
            self._result = value
            self._exception = error
            self._state = FINISHED
            self._forget_task()
            self._tell(shared)
        return True

    def _forget_task(self) -> None:
        # Of a task that simply returned there is nothing more to know. Every object less that a kept
        # future keeps alive is one less for the garbage collector to visit, again and again.
        task = self._task
        if (
            task is not None
            and task.state is States.exec_done
            and task.options is None
            and task.history is None
        ):
            self._task = None

    @property
    def task(self) -> Task:
        """The task, as far as there is something to know of it."""
        if self._task is not None:
            return self._task
        task = Task(self.tid, self.app, (), None)
        task.future = self._as_object()
        task.state = States.exec_done
        task.tries = 1
        return task

    def _tell(self, shared: _Waiters) -> None:
        for waiter in shared.waiters:
            if self._exception is not None:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)
        shared.condition.notify_all()

    @property
    def has_callbacks(self) -> bool:
        """Whether `run_callbacks` has anything to do."""
        return self._shared is not None and bool(self._shared.callbacks)

    def run_callbacks(self) -> None:
        """Call the done-callbacks, once; their errors are logged. Kernel thread only."""
        shared = self._share()
        callbacks, shared.callbacks = shared.callbacks, []
        for callback in callbacks:
            try:
                callback(self._as_object())
            except BaseException as error:  # a user's function; sys.exit() must not end the kernel thread
                _log.exception("a done-callback of %r failed", self)
                if isinstance(error, KeyboardInterrupt) and not self.kernel.in_kernel_thread():
                    raise

    def cancel(self) -> bool:
        """Stop the task if it has not ended; decides at once.

        What has not started never starts, and an attempt that its executor can kill is killed. The
        future ends as cancelled, and tasks that depend on it fail.

        Returns:
            False if the task has ended, or runs where it cannot be killed (a thread).
        """
        if self._state is FINISHED:
            return False
        shared = self._share()
        with shared.condition:
            if self._state is FINISHED:
                return False
            if self._state is CANCELLED_AND_NOTIFIED:
                return True
            if self._state is RUNNING and not self.kernel.can_kill(self.task):
                return False
            self._state = CANCELLED_AND_NOTIFIED
            for waiter in shared.waiters:
                waiter.add_cancelled(self)
            shared.condition.notify_all()
        self.kernel.post(CancelRequested(self.task))
        return True

    # -- waiting --------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._state in _DONE

    def running(self) -> bool:
        """Whether a thread runs it, so that it cannot be cancelled."""
        return self._state is RUNNING

    def cancelled(self) -> bool:
        """Whether `cancel` ended it."""
        return self._state is CANCELLED_AND_NOTIFIED

    def result(self, timeout: float | None = None) -> R:
        """The value of the call.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.

        Raises:
            TimeoutError: It did not end in time.
            CancelledError: It was cancelled.
            DependencyError: A task it depends on failed; `__cause__` is that failure.
            WaitInCallbackError: Called by a done-callback, for a future that is not done.
            Exception: Whatever the task raised.
        """
        if self._state is FINISHED and self._exception is None:
            return cast(R, self._result)
        return super().result(self.before_wait(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None. Waits and raises as `result` does, but for that."""
        return super().exception(self.before_wait(timeout))

    def before_wait(self, timeout: float | None) -> float | None:
        """Refuse a wait that would never end; in a worker's thread, wait.

        Args:
            timeout: Seconds that the caller will wait; None for no limit.

        Returns:
            Seconds left of them.

        Raises:
            WaitInCallbackError: This is the kernel thread.
            DeadlockError: Every worker waits.
        """
        if self._state in _DONE:
            return timeout
        if self.kernel.in_kernel_thread():
            raise WaitInCallbackError(f"task {self.tid} ({self.app.name})")
        return self.kernel.before_wait(self._as_object(), timeout)

    def __await__(self) -> Generator[object, None, R]:
        yield from until_done(self)
        return self.result()

    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call `fn(future)` when it has ended: in the kernel thread, or at once if it has.

        Raises:
            TypeError: `asyncio.wait` was given this future; it takes asyncio's own, and would hang.
        """
        if getattr(fn, "__module__", None) == "asyncio.tasks":
            raise TypeError(
                f"asyncio.wait cannot wait for {self!r}: give it asyncio.wrap_future(future), "
                f"or use `await future`, asyncio.gather, or `async for` over fanflow.as_completed"
            )
        super().add_done_callback(fn)

    # -- what existing programs know ------------------------------------------------------------

    @property
    def stdout(self) -> object:
        """Where the task's standard output goes, as given, or the path that AUTO_LOGNAME made."""
        return self.task.options.stdout if self.task.options is not None else None

    @property
    def stderr(self) -> object:
        """Where the task's standard error goes; see `stdout`."""
        return self.task.options.stderr if self.task.options is not None else None

    @property
    def outputs(self) -> list[DataFuture]:
        """One future per output file of the call, in order."""
        return cast("list[DataFuture]", self.task.options.outputs) if self.task.options is not None else []

    def task_status(self) -> str:
        """Name of the task's state, such as `pending`, `launched` or `exec_done`."""
        if self._state is CANCELLED_AND_NOTIFIED:
            return States.cancelled.name  # the kernel thread may not have heard of it yet
        return self.task.state.name

    @property
    def task_record(self) -> dict[str, object]:
        """The task as the dictionary that retry handlers and plug-ins of existing programs take."""
        return self.kernel.record_of(self.task)

    def explain(self) -> Explanation:
        """What it waits for, or why it failed: data with a readable `str`."""
        return self.kernel.explain(self._as_object())

    def __getitem__(self, key: object) -> AppFuture[object]:
        return self.kernel.lift(operator.getitem, self._as_object(), key)

    # Without these, Python would iterate by `future[0]`, `future[1]`, ...: a task per step, for ever.
    __iter__ = None
    __contains__ = None

    if not TYPE_CHECKING:  # checkers are to see a misspelt method

        def __getattr__(self, name: str) -> AppFuture[object]:
            kernel = self.kernel
            if name.startswith("_") or not kernel.settings.lift_attributes:
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}; "
                    f"for an attribute of the task's result write future.result().{name}, "
                    f"or pass the future to an app"
                )
            return kernel.lift(getattr, self._as_object(), name)

    def __reduce__(self) -> NoReturn:
        refuse_to_leave()

    def _as_object(self) -> AppFuture[object]:
        """Itself, for code that does not care what the result is."""
        return cast("AppFuture[object]", self)

    def __repr__(self) -> str:
        state = "cancelled" if self._state is CANCELLED_AND_NOTIFIED else self.task.state.name
        return f"<AppFuture of task {self.tid} ({self.app.name}) {state}>"


def refuse_to_leave() -> NoReturn:
    """A future is about to be pickled."""
    raise TypeError(
        "a future stays in its process; fanflow waits for those that are arguments, or inside a list, tuple, "
        "set, dict or dataclass that is one, and sends their results"
    )


def until_done(future: Future[R]) -> Generator[object, None, None]:
    """Wait on the running asyncio loop; a cancelled wait leaves the future alone."""
    if future.done():
        return
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def release() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def on_done(_: Future[R]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody awaits
            loop.call_soon_threadsafe(release)

    future.add_done_callback(on_done)
    yield from waiter.__await__()


def outcome_of(future: Future[object]) -> tuple[object, BaseException | None]:
    """Value and error of a future that is done, without raising either."""
    if future.cancelled():
        return None, CancelledError(f"{future!r} was cancelled")
    error = future.exception(timeout=0)
    return (None, error) if error is not None else (future.result(timeout=0), None)
