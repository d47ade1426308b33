"""The kernel's loop: wake-ups, descriptors and timers."""

import os
import threading
from collections.abc import Iterator

import pytest

from fanflow.loop import KernelLoop
from fanflow.testing import ManualClock
from tests.leaks import held_descriptors


@pytest.fixture
def loop() -> Iterator[KernelLoop]:
    made = KernelLoop()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_a_wake_up_from_another_thread_ends_the_wait(loop: KernelLoop) -> None:
    threading.Timer(0.02, loop.wake).start()

    loop.turn(may_wait=True)


def test_a_wake_up_before_the_wait_is_not_lost(loop: KernelLoop) -> None:
    for _ in range(3):
        loop.wake()

    loop.turn(may_wait=True)


def test_wake_ups_are_taken_away_by_a_turn(loop: KernelLoop) -> None:
    calls: list[str] = []
    loop.wake()
    loop.turn(may_wait=True)
    loop.call_at(loop.now() + 0.02, lambda: calls.append("timer"))

    loop.turn(may_wait=True)  # returns for the timer, not for the old wake-up

    assert calls == ["timer"]


def test_a_readable_descriptor_is_reported_as_long_as_it_is(loop: KernelLoop, pipe: tuple[int, int]) -> None:
    calls: list[int] = []
    loop.watch(pipe[0], lambda: calls.append(1))

    loop.turn(may_wait=False)
    assert calls == []
    os.write(pipe[1], b"x")
    loop.turn(may_wait=True)
    loop.turn(may_wait=True)
    assert calls == [1, 1]
    loop.unwatch(pipe[0])
    loop.unwatch(pipe[0])
    loop.turn(may_wait=False)
    assert calls == [1, 1]


def test_a_descriptor_that_is_unwatched_by_another_in_the_same_turn_is_not_called(
    loop: KernelLoop, pipe: tuple[int, int]
) -> None:
    calls: list[str] = []
    second = os.dup(pipe[0])
    os.write(pipe[1], b"x")

    def take(name: str, other: int) -> None:
        calls.append(name)
        loop.unwatch(other)

    loop.watch(pipe[0], lambda: take("first", second))
    loop.watch(second, lambda: take("second", pipe[0]))
    loop.turn(may_wait=True)
    os.close(second)

    assert len(calls) == 1


def test_timers_are_called_in_order_and_once() -> None:
    clock = ManualClock()
    loop = KernelLoop(clock.monotonic)
    calls: list[str] = []
    loop.call_at(clock.monotonic() + 2, lambda: calls.append("second"))
    loop.call_at(clock.monotonic() + 1, lambda: calls.append("first"))
    loop.call_at(clock.monotonic() + 1, lambda: calls.append("first, too"))
    cancelled = loop.call_at(clock.monotonic() + 1, lambda: calls.append("never"))
    cancelled.cancel()
    cancelled.cancel()

    loop.turn(may_wait=False)
    assert calls == []
    clock.advance(1)
    loop.turn(may_wait=True)
    assert calls == ["first", "first, too"]
    clock.advance(5)
    loop.turn(may_wait=True)
    loop.turn(may_wait=False)
    assert calls == ["first", "first, too", "second"]
    loop.close()


def test_a_timer_may_set_the_next_one() -> None:
    clock = ManualClock()
    loop = KernelLoop(clock.monotonic)
    calls: list[float] = []

    def tick() -> None:
        calls.append(clock.monotonic())
        if len(calls) < 3:
            loop.call_at(clock.monotonic() + 1, tick)

    loop.call_at(clock.monotonic() + 1, tick)
    for _ in range(5):
        clock.advance(1)
        loop.turn(may_wait=False)
    loop.close()

    assert len(calls) == 3


def test_a_closed_loop_can_be_woken_and_writes_to_nobody(own_directory: object) -> None:
    before = len(held_descriptors())
    loop = KernelLoop()
    loop.close()
    loop.close()
    files = [open(f"file{number}", "wb+") for number in range(3)]  # noqa: SIM115 - closed below

    loop.wake()

    assert [os.fstat(file.fileno()).st_size for file in files] == [0, 0, 0]
    for file in files:
        file.close()
    assert len(held_descriptors()) == before
