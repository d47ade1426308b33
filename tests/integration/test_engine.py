"""The pilot engine's parts together: a kernel, an interchange, one manager and two workers."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanflow
from fanflow import Config, DataFlowKernel, python_app
from fanflow.errors import NoDataFlowKernelError
from tests.integration.engines import TwoWorkers, engine_of
from tests.leaks import descendants, wait_until


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkers()])) as kernel:
        yield kernel


@python_app
def add(a: int, b: int = 1) -> int:
    return a + b


@python_app
def pid() -> int:
    return os.getpid()


@python_app
def fail(text: str) -> None:
    raise ValueError(text)


@python_app
def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@python_app
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@python_app
def mark_and_sleep(mark: Path, seconds: float) -> float:
    mark.touch()
    time.sleep(seconds)
    return seconds


@python_app
def debug() -> None:
    breakpoint()  # noqa: T100


@python_app
def repeat(data: bytes, times: int) -> bytes:
    return data * times


def test_tasks_run_in_other_processes_and_depend_on_each_other(kernel: DataFlowKernel) -> None:
    total = add(0)
    for _ in range(50):
        total = add(total)

    assert total.result(timeout=30) == 51
    assert pid().result(timeout=30) != os.getpid()


def test_thousands_of_tasks_come_back_once_each(kernel: DataFlowKernel) -> None:
    futures = [add(number) for number in range(5_000)]

    assert [future.result(timeout=30) for future in futures] == list(range(1, 5_001))


def test_an_exception_comes_back_as_itself_with_its_remote_traceback(kernel: DataFlowKernel) -> None:
    future = fail("boom")

    with pytest.raises(ValueError, match="boom") as caught:
        future.result(timeout=30)

    assert any("in fail" in note for note in caught.value.__notes__)
    assert add(1).result(timeout=30) == 2


def test_a_breakpoint_in_a_worker_says_how_to_debug(kernel: DataFlowKernel) -> None:
    with pytest.raises(RuntimeError, match="no terminal; set FANFLOW_INLINE=1"):
        debug().result(timeout=30)


def test_a_payload_beyond_a_megabyte_travels_both_ways(kernel: DataFlowKernel) -> None:
    data = os.urandom(1 << 20)

    assert repeat(data, 10).result(timeout=30) == data * 10


def test_a_task_that_kills_its_worker_is_stopped_and_says_so(kernel: DataFlowKernel) -> None:
    poison, healthy = die(), [add(number) for number in range(200)]

    with pytest.raises(Exception, match="loss of worker") as caught:
        poison.result(timeout=30)

    notes = "\n".join(caught.value.__notes__)
    assert "SIGSEGV" in notes
    assert "lost 3 times" in notes
    assert [future.result(timeout=30) for future in healthy] == list(range(1, 201))


def test_a_running_task_is_killed_by_its_cancel_and_the_slot_is_used_again(kernel: DataFlowKernel) -> None:
    add(0).result(timeout=30)
    stuck = [sleep(60), sleep(60)]
    add_after = add(1)

    assert all(future.cancel() for future in stuck)

    assert add_after.result(timeout=30) == 2


def test_a_new_interchange_takes_over_when_one_is_killed(kernel: DataFlowKernel) -> None:
    add(0).result(timeout=30)
    server = engine_of(kernel).fork_server
    first = server.pids[1]

    os.kill(first, signal.SIGKILL)
    futures = [add(number) for number in range(500)]

    assert [future.result(timeout=30) for future in futures] == list(range(1, 501))
    assert first not in server.pids.values()


def test_what_runs_when_the_kernel_is_cleaned_up_ends_and_what_waits_does_not_start(
    kernel: DataFlowKernel, tmp_path: Path
) -> None:
    running = [mark_and_sleep(tmp_path / f"started {number}", 0.5) for number in range(2)]
    waiting = [mark_and_sleep(tmp_path / f"never {number}", 0.0) for number in range(20)]
    wait_until(lambda: len(list(tmp_path.glob("started *"))) == 2, 30.0)

    kernel.cleanup()

    assert [future.result(timeout=0) for future in running] == [0.5, 0.5]
    assert all(isinstance(future.exception(timeout=0), NoDataFlowKernelError) for future in waiting)
    assert list(tmp_path.glob("never *")) == []


def test_a_task_that_is_cancelled_while_the_kernel_waits_for_it_holds_it_up_no_longer(
    kernel: DataFlowKernel, tmp_path: Path
) -> None:
    stuck = mark_and_sleep(tmp_path / "started", 60.0)
    wait_until((tmp_path / "started").exists, 30.0)
    began = time.monotonic()
    cleaning = threading.Thread(target=kernel.cleanup)
    cleaning.start()
    wait_until(lambda: kernel.cleanup_called, 5.0)

    assert stuck.cancel()
    cleaning.join(9.0)

    assert time.monotonic() - began < 9.0


def test_no_process_is_left_when_the_kernel_ends(kernel: DataFlowKernel) -> None:
    add(0).result(timeout=30)
    processes = descendants()

    kernel.cleanup()

    assert len(processes) >= 5  # fork server, interchange, manager, zygote, workers
    wait_until(lambda: not any(process.is_running() for process in processes), 5.0)
    assert not any(process.is_running() for process in processes)
