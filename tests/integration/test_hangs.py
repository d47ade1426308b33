"""Tasks that never end: their walltime and their cancellation are enforced, whatever they are stuck in."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import fanflow
from fanflow import AppFuture, Config, DataFlowKernel, python_app
from fanflow.errors import AppTimeout
from tests.integration.engines import TwoWorkers
from tests.integration.hanging_apps import BASH_FORMS, PROCESSES, PYTHON_FORMS
from tests.leaks import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="managers need Linux")

WALLTIME = 0.6
HangingApp = Callable[..., AppFuture[object]]


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkers()])) as kernel:
        pid().result(timeout=20)
        yield kernel


@python_app
def pid(pause: float = 0.0) -> int:
    import os  # the worker's

    time.sleep(pause)
    return os.getpid()


def name_of(app: object) -> str:
    return str(getattr(app, "__name__", app))


def processes_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def see_it_run(app: object, path: Path) -> list[int]:
    """The processes of a hanging task, when all of them are there."""
    count = PROCESSES.get(name_of(app), 1)
    wait_until(lambda: len(processes_in(path)) >= count, 10)
    pids = processes_in(path)
    assert len(pids) == count
    return pids


def see_them_end(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), 5)
    assert not [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def see_both_workers_take_tasks() -> None:
    pids = {future.result(timeout=20) for future in [pid(0.05) for _ in range(12)]}
    assert len(pids) == 2


@pytest.mark.parametrize("app", PYTHON_FORMS + BASH_FORMS, ids=name_of)
def test_a_task_that_hangs_ends_at_its_walltime_with_all_its_processes(
    kernel: DataFlowKernel, app: HangingApp, tmp_path: Path
) -> None:
    path = tmp_path / "pids"
    began = time.monotonic()

    future = app(str(path), walltime=WALLTIME)
    others = [pid(0.05) for _ in range(5)]
    pids = see_it_run(app, path)

    with pytest.raises(AppTimeout):
        future.result(timeout=20)
    assert WALLTIME <= time.monotonic() - began < WALLTIME + 2
    see_them_end(pids)
    assert len({other.result(timeout=20) for other in others}) == 1
    see_both_workers_take_tasks()


@pytest.mark.parametrize("app", PYTHON_FORMS + BASH_FORMS, ids=name_of)
def test_a_task_that_hangs_ends_when_it_is_cancelled_with_all_its_processes(
    kernel: DataFlowKernel, app: HangingApp, tmp_path: Path
) -> None:
    path = tmp_path / "pids"
    future = app(str(path))
    pids = see_it_run(app, path)
    began = time.monotonic()

    assert future.cancel()

    see_them_end(pids)
    assert time.monotonic() - began < 2 + 5
    see_both_workers_take_tasks()
