"""The kernel: one thread that owns every task of one `load()`."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from fanflow.codec.worker_flag import current_worker
from fanflow.core.arguments import gather_deep, gather_shallow, needs_walk, unwrap_deep, unwrap_shallow
from fanflow.core.events import Closing, CoreEvent, Effects, WaitRequested
from fanflow.core.settings import CoreSettings
from fanflow.core.task import AppSpec, CallOptions, Task
from fanflow.core.task_core import TaskCore
from fanflow.errors import InternalConsistencyError, NoDataFlowKernelError, WaitInCallbackError
from fanflow.ids import INTERNAL_LABEL, ExecutorLabel, TaskId
from fanflow.loop import KernelLoop
from fanflow.model.states import States
from fanflow.runtime.context import JOINING_KERNEL
from fanflow.runtime.crash import crash_error, end_all
from fanflow.runtime.dependencies import find_dependencies
from fanflow.runtime.executor_life import cancel_all, close_executors, start_executors
from fanflow.runtime.explain import Explanation, explain_task
from fanflow.runtime.forks import tell_of_fork
from fanflow.runtime.futures import AppFuture
from fanflow.runtime.gate import Gate
from fanflow.runtime.lifting import LIFTED, lift_now
from fanflow.runtime.perform import Performer
from fanflow.runtime.records import task_record
from fanflow.runtime.settings import KernelSettings
from fanflow.runtime.summary import Summary
from fanflow.runtime.waiting import WorkerWaits
from fanflow.spi.executor import Executor
from fanflow.spi.placement import least_loaded

_log = logging.getLogger("fanflow")

_YIELD_EVERY = 512
"""Calls after which the caller offers the interpreter lock to the kernel thread."""

_MOST_PER_TURN = 2_000
"""Events handled in one go: enough to spread the cost of a turn, few enough to keep it under 20 ms."""

_CLOSE_EXECUTORS_S = 10.0
_CLOSE_THREAD_S = 10.0
_CANCEL_ALL_S = 2.0


class Kernel:
    """Tasks, their thread and their executors.

    Every method may be called from any thread, but `close` and waiting not from the kernel thread.

    Args:
        settings: Frozen options.
        executors: Running halves by label, the internal pool included; not started.
        run_dir: This run's directory.
        run_id: Unique name of this run.
    """

    def __init__(
        self,
        settings: KernelSettings,
        executors: Mapping[ExecutorLabel, Executor],
        run_dir: Path,
        run_id: str,
    ) -> None:
        self.settings = settings
        self.executors = dict(executors)
        self.run_dir = run_dir
        self.run_id = run_id
        self.gate = Gate(settings.max_pending) if settings.max_pending is not None else None
        self.labels = tuple(label for label in self.executors if label != INTERNAL_LABEL)
        core_settings = CoreSettings(
            labels=self.labels,
            placement=least_loaded,
            retries=settings.retries,
            prices_failures=settings.retry_handler is not None,
            rerun_lost=settings.rerun_lost,
            crash_limit=settings.crash_limit,
        )
        self.core = TaskCore(core_settings, self._task_of)
        self._ids = itertools.count()
        plug_in = settings.dependency_resolver
        deep = settings.deep_dependencies
        self._gather = plug_in.traverse_to_gather if plug_in else gather_deep if deep else gather_shallow
        self.performer = Performer(self, self.executors, plug_in, unwrap_deep if deep else unwrap_shallow)
        self._inbox: deque[CoreEvent] = deque()
        self._asleep = False
        self.loop = KernelLoop()
        self.waits = WorkerWaits(self)
        self._summary = Summary(self.core, self.loop)
        self._drivers = [drive for one in self.executors.values() if (drive := getattr(one, "drive", None))]
        self._refuses: str | None = None
        """Why no task is taken any more; None while tasks are taken."""
        self.is_orphan = False
        """This process was forked from the kernel's."""
        self._ended = False
        """The thread is to end when it has handled what there is."""
        self._is_down = False
        """The executors are closed, too."""
        self._performing: Effects | None = None
        self._crash_error: InternalConsistencyError | None = None
        self._close_lock = threading.Lock()
        self._rest_lock = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="fanflow-kernel", daemon=True)
        self._thread_id: int | None = None
        self._pid = os.getpid()
        tell_of_fork(self)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the executors and the thread.

        Raises:
            Exception: An executor could not start; those that had are closed again.
        """
        try:
            start_executors(self.executors.values(), self.post_all, self.loop)
        except BaseException:
            self.loop.close()
            raise
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether tasks are refused."""
        return self._refuses is not None

    def in_kernel_thread(self) -> bool:
        """Whether the caller runs in the thread that resolves futures."""
        return threading.get_ident() == self._thread_id

    def close(self, *, cancel: bool = False) -> None:
        """End the kernel: what has not started never will, what runs gets some seconds. Idempotent.

        Args:
            cancel: End open futures as cancelled instead of failed.

        Raises:
            WaitInCallbackError: Called by a done-callback.
        """
        if self.in_kernel_thread():
            raise WaitInCallbackError("the kernel to be cleaned up")
        with self._close_lock:
            if self._is_down:
                return
            if self.is_orphan:
                self._ended = self._is_down = True
                return
            self._refuses = self._refuses or "has been cleaned up"
            if self.gate is not None:
                self.gate.close()
            if cancel:
                cancel_all(self, _CANCEL_ALL_S)
            self.post(Closing(final=False))
            close_executors(self.executors.values(), _CLOSE_EXECUTORS_S)
            self.post(Closing(final=True))
            self._ended = self._is_down = True
            self.loop.wake()
            self._thread.join(_CLOSE_THREAD_S)
            if self._thread.is_alive():
                _log.error(
                    "the kernel thread did not end within %.0f s; a done-callback blocks it", _CLOSE_THREAD_S
                )
            else:
                self._handle_rest()
                self.loop.close()

    # -- submission -----------------------------------------------------------------------------

    def submit(
        self,
        app: AppSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object] | None = None,
        options: CallOptions | None = None,
        before: Callable[[Task], None] | None = None,
    ) -> AppFuture[object]:
        """Make one call of an app a task.

        Args:
            app: The app.
            args: Positional arguments; futures among them are dependencies.
            kwargs: Keyword arguments; taken over, not copied.
            options: What the call asks for beyond that.
            before: Called with the task, which has a number and a future, before it is handed over.

        Raises:
            NoDataFlowKernelError: The kernel has been cleaned up, or belongs to a parent process.
        """
        if self._refuses is not None:
            raise NoDataFlowKernelError(self._refusal(app.name))
        task = Task(TaskId(next(self._ids)), app, args, kwargs)
        future: AppFuture[object] = AppFuture(task, self)
        task.future = future
        task.options = options
        if before is not None:
            before(task)
        if (args or kwargs) and needs_walk(args, kwargs):
            try:
                find_dependencies(task, self._gather, self._task_of)
            except Exception as error:  # noqa: BLE001 - of a resolver plug-in, or of an argument's own code
                return self.submit_failed(app, error)
        if self.gate is not None:
            self.gate.enter(may_wait=self._caller_may_wait())
        self._inbox.append(task)
        if not task.id % _YIELD_EVERY:
            time.sleep(0)  # decision 0013: a caller in a loop lets the others have their turn
        if self._asleep:
            self._rouse()
        if self._ended:
            self._handle_rest()
        for drive in self._drivers:
            drive(future)
        return future

    def submit_failed(self, app: AppSpec, error: Exception) -> AppFuture[object]:
        """A call that went wrong, for programs that expect its error in the future."""

        def fail() -> None:
            raise error

        failing = AppSpec(app.name, fail, executors=(INTERNAL_LABEL,))
        return self.submit(failing, ())

    def _task_of(self, future: Future[object]) -> Task | None:
        if type(future) is AppFuture and future.kernel is self:
            return future.task
        return None

    def _refusal(self, app_name: str) -> str:
        cleaned_up = not self.is_orphan and self._crash_error is None
        about = "Cannot submit to a DFK that has been cleaned up: " if cleaned_up else ""
        return f"{about}the kernel of app {app_name!r} {self._refuses}"

    def _caller_may_wait(self) -> bool:
        if self.in_kernel_thread() or JOINING_KERNEL.get() is not None or current_worker() is not None:
            return False
        import asyncio

        return asyncio._get_running_loop() is None

    def lift(
        self, operation: Callable[..., object], future: AppFuture[object], key: object
    ) -> AppFuture[object]:
        """`future[key]` or `future.key` as a task of its own, in the internal pool."""
        if self._refuses is not None and future.done():
            return lift_now(operation, future, key, self)
        return self.submit(LIFTED[operation], (future, key))

    # -- events ---------------------------------------------------------------------------------

    def post(self, event: CoreEvent) -> None:
        """Tell the rules something. Any thread, signal handlers included."""
        self._inbox.append(event)
        if self._asleep:
            self._rouse()
        if self._ended:
            self._handle_rest()

    def post_all(self, events: Sequence[CoreEvent]) -> None:
        """Tell the rules several things; what executors report through."""
        self._inbox.extend(events)
        if self._asleep:
            self._rouse()
        if self._ended:
            self._handle_rest()

    def _rouse(self) -> None:
        if self._thread_id == threading.get_ident():
            return  # called by its loop, after which it looks into the inbox anyway
        try:
            self._asleep = False
            self.loop.wake()
        except BaseException:  # Ctrl-C in between: without the wake-up all later callers would wait for ever
            self.loop.wake()
            raise

    def _run(self) -> None:
        self._thread_id = threading.get_ident()
        inbox, loop = self._inbox, self.loop
        try:
            while not (self._ended and not inbox):
                # Whoever appends looks at `_asleep` afterwards, so either they see it or this sees
                # what they appended.
                self._asleep = True
                loop.turn(may_wait=not inbox and not self._ended)
                self._asleep = False
                if inbox:
                    self._handle(min(len(inbox), _MOST_PER_TURN))
        except BaseException as error:  # noqa: BLE001 - a bug of ours must not leave futures open
            self._crash(error)
        finally:
            self._thread_id = None  # a thread that starts later may get the same

    def _handle(self, number: int) -> None:
        take = self._inbox.popleft
        batch = [take() for _ in range(number)]
        if len(self.labels) > 1:
            for label in self.labels:
                self.core.places.capacities[label] = self.executors[label].capacity
        try:
            effects = self._performing = self.core.handle(batch, self.loop.now())
        except BaseException:
            self._inbox.extendleft(reversed(batch))
            raise
        del batch  # what it refers to may end here, and with it the results it holds
        self.performer.perform(effects)
        self._performing = None
        self._summary.note()

    def _handle_rest(self) -> None:
        """After the thread has ended, whoever posts handles what is left, so that nothing waits for ever."""
        if self._crash_error is None and self._thread.is_alive() and not self.in_kernel_thread():
            return
        with self._rest_lock:
            if self._crash_error is not None:
                end_all(self.core, None, self._inbox, self._crash_error)
            while self._inbox:
                self.performer.perform(self.core.handle([self._inbox.popleft()], self.loop.now()))

    def _crash(self, error: BaseException) -> None:
        """The rules or their performer failed: a bug. Every open future ends with it."""
        _log.critical("the kernel thread failed; every open task fails", exc_info=error)
        told = crash_error(error)
        self._refuses = f"has failed with {type(error).__name__}: {error}"
        self._crash_error, self._ended = told, True
        if self.gate is not None:
            self.gate.close()
        with self._rest_lock:
            end_all(self.core, self._performing, self._inbox, told)

    # -- waiting and looking ----------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all tasks submitted before this call have ended.

        Args:
            timeout: Seconds at most; None for no limit.

        Returns:
            Whether they have.

        Raises:
            WaitInCallbackError: Called by a done-callback.
        """
        if self.in_kernel_thread():
            raise WaitInCallbackError("all current tasks")
        if self.is_orphan:
            raise NoDataFlowKernelError(f"there are no tasks to wait for: their kernel {self._refuses}")
        if self._ended:
            return True
        done = threading.Event()
        self.post(WaitRequested(done.set))
        return done.wait(timeout)

    def before_wait(self, future: AppFuture[object], timeout: float | None) -> float | None:
        """Called by a future whose caller is about to wait; may wait itself. Returns the seconds left."""
        if self.is_orphan:
            raise NoDataFlowKernelError(
                f"task {future.task.id} belongs to the process {self._pid} that forked this one; "
                f"wait for it there, or fork before load()"
            )
        return self.waits.wait(current_worker() or threading.current_thread(), future, timeout)

    def can_kill(self, task: Task) -> bool:
        """Whether cancelling would end the attempt that is running."""
        if task.label is None:
            return False
        if task.state in (States.joining, States.fail_retryable):
            return True  # nothing of it runs
        executor = self.executors[task.label]
        return executor.kills or (task.app.runs_command and executor.stops_commands)

    def record_of(self, task: Task) -> dict[str, object]:
        """The task as the dictionary that existing programs know."""
        return task_record(task, self)

    def explain(self, future: AppFuture[object]) -> Explanation:
        """What the task waits for, or why it failed."""
        return explain_task(future.task, self.core.places.outstanding, self.executors, self.loop.now())

    def orphan(self) -> None:
        """This process was forked from the kernel's: it has no thread here. Called in the child."""
        self.is_orphan = True
        self._refuses = "belongs to the process that forked this one; fork first, or load() again here"
