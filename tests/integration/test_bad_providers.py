"""Providers that are slow, or fail at what they are asked: nothing hangs, and no job is left."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import fanflow
from fanflow import Config, HighThroughputExecutor, python_app
from fanflow.model.jobs import JobState, JobStatus
from fanflow.providers import ExecutionProvider, LocalProvider
from tests.leaks import wait_until

PATIENCE_S = 20.0


@python_app
def square(number: int) -> int:
    return number * number


class Odd(ExecutionProvider):
    """Runs jobs on this machine; what happens before each kind of command is the test's business.

    Args:
        before: Kind of command -> called before it is followed.
    """

    label = "odd"
    status_polling_interval = 0.1  # type: ignore[assignment]  # so that tests are short

    def __init__(self, **before: Callable[[], object]) -> None:
        self.local = LocalProvider()
        self.before = before
        self.asked = {"submit": 0, "status": 0, "cancel": 0}
        self.pids: list[int] = []

    def _come(self, command: str) -> None:
        self.asked[command] += 1
        if command in self.before:
            self.before[command]()

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> object:
        self._come("submit")
        self.local.script_dir = self.script_dir
        job = self.local.submit(command, tasks_per_node, job_name)
        self.pids.append(int(job))
        return job

    def status(self, job_ids: list[object]) -> list[JobStatus]:
        self._come("status")
        return self.local.status(job_ids)

    def cancel(self, job_ids: list[object]) -> list[bool]:
        self._come("cancel")
        return self.local.cancel(job_ids)

    def runs(self) -> bool:
        """Whether any of its jobs does."""
        return any(psutil.pid_exists(pid) for pid in self.pids)


def executor_with(provider: Odd) -> HighThroughputExecutor:
    return HighThroughputExecutor(max_workers_per_node=1, provider=provider, address="127.0.0.1")


def broken() -> None:
    raise OSError("slurmctld does not answer")


def test_a_job_that_is_being_submitted_when_the_executor_ends_is_cancelled() -> None:
    entered, leaves = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leaves.wait(PATIENCE_S)

    provider = Odd(submit=hang)
    kernel = fanflow.load(Config(executors=[executor_with(provider)]))
    entered.wait(PATIENCE_S)
    closing = threading.Thread(target=kernel.cleanup)
    closing.start()
    wait_until(lambda: kernel.kernel.is_closed, PATIENCE_S)

    leaves.set()
    closing.join(PATIENCE_S)

    assert len(provider.pids) == 1
    assert provider.asked["cancel"] == 1
    assert not provider.runs()


def test_a_job_of_which_the_kernel_thread_has_not_heard_yet_is_cancelled() -> None:
    provider = Odd()
    executor = executor_with(provider)
    provider.init_blocks = 0
    kernel = fanflow.load(Config(executors=[executor], strategy="none"))
    has_come, leaves = threading.Event(), threading.Event()

    def keep_it_busy() -> None:
        executor.engine.blocks.scale_out(1)  # type: ignore[attr-defined]  # they are Blocks
        has_come.set()
        leaves.wait(PATIENCE_S)

    executor.engine.mailbox.post(keep_it_busy)
    has_come.wait(PATIENCE_S)
    closing = threading.Thread(target=kernel.cleanup)
    closing.start()
    wait_until(lambda: executor.engine.is_closed, PATIENCE_S)
    wait_until(lambda: bool(provider.pids), PATIENCE_S)

    leaves.set()
    closing.join(PATIENCE_S)

    assert not provider.runs()


def test_a_slow_look_at_jobs_is_not_repeated_before_it_has_ended_and_holds_up_no_end() -> None:
    provider = Odd(status=lambda: time.sleep(1.0))
    with fanflow.load(Config(executors=[executor_with(provider)])):
        assert square(2).result(timeout=PATIENCE_S) == 4
        wait_until(lambda: provider.asked["status"] >= 3, PATIENCE_S)
        start = time.monotonic()

    assert time.monotonic() - start < 5.0
    assert not provider.runs()


def test_a_provider_that_cannot_say_how_its_jobs_are_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    provider = Odd(status=broken)
    executor = executor_with(provider)
    with fanflow.load(Config(executors=[executor])):
        wait_until(lambda: provider.asked["status"] >= 3, PATIENCE_S)

        assert square(3).result(timeout=PATIENCE_S) == 9
        assert [one.state for one in executor.status().values()] == [JobState.RUNNING]

    told = [record for record in caplog.records if "slurmctld does not answer" in record.getMessage()]
    assert len(told) == 1
    assert told[0].levelno == logging.WARNING


def test_jobs_that_cannot_be_cancelled_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    provider = Odd(cancel=broken)
    with fanflow.load(Config(executors=[executor_with(provider)])):
        assert square(4).result(timeout=PATIENCE_S) == 16

    assert f"jobs {provider.pids[0]} could not be cancelled: " in caplog.text
    assert "slurmctld does not answer" in caplog.text
    wait_until(lambda: not provider.runs() or is_zombie(provider.pids[0]), PATIENCE_S)
    provider.local.cancel(list(map(str, provider.pids)))  # collects what has ended by itself


def is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_keys_of_blocks_are_gone_when_the_executor_is() -> None:
    executor = executor_with(Odd())
    with fanflow.load(Config(executors=[executor])):
        square(1).result(timeout=PATIENCE_S)
        directory = Path(executor.run_dir, executor.label, "keys")
        assert len(list(directory.iterdir())) == 1

    assert not directory.exists()
