"""Performs what the rules order: resolves futures, launches attempts, runs callbacks. Kernel thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, cast

from fanflow.core.arguments import unwrap_call
from fanflow.core.events import ArgumentsFailed, DependencyEnded, Effects, MemoKeyed, RetryDecided
from fanflow.core.task import Task, TaskFuture
from fanflow.errors import ExecutorError, InternalConsistencyError, JoinError
from fanflow.ids import INTERNAL_LABEL, AttemptId, ExecutorLabel, TaskId
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Launch, Lost, Raised, Returned
from fanflow.runtime.context import run_join_body
from fanflow.runtime.data_futures import DataFuture
from fanflow.runtime.futures import outcome_of

if TYPE_CHECKING:
    from fanflow.runtime.kernel import Kernel
    from fanflow.spi.executor import Executor
    from fanflow.spi.resolver import DependencyResolver

_log = logging.getLogger("fanflow")

_SLOW_CALLBACK_S = 0.05
_WARN_EVERY_S = 10.0
"""A program with one slow callback usually has thousands."""
_NO_KWARGS: Mapping[str, object] = {}

_NO_TASK = TaskId(-1)

JobDone = Callable[[object, BaseException | None], None]
Call = tuple[tuple[object, ...], Mapping[str, object]]


class _OpenLatch:
    """Jobs of the kernel itself are never cancelled."""

    def claim(self) -> bool:
        return True


class Performer:
    """The hands of one kernel.

    Args:
        kernel: Whose effects these are.
        executors: By label, the internal pool included.
        resolver: A plug-in that unwraps arguments in the internal pool; None: `unwrap` does, here.
        unwrap: The built-in way to put results in place of futures.
    """

    def __init__(
        self,
        kernel: Kernel,
        executors: dict[ExecutorLabel, Executor],
        resolver: DependencyResolver | None,
        unwrap: Callable[[object], object],
    ) -> None:
        self._kernel = kernel
        self.executors = executors
        self._resolver = resolver
        self._unwrap = unwrap
        self._latch = _OpenLatch()
        self._jobs: dict[AttemptId, JobDone] = {}
        self._next_job = -1
        self._foreign: set[object] = set()
        """One token for each future from outside that is being waited for."""
        self._next_warning = 0.0
        self.dropped = 0
        """Outcomes that came after their attempt was closed."""

    @property
    def waits_for_others(self) -> bool:
        """Whether something that is neither a task nor its attempt may still let tasks go on. Any thread."""
        return bool(self._foreign or self._jobs)

    def perform(self, effects: Effects) -> None:
        """Everything of one batch: results first, then new attempts, then what may take longer."""
        callbacks = self._resolve_futures(effects.end) if effects.end else ()
        if effects.cancel:
            self._cancel(effects.cancel)
        if effects.launch:
            self._launch(effects.launch)
        for task in effects.key:
            self._compute_key(task)
        for task, future in effects.watch:
            self._watch(task, future)
        for task in effects.ask_retry:
            self._ask_retry(task)
        for event in effects.unclaimed:
            self._finish_job(event)
        for notify in effects.notify:
            notify()
        for settled in callbacks:
            self._run_callbacks(settled)

    def _resolve_futures(self, ended: list[tuple[Task, object, BaseException | None]]) -> list[TaskFuture]:
        with_callbacks: list[TaskFuture] = []
        for task, value, error in ended:
            future = task.future
            if task.app.joins and error is None:
                future.settle(*_joined_value(task, value))
            else:
                future.settle(value, error)
            if future.has_callbacks:
                with_callbacks.append(future)
        if (gate := self._kernel.gate) is not None:
            gate.leave(len(ended))
        return with_callbacks

    def _run_callbacks(self, future: TaskFuture) -> None:
        began = time.monotonic()
        future.run_callbacks()
        ended = time.monotonic()
        took = ended - began
        if took > _SLOW_CALLBACK_S and ended >= self._next_warning:
            self._next_warning = ended + _WARN_EVERY_S
            _log.warning(
                "a done-callback of %r took %.0f ms in the kernel thread, where it delays every task; "
                "let it hand the work to a thread of its own",
                future,
                took * 1000,
            )

    # -- attempts -------------------------------------------------------------------------------

    def _launch(self, tasks: Iterable[Task]) -> None:
        batches: dict[ExecutorLabel, list[Launch]] = {}
        for task in tasks:
            attempt, label = task.attempt, task.label
            if attempt is None or label is None:
                continue  # cancelled by a later event of the same batch
            if task.resolve and self._resolver is not None:
                self._resolve_in_pool(task, self._resolver)
                continue
            launch = self._make(task, attempt)
            if launch is not None:
                batch = batches.get(label)
                if batch is None:
                    batches[label] = [launch]
                else:
                    batch.append(launch)
        for label, batch in batches.items():
            self._submit(label, batch)

    def _submit(self, label: ExecutorLabel, batch: list[Launch]) -> None:
        try:
            self.executors[label].submit(batch)
        except Exception as error:  # noqa: BLE001 - a plug-in that breaks its rules must not end the kernel
            _log.exception("executor %r failed while it was given %d attempts", label, len(batch))
            cause = ExecutorError(label, f"submit raised {error!r}")
            lost = [Lost(launch.attempt, cause) for launch in batch]
            self._kernel.post_all([ExecutorFailed(label, error), *lost])

    def _make(self, task: Task, attempt: AttemptId) -> Launch | None:
        args, kwargs = task.args, task.kwargs or _NO_KWARGS
        if task.resolve:
            try:
                args, kwargs = unwrap_call(args, kwargs, self._unwrap)
            except Exception as error:  # noqa: BLE001 - hashing a result may run anybody's code
                self._kernel.post(ArgumentsFailed(attempt, error))
                return None
        return self._assemble(task, attempt, args, kwargs)

    def _assemble(
        self, task: Task, attempt: AttemptId, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> Launch:
        app = task.app
        function = app.function
        if app.joins:
            args, kwargs = (self._kernel, function, args, kwargs), _NO_KWARGS
            function = run_join_body
        if task.tries > 1:
            task.future.unclaim()
        launch = Launch(attempt, task.id, app.name, function, args, kwargs, task.future)
        if task.options is not None:
            launch.walltime = task.options.walltime
            launch.resources = task.options.resources
        return launch

    def _resolve_in_pool(self, task: Task, resolver: DependencyResolver) -> None:
        attempt = cast(AttemptId, task.attempt)
        args, kwargs = task.args, task.kwargs or {}

        def unwrap() -> object:
            return unwrap_call(args, kwargs, resolver.traverse_to_unwrap)

        def submit(call: object, error: BaseException | None) -> None:
            if task.attempt != attempt:
                return  # cancelled meanwhile
            if error is not None:
                self._kernel.post(ArgumentsFailed(attempt, error))
                return
            plain, named = cast(Call, call)
            self._submit(cast(ExecutorLabel, task.label), [self._assemble(task, attempt, plain, named)])

        self.run_job(unwrap, submit)

    def _cancel(self, orders: Iterable[tuple[ExecutorLabel, AttemptId]]) -> None:
        by_label: dict[ExecutorLabel, list[AttemptId]] = {}
        for label, attempt in orders:
            by_label.setdefault(label, []).append(attempt)
        for label, attempts in by_label.items():
            try:
                self.executors[label].cancel(attempts)
            except Exception:  # noqa: BLE001 - a plug-in, as above; what it did not stop is dropped later
                _log.exception("executor %r failed while attempts were cancelled", label)

    # -- other people's futures and code ----------------------------------------------------------

    def _watch(self, task: Task, future: Future[object]) -> None:
        token = object()
        if isinstance(future, DataFuture):
            description = f"DataFuture from task {future.tid}"
        else:
            description = _described(future)
            self._foreign.add(token)
        kernel = self._kernel

        def report(done: Future[object]) -> None:
            _, error = outcome_of(done)
            self._foreign.discard(token)
            kernel.post(DependencyEnded(task, future, error, description))

        try:
            future.add_done_callback(report)
        except Exception as error:  # noqa: BLE001 - a future of a class that we do not know
            self._foreign.discard(token)
            kernel.post(DependencyEnded(task, future, error, description))

    def _compute_key(self, task: Task) -> None:
        app, args, kwargs = task.app, task.args, task.kwargs or {}
        ignored = (*app.ignore_for_cache, *(task.options.unkeyed if task.options is not None else ()))
        unwrap = self._resolver.traverse_to_unwrap if self._resolver is not None else self._unwrap

        kind = f"bash_app {app.name}" if app.runs_command else app.name

        def compute() -> object:
            from fanflow.memo.keys import memo_key  # only programs that cache pay for it

            plain, named = unwrap_call(args, kwargs, unwrap) if task.resolve else (args, kwargs)
            return memo_key(app.key_function or app.function, kind, plain, named, ignored)

        def answer(key: object, error: BaseException | None) -> None:
            self._kernel.post(MemoKeyed(task, cast(str, key), error))

        self.run_job(compute, answer)

    def _ask_retry(self, task: Task) -> None:
        handler = self._kernel.settings.retry_handler
        failure = task.history.failures[-1] if task.history is not None else None
        if handler is None or failure is None:
            raise InternalConsistencyError(f"{task!r} asks a retry handler that is not there")
        record = self._kernel.record_of(task)

        def price() -> object:
            return float(handler(failure, record))

        def decide(cost: object, error: BaseException | None) -> None:
            self._kernel.post(RetryDecided(task, cast(float, cost) if error is None else 0.0, error))

        self.run_job(price, decide)

    def run_job(self, function: Callable[[], object], on_done: JobDone) -> None:
        """Run something that may block in the internal pool; the kernel thread calls `on_done` then."""
        attempt = AttemptId(self._next_job)
        self._next_job -= 1
        self._jobs[attempt] = on_done
        name = getattr(function, "__qualname__", repr(function))
        launch = Launch(attempt, _NO_TASK, name, function, (), _NO_KWARGS, self._latch)
        self.executors[INTERNAL_LABEL].submit([launch])

    def _finish_job(self, event: AttemptEvent) -> None:
        on_done = self._jobs.pop(event.attempt, None)
        if on_done is None:
            self.dropped += 1
        elif isinstance(event, Returned):
            on_done(event.value, None)
        elif isinstance(event, Raised):
            on_done(None, event.error)
        elif isinstance(event, Lost):
            on_done(None, event.cause)


def _joined_value(task: Task, joined: object) -> tuple[object, BaseException | None]:
    """Results of what a join app returned; every future in it is done and had a result."""
    futures = cast("list[Future[object]]", joined if isinstance(joined, list) else [joined])
    values: list[object] = []
    for future in futures:
        value, error = outcome_of(future)
        if error is not None:  # cancelled between the end of its attempt and this
            return None, JoinError([(error, _described(future))], task.id)
        values.append(value)
    return (values if isinstance(joined, list) else values[0]), None


def _described(future: Future[object]) -> str:
    try:
        return repr(future)
    except Exception:  # noqa: BLE001 - of a class that we do not know, and this is the kernel thread
        return f"a {type(future).__name__} without a repr"
