import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanflow.clock import Clock
from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import ExecutorFailed, Latch, Lost, Raised, Returned, Started
from fanflow.spi.executor import EventSink, Executor, ExecutorSpec, Loop
from fanflow.testing import (
    CountingLatch,
    LiveLoop,
    ManualClock,
    ManualLoop,
    OpenLatch,
    RecordingSink,
    ScriptedExecutor,
    ScriptedExecutorSpec,
    make_launch,
    outcomes_by_attempt,
)
from fanflow.testing.gates import Gate, wait_at_gate

ONE, TWO, THREE = AttemptId(1), AttemptId(2), AttemptId(3)


def test_the_fakes_fulfil_the_seams() -> None:
    clock: Clock = ManualClock()
    loop: Loop = ManualLoop()
    sink: EventSink = RecordingSink()
    executor: Executor = ScriptedExecutor()
    spec: ExecutorSpec = ScriptedExecutorSpec()
    latches: list[Latch] = [OpenLatch(), CountingLatch()]

    assert all((clock, loop, sink, executor, latches))
    assert isinstance(spec, ExecutorSpec)


# The clock and the loop ------------------------------------------------------------------------------


def test_a_manual_clock_goes_only_when_told() -> None:
    clock = ManualClock(monotonic=5.0, wall=100.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 100.0)

    clock.advance(2.5)

    assert (clock.monotonic(), clock.wall()) == (7.5, 102.5)


def test_a_manual_clock_refuses_to_go_back() -> None:
    clock = ManualClock(monotonic=5.0)

    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1.0)

    assert clock.monotonic() == 5.0


def test_a_step_of_the_wall_clock_leaves_intervals_alone() -> None:
    clock = ManualClock(monotonic=5.0, wall=100.0)

    clock.step_wall(-30.0)

    assert (clock.monotonic(), clock.wall()) == (5.0, 70.0)


def test_timers_fire_in_their_order_each_at_its_own_time() -> None:
    loop = ManualLoop(ManualClock(monotonic=0.0))
    fired: list[tuple[str, float]] = []
    for name, when in (("late", 3.0), ("early", 1.0), ("beyond", 9.0), ("twin of late", 3.0)):
        loop.call_at(when, lambda name=name: fired.append((name, loop.now())))

    assert loop.advance(5.0) == 3

    assert fired == [("early", 1.0), ("late", 3.0), ("twin of late", 3.0)]
    assert loop.now() == 5.0
    assert [timer.when for timer in loop.timers] == [9.0]


def test_a_timer_that_a_timer_sets_fires_in_the_same_advance() -> None:
    loop = ManualLoop(ManualClock(monotonic=0.0))
    fired: list[float] = []

    def tick() -> None:
        fired.append(loop.now())
        loop.call_at(loop.now() + 1.0, tick)

    loop.call_at(1.0, tick)
    loop.advance(3.5)

    assert fired == [1.0, 2.0, 3.0]


def test_a_cancelled_timer_does_not_fire() -> None:
    loop = ManualLoop()
    fired: list[str] = []
    loop.call_at(loop.now() + 1.0, lambda: fired.append("cancelled")).cancel()

    assert loop.advance(2.0) == 0
    assert not fired


def test_run_pending_calls_what_is_due_and_returns_though_it_sets_itself_again() -> None:
    loop = ManualLoop()
    fired: list[str] = []

    def again() -> None:
        fired.append("again")
        loop.call_at(loop.now(), again)

    loop.call_at(loop.now(), again)

    assert loop.run_pending() == 1
    assert loop.run_pending() == 1
    assert fired == ["again", "again"]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_run_pending_calls_for_readable_descriptors_that_are_watched(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    loop = ManualLoop()
    received: list[bytes] = []
    loop.watch(reader, lambda: received.append(os.read(reader, 10)))
    assert loop.run_pending() == 0
    assert list(loop.watched) == [reader]

    os.write(writer, b"news")
    assert loop.run_pending() == 1

    loop.unwatch(reader)
    loop.unwatch(reader)
    os.write(writer, b"more")
    assert loop.run_pending() == 0
    assert received == [b"news"]


def test_wake_ups_are_counted_from_any_thread() -> None:
    loop = ManualLoop()
    threads = [threading.Thread(target=loop.wake) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert loop.wakes == 5


def test_a_live_loop_serves_calls_timers_and_descriptors_in_its_own_thread(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    served: dict[str, threading.Thread] = {}
    both = threading.Event()

    def serve(name: str) -> None:
        served[name] = threading.current_thread()
        if name == "descriptor":
            os.read(reader, 10)
        if len(served) == 2:
            both.set()

    with LiveLoop() as loop:
        loop.call(lambda: loop.watch(reader, lambda: serve("descriptor")), 10)
        loop.call(lambda: loop.call_at(loop.now() + 0.01, lambda: serve("timer")), 10)
        loop.call(lambda: loop.call_at(loop.now() + 0.01, lambda: serve("never")).cancel(), 10)
        os.write(writer, b"x")
        assert both.wait(10)
        assert loop.call(threading.current_thread, 10) is loop.thread

    assert served == {"descriptor": loop.thread, "timer": loop.thread}
    assert loop.breaches == []
    assert not loop.thread.is_alive()


def test_a_live_loop_gives_back_what_a_call_raises() -> None:
    def fail() -> None:
        raise LookupError("mine")

    with LiveLoop() as loop, pytest.raises(LookupError, match="mine"):
        loop.call(fail, 10)


def test_a_live_loop_notes_calls_from_other_threads_and_calls_that_raise() -> None:
    called = threading.Event()

    def fail() -> None:
        called.set()
        raise LookupError("mine")

    with LiveLoop() as loop:
        loop.unwatch(0)
        loop.call(lambda: loop.call_at(loop.now(), fail), 10)
        assert called.wait(10)
        loop.call(lambda: None, 10)

    assert len(loop.breaches) == 2
    assert "Loop.unwatch was called in thread" in loop.breaches[0]
    assert "LookupError('mine')" in loop.breaches[1]


def test_a_live_loop_says_when_a_call_blocks_it() -> None:
    release = threading.Event()

    with LiveLoop() as loop:
        with pytest.raises(AssertionError, match="blocked it"):
            loop.call(release.wait, 0.05)
        release.set()


# The sink --------------------------------------------------------------------------------------------


def test_a_sink_keeps_events_in_order_and_sorts_them() -> None:
    sink = RecordingSink()
    failure = ExecutorFailed(ExecutorLabel("x"), ValueError())

    sink([Started(ONE), Returned(ONE, 1)])
    sink([Raised(TWO, ValueError()), Lost(THREE, ValueError()), failure])

    assert [type(event) for event in sink.events] == [Started, Returned, Raised, Lost, ExecutorFailed]
    assert [outcome.attempt for outcome in sink.outcomes] == [ONE, TWO, THREE]
    assert sink.started == [ONE]
    assert sink.failures == [failure]


def test_a_sink_wakes_who_waits_for_a_number_of_outcomes() -> None:
    sink = RecordingSink()
    reporter = threading.Thread(
        target=lambda: [sink([Started(AttemptId(n)), Returned(AttemptId(n), n)]) for n in range(50)]
    )
    reporter.start()

    events = sink.wait_for(50)
    reporter.join()

    assert len(events) == 100


def test_a_sink_wakes_who_waits_for_a_predicate() -> None:
    sink = RecordingSink()
    reporter = threading.Thread(target=lambda: sink([Started(ONE)]))
    reporter.start()

    events = sink.wait_for(lambda events: any(isinstance(event, Started) for event in events))
    reporter.join()

    assert [type(event) for event in events] == [Started]


def test_a_sink_says_what_did_not_come() -> None:
    sink = RecordingSink()
    sink([Started(ONE), Returned(ONE, 1)])

    with pytest.raises(AssertionError, match=r"2 outcomes; 2 events came, 1 of them outcomes"):
        sink.wait_for(2, deadline_s=0.01)
    with pytest.raises(AssertionError, match="what the predicate asks for"):
        sink.wait_for(lambda events: False, deadline_s=0.01)


def test_outcomes_are_found_by_attempt() -> None:
    sink = RecordingSink()
    returned, lost = Returned(ONE, 1), Lost(TWO, ValueError())
    sink([Started(ONE), returned, lost, Started(THREE), ExecutorFailed(ExecutorLabel("x"), ValueError())])

    assert outcomes_by_attempt(sink) == {ONE: returned, TWO: lost}


@pytest.mark.parametrize(
    "events",
    [
        [Returned(ONE, 1), Returned(ONE, 1)],
        [Returned(ONE, 1), Lost(ONE, ValueError())],
        [Returned(ONE, 1), Started(ONE)],
        [Started(ONE), Started(ONE)],
    ],
    ids=["returned twice", "returned and lost", "started after its outcome", "started twice"],
)
def test_events_that_contradict_each_other_are_refused(events: list[Started | Returned | Lost]) -> None:
    sink = RecordingSink()
    sink(events)

    with pytest.raises(AssertionError, match="attempt 1 "):
        outcomes_by_attempt(sink)


# Launches, latches, gates ----------------------------------------------------------------------------


def test_launches_have_numbers_of_their_own_and_open_latches() -> None:
    first, second = make_launch(pow, 2, 3), make_launch(pow, 2, exp=3)

    assert first.attempt != second.attempt
    assert (second.name, second.args, second.kwargs) == ("pow", (2,), {"exp": 3})
    assert first.function(*first.args) == 8
    assert first.latch.claim()
    assert (first.walltime, first.resources) == (None, None)


def test_a_counting_latch_counts_and_refuses_once_shut() -> None:
    latch = CountingLatch()
    assert latch.claim()

    latch.shut()

    assert not latch.claim()
    assert (latch.claims, latch.refusals) == (2, 1)
    assert not CountingLatch(is_open=False).claim()


def test_a_gate_holds_tasks_until_it_is_open_and_lets_later_ones_through() -> None:
    passed: list[str] = []
    with Gate() as gate:

        def go(name: str) -> None:
            passed.append(wait_at_gate(gate.directory, name))

        waiting = [threading.Thread(target=go, args=[name]) for name in ("a", "b")]
        for thread in waiting:
            thread.start()
        assert sorted(gate.wait_for_arrivals(2, 10)) == ["a", "b"]
        assert not passed

        gate.open()
        gate.open()
        for thread in waiting:
            thread.join(10)
        go("late")

    assert sorted(passed) == ["a", "b", "late"]
    assert not Path(gate.directory).exists()


def test_a_gate_says_how_many_did_not_come() -> None:
    with Gate() as gate, pytest.raises(AssertionError, match="1 attempts to begin; 0 did"):
        gate.wait_for_arrivals(1, 0.01)
