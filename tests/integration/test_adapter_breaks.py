import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from fanflow.executors.adapter import ExecutorAdapter
from fanflow.ids import TaskId
from fanflow.model.attempts import Lost, Returned
from fanflow.testing import make_launch, tasks
from fanflow.testing.gates import Gate
from tests.integration.adapter_stand import (
    PATIENCE_S,
    again,
    ends,
    one_process,
    run,
    running,
    tell_id_and_wait,
    two_processes,
)


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
