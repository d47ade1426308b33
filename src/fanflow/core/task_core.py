"""Every task of one kernel: what follows from what happens. Pure; the kernel thread is its only caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future

from fanflow.core.events import (
    ArgumentsFailed,
    CallRequested,
    CancelRequested,
    Closing,
    CoreEvent,
    DependencyEnded,
    Effects,
    MemoKeyed,
    RetryDecided,
    WaitRequested,
)
from fanflow.core.joining import futures_to_join
from fanflow.core.memo_table import MemoTable, Recorded
from fanflow.core.places import Places
from fanflow.core.settings import CoreSettings
from fanflow.core.task import FailureHistory, Task, broken_error, closed_error, history_of, note_failure
from fanflow.core.transitions import MOVES, InvalidTransitionError, Signal
from fanflow.core.waiters import Waiters
from fanflow.errors import BadStateException
from fanflow.ids import AttemptId, TaskId
from fanflow.model.attempts import ExecutorFailed, Lost, Raised, Returned, Started
from fanflow.model.states import FINAL_STATES, States

_PENDING, _JOINING = States.pending, States.joining


class TaskCore:
    """Tasks, their dependencies, attempts, retries and joins.

    Args:
        settings: The kernel's options.
        task_of: Future -> its task, if it is one of this kernel, else None.
    """

    def __init__(
        self, settings: CoreSettings, task_of: Callable[[Future[object]], Task | None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.places = Places(settings.labels, settings.placement)
        self.tasks: dict[TaskId, Task] = {}
        """Tasks that have not ended."""
        self.counts: dict[States, int] = dict.fromkeys(States, 0)
        """Tasks by state, ended ones included."""
        self.attempts: dict[AttemptId, Task] = {}
        """Open attempts."""
        self._task_of = task_of
        self._next_attempt = 1
        self._waiters = Waiters()
        self._memo: MemoTable[Task] = MemoTable()
        self._ended: list[Task] = []
        self._releasing = False
        self._closing = False
        self._now = 0.0
        self._effects = Effects()
        self._handlers: dict[type, Callable[..., None]] = {
            Task: self.on_task,
            Started: self.on_started,
            Returned: self.on_returned,
            Raised: self.on_raised,
            Lost: self.on_lost,
            ExecutorFailed: self.on_executor_failed,
            DependencyEnded: self.on_dependency_ended,
            ArgumentsFailed: self.on_arguments_failed,
            RetryDecided: self.on_retry_decided,
            MemoKeyed: self.on_memo_keyed,
            CancelRequested: self.on_cancel_requested,
            WaitRequested: self.on_wait_requested,
            CallRequested: self.on_call_requested,
            Closing: self.on_closing,
        }

    def handle(self, events: Iterable[CoreEvent], now: float) -> Effects:
        """Take a batch of events in order.

        Raises:
            InvalidTransitionError: The rules contradict themselves: a bug.
        """
        self._effects = effects = Effects()
        self._now = now
        handlers = self._handlers
        for event in events:
            handlers[type(event)](event)
        self._effects = Effects()  # what has ended must not live here until the next batch
        return effects

    # -- submission and dependencies ------------------------------------------------------------

    def on_task(self, task: Task) -> None:
        self.tasks[task.id] = task
        self.counts[_PENDING] += 1
        task.epoch = self._waiters.epoch
        task.since = self._now
        if self._closing:
            self._finish(task, Signal.FAIL, None, closed_error(task))
            return
        if task.needs is not None:
            needs, task.needs = task.needs, None
            for need in needs:
                self._depend(task, need)
        if task.foreign is not None:
            foreign, task.foreign = task.foreign, None
            task.waiting += len(foreign)
            self._effects.watch.extend((task, future) for future in foreign)
        if task.waiting == 0:
            self._ready(task)

    def _depend(self, task: Task, need: Task) -> None:
        if need.state not in FINAL_STATES:
            task.waiting += 1
            if need.dependants is None:
                need.dependants = [task]
            else:
                need.dependants.append(task)
        elif need.error is not None:
            note_failure(task, need.error, f"task {need.id}", need.future)

    def on_dependency_ended(self, event: DependencyEnded) -> None:
        task = event.task
        if task.state in FINAL_STATES:
            return
        if event.error is not None:
            note_failure(task, event.error, event.description, event.future)
        task.waiting -= 1
        if task.waiting == 0:
            self._ready(task)

    def _ready(self, task: Task) -> None:
        if task.broken is not None:
            signal = Signal.FAIL if task.state is _JOINING else Signal.DEPENDENCY_FAIL
            self._finish(task, signal, None, broken_error(task, task.broken))
        elif task.state is _JOINING:
            self._finish(task, Signal.RETURN, task.joined, None)
        elif task.app.cache and not self._closing:
            self._effects.key.append(task)
        else:
            self._launch(task)

    def on_memo_keyed(self, event: MemoKeyed) -> None:
        task = event.task
        if task.state in FINAL_STATES:
            return  # cancelled, or closed, while the key was computed
        if event.error is not None:
            self._finish(task, Signal.FAIL, None, event.error)
            return
        task.key = event.key
        answer = self._memo.ask(event.key, task)
        if isinstance(answer, Recorded):
            self._finish(task, Signal.RECALL, answer.value, None)
        elif answer:
            self._launch(task)

    # -- attempts -------------------------------------------------------------------------------

    def _launch(self, task: Task) -> None:
        if self._closing:
            self._finish(task, Signal.FAIL, None, closed_error(task))
            return
        label = task.label
        if label is None or label in self.places.failed:
            label = self.places.choose(task.app)
            if label is None:
                self._finish(task, Signal.FAIL, None, BadStateException(*self.places.why_none(task.app)))
                return
            task.label = label
        self._move(task, Signal.LAUNCH)
        attempt = AttemptId(self._next_attempt)
        self._next_attempt += 1
        task.attempt = attempt
        task.tries += 1
        self.attempts[attempt] = task
        outstanding = self.places.outstanding
        outstanding[label] = outstanding.get(label, 0) + 1
        self._effects.launch.append(task)

    def _close_attempt(self, attempt: AttemptId) -> Task | None:
        task = self.attempts.pop(attempt, None)
        if task is not None:
            task.attempt = None
            if task.label is not None:
                self.places.outstanding[task.label] -= 1
        return task

    def on_started(self, event: Started) -> None:
        task = self.attempts.get(event.attempt)
        if task is not None:
            task.since = self._now

    def on_returned(self, event: Returned) -> None:
        task = self._close_attempt(event.attempt)
        if task is None:
            self._effects.unclaimed.append(event)
        elif task.app.joins:
            self._join(task, event.value)
        else:
            self._finish(task, Signal.RETURN, event.value, None)

    def on_raised(self, event: Raised) -> None:
        task = self._close_attempt(event.attempt)
        if task is None:
            self._effects.unclaimed.append(event)
        else:
            self._failed(task, event.error)

    def on_lost(self, event: Lost) -> None:
        task = self._close_attempt(event.attempt)
        if task is None:
            self._effects.unclaimed.append(event)
        elif self._closing:
            self._finish(task, Signal.FAIL, None, closed_error(task))
        else:
            history = history_of(task)
            if self._may_rerun(history, event):
                history.failures.append(event.cause)
                self._move(task, Signal.RETRY)
                self._again(task)
            else:
                self._failed(task, event.cause)

    def _may_rerun(self, history: FailureHistory, event: Lost) -> bool:
        if event.blames_task:
            history.losses += 1
            may = history.losses < self.settings.crash_limit
            if not may:
                event.cause.add_note(f"lost {history.losses} times while it ran: it is not run again")
        else:
            history.requeues += 1
            may = history.requeues <= self.settings.requeue_limit
        return may and self.settings.rerun_lost

    def on_arguments_failed(self, event: ArgumentsFailed) -> None:
        task = self._close_attempt(event.attempt)
        if task is not None:
            history_of(task).failures.append(event.error)
            self._finish(task, Signal.FAIL, None, event.error)

    def on_executor_failed(self, event: ExecutorFailed) -> None:
        self.places.failed[event.label] = event.error

    # -- retries --------------------------------------------------------------------------------

    def _failed(self, task: Task, error: BaseException) -> None:
        history_of(task).failures.append(error)
        if self.settings.prices_failures and not self._closing:
            self._move(task, Signal.RETRY)
            self._effects.ask_retry.append(task)
        else:
            self._spend(task, 1.0)

    def _spend(self, task: Task, cost: float) -> None:
        history = history_of(task)
        history.retry_cost += cost
        if self._closing or not history.retry_cost <= self.settings.retries:  # a price may be NaN
            self._finish(task, Signal.FAIL, None, history.failures[-1])
            return
        if task.state is not States.fail_retryable:
            self._move(task, Signal.RETRY)
        self._again(task)

    def _again(self, task: Task) -> None:
        self._move(task, Signal.AGAIN)
        self._launch(task)

    def on_retry_decided(self, event: RetryDecided) -> None:
        if event.task.state is not States.fail_retryable:
            return  # cancelled, or closed, while the handler ran
        if event.error is not None:
            self._finish(event.task, Signal.FAIL, None, event.error)
        else:
            self._spend(event.task, event.cost)

    # -- joins ----------------------------------------------------------------------------------

    def _join(self, task: Task, value: object) -> None:
        futures = futures_to_join(task, value)
        if isinstance(futures, Exception):
            self._finish(task, Signal.FAIL, None, futures)
            return
        self._move(task, Signal.JOIN)
        task.joined = futures if isinstance(value, list) else value
        task.order = futures
        for future in futures:
            joined = self._task_of(future)
            if joined is None:
                task.waiting += 1
                self._effects.watch.append((task, future))
            else:
                self._depend(task, joined)
        if task.waiting == 0:
            self._ready(task)

    # -- ends -----------------------------------------------------------------------------------

    def _move(self, task: Task, signal: Signal) -> None:
        old = task.state
        new = MOVES[signal].get(old)
        if new is None:
            raise InvalidTransitionError(task.id, old, signal)
        counts = self.counts
        counts[old] -= 1
        counts[new] += 1
        task.state = new
        task.since = self._now

    def _finish(self, task: Task, signal: Signal, value: object, error: BaseException | None) -> None:
        self._move(task, signal)
        task.error = error
        task.args, task.kwargs = (), None
        task.joined = task.broken = task.order = None
        del self.tasks[task.id]
        self._effects.end.append((task, value, error))
        if self._waiters:
            self._effects.notify.extend(self._waiters.count_down(task.epoch))
        if task.key is not None:
            self._settle_memo(task, task.key, value)
        if task.dependants is not None:
            self._ended.append(task)
            if not self._releasing:
                self._release()

    def _settle_memo(self, task: Task, key: str, value: object) -> None:
        if task.error is None:
            for follower in self._memo.returned(key, task, value).recalled:
                self._finish(follower, Signal.RECALL, value, None)
        elif (owner := self._memo.failed(key, task).next_owner) is not None:
            self._ended.append(owner)  # its turn to run: in the loop, since it may fail at once like this one
            if not self._releasing:
                self._release()

    def _release(self) -> None:
        """Tell the dependants of all that ended; a loop, so that a chain of any length needs no stack."""
        ended = self._ended
        self._releasing = True
        try:
            while ended:
                task = ended.pop()
                if task.state is _PENDING:
                    self._launch(task)
                    continue
                dependants, task.dependants = task.dependants or [], None
                error = task.error
                for dependant in dependants:
                    if dependant.state in FINAL_STATES:
                        continue
                    if error is not None:
                        note_failure(dependant, error, f"task {task.id}", task.future)
                    dependant.waiting -= 1
                    if dependant.waiting == 0:
                        self._ready(dependant)
        finally:
            self._releasing = False

    def on_cancel_requested(self, event: CancelRequested) -> None:
        task = event.task
        if task.state in FINAL_STATES:
            return
        if task.attempt is not None and task.label is not None:
            self._effects.cancel.append((task.label, task.attempt))
            self._close_attempt(task.attempt)
        self._finish(task, Signal.CANCEL, None, CancelledError(f"task {task.id} was cancelled"))

    # -- waiting and closing --------------------------------------------------------------------

    def on_wait_requested(self, event: WaitRequested) -> None:
        if self.tasks:
            self._waiters.add(len(self.tasks), event.on_done)
        else:
            self._effects.notify.append(event.on_done)

    def on_call_requested(self, event: CallRequested) -> None:
        self._effects.notify.append(event.function)

    def abandon(self, error: BaseException) -> Effects:
        """End every task with this error, whatever its state: the rules or their shell have failed."""
        effects, self._effects = self._effects, Effects()
        for task in self.tasks.values():
            self.counts[task.state] -= 1
            self.counts[States.failed] += 1
            task.state, task.error, task.attempt = States.failed, error, None
            effects.end.append((task, None, error))
        self.tasks.clear()
        self.attempts.clear()
        effects.notify += self._waiters.dismiss()
        return effects

    def on_closing(self, event: Closing) -> None:
        self._closing = True
        for task in list(self.tasks.values()):
            if task.id in self.tasks and (task.attempt is None or event.final):
                if task.attempt is not None:
                    self._close_attempt(task.attempt)
                self._finish(task, Signal.FAIL, None, closed_error(task))
