"""Tasks that end their worker, and tasks that are cancelled, with thousands of others around them."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, HighThroughputExecutor, bash_app, python_app
from fanflow.errors import DependencyError, InvalidResourceSpecification, TaskExitedError
from fanflow.pilot.errors import WorkerLost
from tests.integration.engines import TwoWorkers
from tests.leaks import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="managers need Linux")

DEPENDENTS = 10_000


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkers()])) as kernel:
        add(0).result(timeout=20)
        yield kernel


@python_app
def add(number: object, other: int = 1) -> int:
    assert isinstance(number, int)
    return number + other


@python_app
def read_zero_page() -> None:
    print("on its way down", file=sys.stderr)
    ctypes.string_at(0)


@python_app
def abort() -> None:
    print("on its way down", file=sys.stderr)
    os.abort()


@python_app
def exit_at_once() -> None:
    os.write(2, b"on its way down\n")
    os._exit(41)


@python_app
def free_twice() -> None:
    print("on its way down", file=sys.stderr)
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(5000)
    libc.malloc(5000)  # else the block becomes part of what is free behind it
    libc.free(block)
    libc.free(block)


@python_app
def leave() -> None:
    sys.exit(3)


@python_app
def take_too_much() -> int:
    return len(b"x" * (600 << 20))


@bash_app
def run_greedy_command() -> list[str]:
    return [sys.executable, "-S", "-c", "import time; held = b'x' * (600 << 20); time.sleep(60)"]


@python_app
def run_for(seconds: float, mark: str) -> None:
    Path(mark).touch()
    time.sleep(seconds)


def wait_for(started: Path, gate: Path) -> str:
    started.touch()
    while not gate.exists():
        time.sleep(0.01)
    return "waited"


@pytest.mark.parametrize(
    ("app", "cause", "how", "trace"),
    [
        (read_zero_page, "signal", "SIGSEGV", "in read_zero_page"),
        (abort, "signal", "SIGABRT", "in abort"),
        (exit_at_once, "exit", "exit status 41", ""),
        (free_twice, "signal", "SIGABRT", "in free_twice"),
    ],
    ids=["segfault", "abort", "_exit", "double free"],
)
def test_a_task_that_ends_its_worker_is_tried_three_times_and_explained(
    kernel: DataFlowKernel, app: Callable[[], AppFuture[None]], cause: str, how: str, trace: str
) -> None:
    before = [add(number) for number in range(500)]
    began = time.monotonic()

    bad = app()
    after = [add(number) for number in range(500)]

    with pytest.raises(WorkerLost) as caught:
        bad.result(timeout=20)
    assert time.monotonic() - began < 5
    assert caught.value.cause == cause
    assert how in caught.value.detail
    notes = "\n".join(caught.value.__notes__)
    assert "lost 3 times" in notes
    assert "on its way down" in notes
    assert trace in notes
    assert str(bad.explain()).count(f"(cause: {how}") == 4
    assert len(notes) < 12_000
    assert [future.result(timeout=20) for future in before + after] == [*range(1, 501)] * 2


def test_a_task_whose_manager_was_killed_runs_again_and_says_which_one_it_was(
    kernel: DataFlowKernel, tmp_path: Path
) -> None:
    kernel.add_executors([HighThroughputExecutor(label="htex", max_workers_per_node=1)])
    htex = cast("HighThroughputExecutor", kernel.executors["htex"])
    gate = tmp_path / "gate"
    task = python_app(wait_for, executors=["htex"])(tmp_path / "started", gate)
    wait_until((tmp_path / "started").exists, 20.0)
    [manager] = htex.connected_managers()

    os.kill(cast("int", manager["process_id"]), signal.SIGKILL)
    gate.touch()

    assert task.result(timeout=30) == "waited"
    assert f"ManagerLost: Task failure due to loss of manager {manager['manager']} on host" in str(
        task.explain()
    )


def test_sys_exit_ends_its_own_task_only(kernel: DataFlowKernel) -> None:
    with pytest.raises(TaskExitedError, match="SystemExit"):
        leave().result(timeout=20)

    assert add(5).result(timeout=20) == 6


def test_a_task_above_its_memory_limit_is_told_limit_and_peak(kernel: DataFlowKernel) -> None:
    others = [add(number) for number in range(500)]

    bad = take_too_much(parsl_resource_specification={"memory": 200})

    with pytest.raises(WorkerLost) as caught:
        bad.result(timeout=20)
    assert caught.value.cause == "memory"
    assert "its limit is 200 MiB" in caught.value.detail
    assert "its peak was" in caught.value.detail
    assert [future.result(timeout=20) for future in others] == [*range(1, 501)]


def test_a_command_above_its_memory_limit_ends_like_a_function(kernel: DataFlowKernel) -> None:
    bad = run_greedy_command(parsl_resource_specification={"memory": 200})

    with pytest.raises(WorkerLost) as caught:
        bad.result(timeout=20)

    assert caught.value.cause == "memory"
    assert add(1).result(timeout=20) == 2


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ({"memory": "200"}, "memory must be a number of MB above 0, such as 500, not '200'"),
        ({"memory": 0}, "memory must be a number"),
        ({"memory": float("nan")}, "memory must be a number"),
        ({"memory": True}, "memory must be a number"),
        ({"priority": 1.5, "memory": 100}, "priority must be an int"),
        ({"cores": 2}, "only 'priority', an int, and 'memory', a limit in MB"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused_by_name(
    kernel: DataFlowKernel, specification: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidResourceSpecification) as caught:
        take_too_much(parsl_resource_specification=specification).result(timeout=20)

    assert said in str(caught.value)


@pytest.mark.parametrize("state", ["pending", "queued", "running"])
def test_ten_thousand_dependents_end_within_a_second_of_a_cancel(
    kernel: DataFlowKernel, tmp_path: Path, state: str
) -> None:
    victim, blockers = make_victim(state, tmp_path)
    dependents = [add(victim) for _ in range(DEPENDENTS)]
    began = time.monotonic()

    assert victim.cancel()
    errors = [future.exception(timeout=20) for future in dependents]

    assert time.monotonic() - began < 1
    assert {type(error) for error in errors} == {DependencyError}
    for blocker in blockers:
        assert blocker.cancel()
    assert add(1).result(timeout=20) == 2
    assert not (tmp_path / "victim").exists() or state == "running"


def make_victim(state: str, folder: Path) -> tuple[AppFuture[None], list[AppFuture[None]]]:
    """A task in this state, and the tasks that keep it there."""
    if state == "running":
        victim = run_for(60, str(folder / "victim"))
        wait_until((folder / "victim").exists, 10)
        return victim, []
    marks = [folder / f"blocker-{number}" for number in range(2)]
    blockers = [run_for(60, str(mark)) for mark in marks]
    wait_until(lambda: all(mark.exists() for mark in marks), 10)
    waits_for = {"inputs": [blockers[0]]} if state == "pending" else {}
    return run_after(60, str(folder / "victim"), **waits_for), blockers


@python_app
def run_after(seconds: float, mark: str, inputs: tuple[object, ...] = ()) -> None:
    Path(mark).touch()
    time.sleep(seconds)
