import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor

import pytest

from fanflow.errors import (
    AppTimeout,
)
from fanflow.executors.adapter import ExecutorAdapter
from fanflow.model.attempts import Lost, Raised, Returned, Started
from fanflow.testing import ManualLoop, RecordingSink, make_launch, tasks
from fanflow.testing.gates import Gate, wait_at_gate
from fanflow.testing.launches import CountingLatch
from fanflow.testing.recording import outcomes_by_attempt
from tests.integration.adapter_stand import CONTEXT, PATIENCE_S, ends, one_process, run, running


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

    def submit(self, function: Callable[..., object], /, *args: object, **kwargs: object) -> Future[object]:
        self.entered.set()
        assert self.let_go.wait(PATIENCE_S)
        return super().submit(function, *args, **kwargs)


def test_a_pool_whose_submit_blocks_holds_up_neither_the_caller_nor_close() -> None:
    pool, sink = Blocked(), RecordingSink()
    executor = ExecutorAdapter(pool).build(CONTEXT)
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
