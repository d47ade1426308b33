"""The budgets of `benchmarks/` with wide margins: a change of kind fails, a busy machine does not."""

import concurrent.futures
import gc
import tracemalloc

import pytest

import fanflow
from benchmarks import chains, cpu, fan_in, imports, memory, subject, throughput
from benchmarks.harness import Settings, growth_exponent, interleave
from fanflow.errors import DependencyError
from tests.performance.margins import MARGIN, best


def test_a_task_costs_little_more_cpu_than_on_a_bare_pool() -> None:
    limit = MARGIN * cpu.ALLOWED

    def measure() -> float:
        ours, bare = interleave(
            2,
            lambda: subject.cpu_seconds(lambda: subject.run_kept(2_000)),
            lambda: subject.cpu_seconds(lambda: subject.run_bare(pool, 2_000)),
        )
        return ours.least / bare.least

    with subject.loaded(), concurrent.futures.ThreadPoolExecutor(subject.THREADS) as pool:
        assert best(measure, limit) < limit


def test_thousands_of_tasks_pass_every_second() -> None:
    limit = 2_000 * MARGIN / throughput.LEAST_RATE

    with subject.loaded():
        assert best(lambda: subject.wall_seconds(lambda: subject.run_kept(2_000)), limit) < limit


def test_many_tasks_are_as_cheap_each_as_few() -> None:
    def measure() -> float:
        few, many = interleave(
            2,
            lambda: subject.cpu_seconds(lambda: subject.repeat(10, subject.run_kept, 1_500)),
            lambda: subject.cpu_seconds(lambda: subject.run_kept(15_000)),
        )
        return many.least / few.least

    with subject.loaded():
        assert best(measure, 2.0) < 2.0


def test_a_chain_passes_thousands_of_links_every_second() -> None:
    limit = 1_000 * MARGIN / chains.LEAST_LINKS_PER_SECOND

    with subject.loaded():
        assert best(lambda: subject.wall_seconds(lambda: chains.run_chain(1_000)), limit) < limit


def test_a_failure_reaches_the_end_of_a_long_chain_with_a_short_text() -> None:
    with subject.loaded():
        failure = chains.Failure.of(20_000)

    assert failure.seconds < chains.MOST_SECONDS_TO_FAIL
    assert failure.text_length < chains.LONGEST_TEXT


def test_a_long_failed_chain_can_be_dropped() -> None:
    gate: concurrent.futures.Future[int] = concurrent.futures.Future()
    with subject.loaded():
        last = chains.extend(subject.fails_after(gate), 20_000)
        gate.set_result(0)
        error = last.exception(chains.WAIT_SECONDS)
        del last
    is_the_documented_one = isinstance(error, DependencyError)

    del error
    gc.collect()

    assert is_the_documented_one


@pytest.mark.parametrize("join", [fan_in.as_inputs, fan_in.as_arguments])
def test_a_task_with_thousands_of_dependencies_takes_a_moment(join: fan_in.Join) -> None:
    limit = MARGIN * fan_in.MOST_SECONDS

    with subject.loaded():
        assert best(lambda: fan_in.run_tasks(fan_in.WIDTH, join), limit) < limit


def test_the_cost_of_dependencies_grows_with_their_number_only() -> None:
    def measure() -> float:
        taken = interleave(
            2, *(lambda width=width: fan_in.run_foreign(width, fan_in.as_inputs) for width in fan_in.WIDTHS)
        )
        return growth_exponent(fan_in.WIDTHS, [samples.least for samples in taken])

    with subject.loaded():
        assert best(measure, 1.6) < 1.6


def test_a_waiting_task_is_small() -> None:
    (bytes_per_task,) = memory.waiting_traced(5_000)

    assert bytes_per_task < 1.25 * memory.MOST_BYTES_WAITING


def test_nothing_is_kept_of_a_finished_task_whose_future_is_dropped() -> None:
    kept_bytes, kept_objects = memory.finished_traced(2_000, 10_000)

    assert kept_bytes < memory.MOST_BYTES_KEPT
    assert kept_objects <= memory.MOST_OBJECTS_KEPT


def test_a_limit_on_pending_tasks_bounds_memory() -> None:
    limit = 500
    with subject.loaded(max_pending=limit):
        subject.noop().result()
        with memory.tracing():
            for _ in range(10_000):
                subject.noop()
            fanflow.wait_for_current_tasks()
            _, peak = tracemalloc.get_traced_memory()

    assert peak < limit * MARGIN * memory.MOST_BYTES_WAITING


def test_import_loads_little_and_fast() -> None:
    modules: set[float] = set()

    def measure() -> float:
        milliseconds, ours, _ = imports.import_time(Settings(quick=True, repeat=2))
        modules.add(ours.value)
        return milliseconds.value

    limit = MARGIN * imports.MOST_MILLISECONDS
    assert best(measure, limit) < limit
    assert max(modules) < imports.MOST_MODULES
