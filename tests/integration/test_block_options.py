"""What the options of an executor do to the managers and workers of its blocks."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import fanflow
from fanflow import Config, HighThroughputExecutor, python_app
from fanflow.model.jobs import JobState
from tests.leaks import wait_until

PATIENCE_S = 20.0


@contextmanager
def loaded(executor: HighThroughputExecutor) -> Iterator[HighThroughputExecutor]:
    with fanflow.load(Config(executors=[executor], strategy_period=0.1)):
        yield executor


@python_app
def square(number: int) -> int:
    return number * number


@python_app
def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_tasks_that_a_block_has_no_time_for_run_on_the_next_one() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1, drain_period=1.0)
    with loaded(executor):
        futures = [nap(0.3) for _ in range(8)]

        assert all(future.result(timeout=PATIENCE_S) for future in futures)

        assert len(executor.connected_blocks()) >= 2
        first = executor.status()["0"]
        assert first.state is JobState.COMPLETED
        assert all(future.task.tries == 1 for future in futures)


def test_a_manager_that_hangs_is_lost_after_the_heartbeat_threshold_that_was_given() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1, heartbeat_period=0.2, heartbeat_threshold=1.0)
    with loaded(executor):
        square(1).result(timeout=PATIENCE_S)
        future = nap(0.5)
        wait_until(lambda: executor.connected_managers()[0]["tasks"] == 1, PATIENCE_S)
        pid = cast("int", executor.connected_managers()[0]["process_id"])

        os.kill(pid, signal.SIGSTOP)

        wait_until(lambda: "nothing was heard of it for 1 s" in str(future.explain()), PATIENCE_S)
        assert "nothing was heard of it for 1 s" in str(future.explain())
        assert "block 0 is RUNNING since" in str(future.explain())
        assert "its managers are gone since" in str(future.explain())


def test_a_manager_holds_as_many_tasks_more_as_it_is_told() -> None:
    with loaded(HighThroughputExecutor(max_workers_per_node=1, prefetch_capacity=3)) as executor:
        square(1).result(timeout=PATIENCE_S)
        futures = [nap(0.5) for _ in range(6)]

        wait_until(lambda: executor.connected_managers()[0]["tasks"] == 4, PATIENCE_S)

        assert executor.connected_managers()[0]["tasks"] == 4
        assert "waits in a queue of 2" in str(futures[-1].explain())


@python_app
def place() -> tuple[int, str, list[int]]:
    time.sleep(0.3)
    environment = os.environ
    cores = sorted(os.sched_getaffinity(0))
    return int(environment["PARSL_WORKER_RANK"]), environment["CUDA_VISIBLE_DEVICES"], cores


def test_each_worker_has_its_own_cores_and_accelerator() -> None:
    executor = HighThroughputExecutor(
        cores_per_worker=0.5, cpu_affinity="list:0:0", available_accelerators=["left", "right"]
    )
    with loaded(executor):
        seen = [future.result(timeout=PATIENCE_S) for future in [place() for _ in range(2)]]

    assert sorted(seen) == [(0, "left", [0]), (1, "right", [0])]
