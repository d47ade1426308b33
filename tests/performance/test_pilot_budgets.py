"""The budgets of the pilot engine with wide margins: a change of kind fails, a busy machine does not."""

import gc
from collections.abc import Generator

import numpy as np
import pytest

from benchmarks import pilot_latency, pilot_memory, pilot_mixes, pilot_payloads, pilot_speed, subject
from benchmarks.clocks import TreeClock, descendants
from benchmarks.engine import Cost, engine_loaded, noop, run_one_by_one
from tests.performance.margins import MARGIN, best

ARRAY_BYTES = 20_000_000


@pytest.fixture
def clock() -> Generator[TreeClock]:
    """An engine is loaded; the clock sees its processes."""
    with engine_loaded():
        yield TreeClock(descendants())


def test_a_task_costs_the_client_and_the_other_processes_little_cpu(clock: TreeClock) -> None:
    limit = MARGIN * (pilot_speed.MOST_CLIENT_US + pilot_speed.MOST_OTHERS_US)

    def measure() -> float:
        cost = Cost(2_000, clock)
        return cost.client_us + cost.others_us

    assert best(measure, limit) < limit


def test_thousands_of_tasks_pass_through_worker_processes_every_second(clock: TreeClock) -> None:
    limit = 2_000 * MARGIN / pilot_speed.LEAST_RATE

    assert best(lambda: subject.wall_seconds(lambda: run_one_by_one(2_000)), limit) < limit


def test_many_tasks_on_worker_processes_are_as_cheap_each_as_few(clock: TreeClock) -> None:
    def measure() -> float:
        gc.collect()
        few, many = Cost(2_000, clock), Cost(20_000, clock)
        return (many.client_us + many.others_us) / (few.client_us + few.others_us)

    assert best(measure, 2.0) < 2.0


def test_a_caller_that_waits_for_each_task_waits_for_a_moment(clock: TreeClock) -> None:
    limit = MARGIN * pilot_latency.MOST_P50_MS

    def measure() -> float:
        taken = sorted(subject.wall_seconds(lambda: noop().result()) for _ in range(200))
        return taken[100] * pilot_latency.MILLI

    assert best(measure, limit) < limit


def test_sleeping_tasks_keep_both_workers_in_work(clock: TreeClock) -> None:
    limit = 1 + MARGIN * (pilot_mixes.ALLOWED_SLEEPS - 1)

    assert best(lambda: pilot_mixes.run_sleeps([pilot_mixes.SLEEP_S] * 10), limit) < limit


def test_few_long_tasks_do_not_hold_up_the_many_short_ones_behind_them(clock: TreeClock) -> None:
    limit = 1 + MARGIN * (pilot_mixes.ALLOWED_MIX - 1)

    def measure() -> float:
        return pilot_mixes.run_sleeps(pilot_mixes.mixed(1_000, 0.1, pilot_mixes.SEED))

    assert best(measure, limit) < limit


def test_a_large_array_goes_to_a_worker_and_comes_from_one_fast(clock: TreeClock) -> None:
    limit = MARGIN * ARRAY_BYTES / pilot_payloads.GIGA / pilot_payloads.LEAST_GB_PER_S
    array = np.zeros(ARRAY_BYTES // 8)

    def argument() -> float:
        return subject.wall_seconds(lambda: pilot_payloads.size_of(array).result())

    def result() -> float:
        return subject.wall_seconds(lambda: pilot_payloads.make(len(array)).result())

    assert best(argument, limit) < limit
    assert best(result, limit) < limit


def test_an_engine_starts_and_ends_fast() -> None:
    most_first, most_shutdown = pilot_latency.MOST_SECONDS_TO_RESULT, pilot_latency.MOST_SECONDS_TO_END

    def measure() -> float:
        first, shutdown = pilot_latency.one_life()
        return max(first / most_first, shutdown / most_shutdown)

    assert best(measure, MARGIN) < MARGIN


def test_a_task_that_waits_for_a_worker_process_is_small() -> None:
    bytes_per_task, _ = pilot_memory.pending_resident(20_000)

    assert bytes_per_task < 1.5 * pilot_memory.MOST_BYTES_PENDING
