import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from fanflow.codec.worker_flag import current_worker, in_worker
from fanflow.errors import (
    AppTimeout,
    ConfigurationError,
    ExecutorError,
    InvalidResourceSpecification,
    OptionTypeError,
    PicklingError,
)
from fanflow.executors.adapter import ExecutorAdapter
from fanflow.ids import TaskId
from fanflow.model.attempts import Launch, Lost, Raised, Returned, Started
from fanflow.spi.executor import Executor as Seam
from fanflow.testing import ManualLoop, RecordingSink, make_launch, tasks
from fanflow.testing.gates import Gate, wait_at_gate
from fanflow.testing.launches import CountingLatch
from fanflow.testing.recording import Outcome, outcomes_by_attempt

PATIENCE_S = 30.0


class Context:
    run_dir = Path()


def one_process() -> Executor:
    return ProcessPoolExecutor(1, mp_context=get_context("forkserver"))


def two_processes() -> Executor:
    return ProcessPoolExecutor(2, mp_context=get_context("forkserver"))


@contextmanager
def running(spec: ExecutorAdapter) -> Iterator[tuple[Seam, RecordingSink]]:
    executor, sink = spec.build(Context()), RecordingSink()
    executor.start(sink, ManualLoop())
    try:
        yield executor, sink
    finally:
        executor.close(drain=False, deadline=PATIENCE_S)


def ends(sink: RecordingSink, launches: Sequence[Launch]) -> list[Outcome]:
    """The outcomes of these launches, in their order."""
    wanted = {launch.attempt for launch in launches}
    sink.wait_for(
        lambda events: wanted <= {e.attempt for e in events if isinstance(e, Returned | Raised | Lost)},
        PATIENCE_S,
    )
    outcomes = outcomes_by_attempt(sink)
    return [outcomes[launch.attempt] for launch in launches]


def run(executor: Seam, sink: RecordingSink, *launches: Launch) -> list[Outcome]:
    executor.submit(launches)
    return ends(sink, launches)


def again(launch: Launch) -> Launch:
    """A further attempt of the same task, as the kernel makes it."""
    retry = make_launch(launch.function, *launch.args, **launch.kwargs)
    retry.task = launch.task
    return retry


def process_id() -> int:
    return os.getpid()


def is_marked_as_worker() -> bool:
    return in_worker()


def tell_id_and_wait(directory: str) -> str:
    return wait_at_gate(directory, str(os.getpid()))


# What comes back ----------------------------------------------------------------------------------


def test_attempts_run_in_the_processes_of_the_pool_and_are_marked_as_workers() -> None:
    with running(ExecutorAdapter(two_processes)) as (executor, sink):
        pid, marked = run(executor, sink, make_launch(process_id), make_launch(is_marked_as_worker))

    assert isinstance(pid, Returned)
    assert pid.value != os.getpid()
    assert isinstance(marked, Returned)
    assert marked.value is True
    assert not in_worker()


def test_a_pool_of_threads_gets_the_arguments_themselves_and_says_when_an_attempt_starts() -> None:
    lock = threading.Lock()
    launch = make_launch(tasks.echo, lock)

    with running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        [outcome] = run(executor, sink, launch)

    assert isinstance(outcome, Returned)
    assert outcome.value is lock
    assert sink.started == [launch.attempt]


def test_a_thread_of_the_pool_is_known_as_a_worker_while_it_runs_an_attempt() -> None:
    with ThreadPoolExecutor(1) as pool, running(ExecutorAdapter(pool, label="mine")) as (executor, sink):
        launch = make_launch(current_worker)
        [outcome] = run(executor, sink, launch)
        afterwards = pool.submit(current_worker).result()

    assert isinstance(outcome, Returned)
    assert getattr(outcome.value, "label", None) == "mine"
    assert getattr(outcome.value, "current", None) is launch
    assert afterwards is None


def test_a_thread_that_pickles_does_not_mark_the_kernels_process_as_a_worker() -> None:
    spec = ExecutorAdapter(lambda: ThreadPoolExecutor(1), serialize=True)

    with running(spec) as (executor, sink):
        [outcome] = run(executor, sink, make_launch(is_marked_as_worker))

    assert isinstance(outcome, Returned)
    assert outcome.value is False


def test_an_exception_from_a_thread_shows_the_users_frames_first() -> None:
    with running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        [outcome] = run(executor, sink, make_launch(tasks.raise_value_error, "x"))

    assert isinstance(outcome, Raised)
    traceback = outcome.error.__traceback__
    assert traceback is not None
    assert traceback.tb_frame.f_code.co_name == "raise_value_error"


def test_an_argument_that_cannot_be_pickled_is_named_and_its_latch_is_not_claimed() -> None:
    launch = make_launch(tasks.echo, {"handle": threading.Lock()})
    launch.latch = latch = CountingLatch()

    with running(ExecutorAdapter(two_processes)) as (executor, sink):
        [outcome] = run(executor, sink, launch)

    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, PicklingError)
    assert outcome.error.path == "args[0]['handle']"
    assert latch.claims == 0


def test_resources_are_refused_and_named() -> None:
    launch = make_launch(tasks.add, 1, 2)
    launch.resources = {"cores": 4}

    with running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        [outcome] = run(executor, sink, launch)

    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, InvalidResourceSpecification)
    assert outcome.error.invalid_keys == {"cores"}


# Pools that break ---------------------------------------------------------------------------------


def test_a_killed_process_loses_what_was_in_the_pool_and_a_new_pool_runs_what_follows() -> None:
    with Gate() as gate, running(ExecutorAdapter(one_process)) as (executor, sink):
        victim = make_launch(tell_id_and_wait, gate.directory)
        executor.submit([victim])
        [pid] = gate.wait_for_arrivals(1, PATIENCE_S)

        os.kill(int(pid), signal.SIGKILL)

        [lost] = ends(sink, [victim])
        gate.open()
        [retried] = run(executor, sink, again(victim))

    assert isinstance(lost, Lost)
    assert isinstance(lost.cause, BrokenProcessPool)
    assert isinstance(retried, Returned)
    assert retried.value != pid
    assert sink.failures == []


def test_attempts_that_wait_outside_the_pool_survive_its_breaking() -> None:
    with Gate() as gate, running(ExecutorAdapter(one_process)) as (executor, sink):
        blocker = make_launch(tell_id_and_wait, gate.directory)
        queued = [make_launch(tasks.add, number, 0) for number in range(100)]
        executor.submit([blocker, *queued])
        [pid] = gate.wait_for_arrivals(1, PATIENCE_S)

        os.kill(int(pid), signal.SIGKILL)

        outcomes = ends(sink, queued)
    lost = [outcome for outcome in outcomes if isinstance(outcome, Lost)]
    assert len(lost) == 15  # the window is 16
    assert all(isinstance(outcome, Returned) for outcome in outcomes[15:])


def test_a_task_that_kills_its_worker_takes_others_along_at_most_twice() -> None:
    with running(ExecutorAdapter(two_processes)) as (executor, sink):
        killer = make_launch(tasks.die, 1)
        open_launches = [killer, *(make_launch(tasks.add, number, 0) for number in range(10))]
        losses: dict[TaskId, int] = {launch.task: 0 for launch in open_launches}
        while open_launches:
            outcomes = run(executor, sink, *open_launches)
            lost = [
                launch for launch, end in zip(open_launches, outcomes, strict=True) if isinstance(end, Lost)
            ]
            for launch in lost:
                losses[launch.task] += 1
            open_launches = [again(launch) for launch in lost if losses[launch.task] < 4]

    assert losses.pop(killer.task) == 4
    assert max(losses.values()) <= 2


def test_a_given_pool_that_breaks_fails_the_executor_and_what_comes_is_refused() -> None:
    with one_process() as pool, running(ExecutorAdapter(pool, label="given")) as (executor, sink):
        launches = [make_launch(tasks.die, 1), *(make_launch(tasks.add, 1, 1) for _ in range(40))]
        outcomes = run(executor, sink, *launches)
        [late] = run(executor, sink, make_launch(tasks.add, 1, 1))

    assert all(isinstance(outcome, Lost) for outcome in outcomes)
    assert [failure.label for failure in sink.failures] == ["given"]
    assert isinstance(sink.failures[0].error, BrokenProcessPool)
    assert isinstance(late, Lost)


def test_a_given_pool_that_was_shut_down_fails_the_executor() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    with running(ExecutorAdapter(pool)) as (executor, sink):
        [outcome] = run(executor, sink, make_launch(tasks.add, 1, 1))

    assert isinstance(outcome, Lost)
    assert isinstance(sink.failures[0].error, RuntimeError)


class AlwaysBroken(Executor):
    """A pool whose workers cannot start."""

    made = 0

    def __init__(self) -> None:
        AlwaysBroken.made += 1

    def submit(self, function: Callable[..., object], /, *args: object, **kwargs: object) -> Future[object]:
        raise BrokenProcessPool("no worker could be started")


def test_pools_that_break_one_after_the_other_fail_the_executor_in_the_end() -> None:
    AlwaysBroken.made = 0
    launches = [make_launch(tasks.add, 1, 1) for _ in range(1000)]

    with running(ExecutorAdapter(AlwaysBroken)) as (executor, sink):
        outcomes = run(executor, sink, *launches)

    assert all(isinstance(outcome, Lost) for outcome in outcomes)
    assert len(sink.failures) == 1
    assert AlwaysBroken.made < 50


# Walltime, cancel, back-pressure ------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(1), one_process], ids=["thread", "process"])
def test_a_walltime_ends_the_attempt_for_its_user_while_the_function_goes_on(
    make: Callable[[], Executor],
) -> None:
    with Gate() as gate, running(ExecutorAdapter(make)) as (executor, sink):
        launch = make_launch(wait_at_gate, gate.directory, "slow")
        launch.walltime = 0.1
        [outcome] = run(executor, sink, launch)
        gate.open()
        [after] = run(executor, sink, make_launch(tasks.add, 1, 1))

    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, AppTimeout)
    assert str(outcome.error) == "App wait_at_gate exceeded walltime: 0.1 seconds"
    assert isinstance(after, Returned)


def test_an_attempt_with_a_walltime_is_handed_over_only_when_a_worker_is_free() -> None:
    with Gate() as gate, running(ExecutorAdapter(one_process)) as (executor, sink):
        blocker = make_launch(wait_at_gate, gate.directory, "blocker")
        limited = make_launch(tasks.add, 1, 1)
        limited.walltime, limited.latch = 60.0, (latch := CountingLatch())
        executor.submit([blocker, limited])
        gate.wait_for_arrivals(1, PATIENCE_S)
        refused = make_launch(tasks.add, 1, 1)
        refused.resources = {"cores": 1}
        run(executor, sink, refused)  # now it has had a look at the others, too

        claims_while_blocked = latch.claims
        gate.open()

        [_, outcome] = ends(sink, [blocker, limited])
    assert claims_while_blocked == 0
    assert isinstance(outcome, Returned)


def test_only_a_window_of_attempts_is_claimed_and_the_rest_can_be_cancelled() -> None:
    with Gate() as gate, running(ExecutorAdapter(one_process)) as (executor, sink):
        blocker = make_launch(wait_at_gate, gate.directory, "blocker")
        executor.submit([blocker])
        gate.wait_for_arrivals(1, PATIENCE_S)
        queued = [make_launch(tasks.add, number, 0) for number in range(1000)]
        latches = [CountingLatch() for _ in queued]
        for launch, latch in zip(queued, latches, strict=True):
            launch.latch = latch
        executor.submit(queued)

        executor.cancel([launch.attempt for launch in queued[100:]])

        cancelled = ends(sink, queued[100:])
        assert sum(latch.claims for latch in latches) == 15
        gate.open()
        kept = ends(sink, queued[:100])
    assert all(isinstance(end, Lost) and isinstance(end.cause, CancelledError) for end in cancelled)
    assert [end.value for end in kept if isinstance(end, Returned)] == list(range(100))


def test_what_waits_inside_the_pool_can_be_cancelled_too() -> None:
    with Gate() as gate, running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        blocker = make_launch(wait_at_gate, gate.directory, "blocker")
        executor.submit([blocker])
        gate.wait_for_arrivals(1, PATIENCE_S)
        inside = make_launch(tasks.add, 1, 1)
        executor.submit([inside])

        executor.cancel([inside.attempt])

        [outcome] = ends(sink, [inside])
        gate.open()
    assert isinstance(outcome, Lost)
    assert isinstance(outcome.cause, CancelledError)


class Blocked(ThreadPoolExecutor):
    """A pool whose `submit` blocks until it is let go."""

    def __init__(self) -> None:
        super().__init__(1)
        self.entered, self.let_go = threading.Event(), threading.Event()

    def submit(self, function: Callable[..., object], /, *args: object, **kwargs: object) -> Future[object]:  # type: ignore[override]
        self.entered.set()
        assert self.let_go.wait(PATIENCE_S)
        return super().submit(function, *args, **kwargs)


def test_a_pool_whose_submit_blocks_holds_up_neither_the_caller_nor_close() -> None:
    pool, sink = Blocked(), RecordingSink()
    executor = ExecutorAdapter(pool).build(Context())
    executor.start(sink, ManualLoop())
    launches = [make_launch(tasks.add, 1, 1) for _ in range(3)]
    try:
        executor.submit(launches)
        assert pool.entered.wait(PATIENCE_S)
        executor.submit([make_launch(tasks.add, 1, 1)])
        started = time.monotonic()

        executor.close(drain=True, deadline=0.1)

        assert time.monotonic() - started < 5
        assert [type(outcome) for outcome in sink.outcomes] == [Lost] * 4
    finally:
        pool.let_go.set()
        pool.shutdown()
    assert outcomes_by_attempt(sink).keys() == {event.attempt for event in sink.outcomes}
    assert not any(isinstance(event, Started) for event in sink.events)


# Life ---------------------------------------------------------------------------------------------


def test_close_leaves_a_given_pool_open_and_shuts_one_it_made() -> None:
    made: list[ThreadPoolExecutor] = []

    def make() -> Executor:
        made.append(ThreadPoolExecutor(1))
        return made[-1]

    with ThreadPoolExecutor(1) as given:
        for spec in (ExecutorAdapter(given), ExecutorAdapter(make)):
            with running(spec) as (executor, sink):
                run(executor, sink, make_launch(tasks.add, 1, 1))

        assert given.submit(tasks.add, 2, 3).result() == 5
    with pytest.raises(RuntimeError):
        made[0].submit(tasks.add, 2, 3)


def test_close_kills_processes_that_do_not_end_in_time() -> None:
    with Gate() as gate:
        executor, sink = ExecutorAdapter(one_process).build(Context()), RecordingSink()
        executor.start(sink, ManualLoop())
        launch = make_launch(tell_id_and_wait, gate.directory)
        executor.submit([launch])
        gate.wait_for_arrivals(1, PATIENCE_S)

        executor.close(drain=True, deadline=0.1)

        [outcome] = ends(sink, [launch])
    assert isinstance(outcome, Lost)
    assert isinstance(outcome.cause, ExecutorError)
    # That the process is gone is what the check for things left behind sees.


def test_a_factory_is_called_at_each_build_and_its_error_names_the_executor() -> None:
    def refuse() -> Executor:
        raise OSError("no such cluster")

    with pytest.raises(ConfigurationError, match=r"label='far'.*OSError: no such cluster"):
        ExecutorAdapter(refuse, label="far").build(Context())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"make": 3}, "make takes a concurrent.futures.Executor"),
        ({"make": dict}, "a factory of a concurrent.futures.Executor"),
        ({"label": ""}, "label takes a string that is not empty"),
        ({"serialize": 1}, "serialize takes True, False or None"),
        ({"capacity": True}, "capacity takes a whole number or None"),
    ],
)
def test_a_wrong_option_is_named_at_load(options: dict[str, object], message: str) -> None:
    spec = ExecutorAdapter(one_process)
    for name, value in options.items():
        setattr(spec, name, value)

    with pytest.raises(OptionTypeError, match=message):
        spec.build(Context())


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        ExecutorAdapter(one_process, capacity=0).build(Context())


def test_capacity_is_what_was_said_or_what_the_pool_says() -> None:
    with ThreadPoolExecutor(3) as pool:
        own, said = ExecutorAdapter(pool), ExecutorAdapter(pool, capacity=7)
        capacities = [own.build(Context()).capacity, said.build(Context()).capacity]

    assert capacities == [3, 7]
