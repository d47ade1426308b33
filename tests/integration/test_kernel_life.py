"""Kernels begin as they should: one by default, several if wanted, each with a directory."""

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

import fanflow
from fanflow import python_app
from fanflow.errors import (
    ConfigurationError,
    NoDataFlowKernelError,
)
from fanflow.testing import ScriptedExecutorSpec
from tests.integration.kernels import PATIENCE_S, Door, give, loaded, two_threads


def test_a_second_load_is_refused_and_the_first_goes_on(kernel: fanflow.DataFlowKernel) -> None:
    with pytest.raises(ConfigurationError, match=r"already been loaded.*cleanup"):
        fanflow.load(two_threads())

    assert fanflow.dfk() is kernel
    assert give(1).result(PATIENCE_S) == 1


def test_without_a_load_there_is_no_kernel() -> None:
    with pytest.raises(NoDataFlowKernelError, match="Must first load config"):
        fanflow.dfk()
    with pytest.raises(NoDataFlowKernelError, match="Must first load config"):
        fanflow.wait_for_current_tasks()


def test_clear_forgets_the_kernel_without_ending_it() -> None:
    first = fanflow.load(two_threads())
    fanflow.clear()
    with loaded() as second:
        assert fanflow.dfk() is second
        assert give(1).result(PATIENCE_S) == 1
        assert first.task_count == 0
        assert python_app(give.func, data_flow_kernel=first)(2).result(PATIENCE_S) == 2
        first.cleanup()
        assert fanflow.dfk() is second


def test_calling_an_app_with_nothing_loaded_starts_the_embedded_default() -> None:
    try:
        assert give(1).result(PATIENCE_S) == 1
        assert fanflow.dfk().is_embedded
    finally:
        fanflow.dfk().cleanup()


def test_a_config_may_be_used_twice_and_changed_in_between() -> None:
    config = two_threads(retries=1)
    attempts: list[None] = []

    def fail() -> None:
        attempts.append(None)
        raise ValueError("boom")

    for retries in (1, 3):
        config.retries = retries
        with fanflow.load(config) as kernel:
            config.retries = 9  # has no effect on what runs
            attempts.clear()
            python_app(fail)().exception(PATIENCE_S)
            assert len(attempts) == 1 + retries
        assert kernel.run_dir.endswith(f"{0 if retries == 1 else 1:03}")


def test_several_kernels_run_side_by_side(kernel: fanflow.DataFlowKernel) -> None:
    with fanflow.DataFlowKernel(two_threads("other")) as other:
        app = python_app(threading.get_ident, data_flow_kernel=other)

        assert app().result(PATIENCE_S) != threading.get_ident()
        assert other.task_count == 1
        assert kernel.task_count == 0
        assert other.run_id != kernel.run_id
        assert other.run_dir != kernel.run_dir


def test_an_executor_that_cannot_start_leaves_nothing_behind() -> None:
    class Broken(ScriptedExecutorSpec):
        def build(self, context: object) -> object:  # type: ignore[override]
            executor = super().build(context)  # type: ignore[arg-type]
            executor.start = self.refuse  # type: ignore[method-assign]
            return executor

        def refuse(self, *args: object) -> None:
            raise ConfigurationError("no such machine")

    good = ScriptedExecutorSpec("good")
    with pytest.raises(ConfigurationError, match="no such machine"):
        fanflow.load(fanflow.Config(executors=[good, Broken("broken")]))

    assert good.executor.is_closed
    with loaded():
        assert give(1).result(PATIENCE_S) == 1


def test_executors_can_be_added(kernel: fanflow.DataFlowKernel) -> None:
    spec = ScriptedExecutorSpec("more")
    kernel.add_executors([spec])

    task = python_app(give.func, executors=["more"])(1)
    (launch,) = spec.executor.wait_for_launches(1)
    spec.executor.finish(launch.attempt, 5)

    assert task.result(PATIENCE_S) == 5
    assert set(kernel.executors) == {"threads", "more", "_parsl_internal"}
    with pytest.raises(ConfigurationError, match=r"unique labels.*'more'"):
        kernel.add_executors([ScriptedExecutorSpec("more")])


def test_the_run_directory_is_private_and_numbered(own_directory: Path) -> None:
    with loaded() as first:
        give(1).result(PATIENCE_S)
    with loaded() as second:
        pass

    assert first.run_dir == str(own_directory / "runinfo" / "000")
    assert second.run_dir == str(own_directory / "runinfo" / "001")
    assert stat.S_IMODE(os.stat(first.run_dir).st_mode) == 0o700
    assert sorted(os.listdir(first.run_dir)) == ["fanflow.log"]


def test_waiting_for_current_tasks_covers_those_submitted_before_and_no_later_ones(
    kernel: fanflow.DataFlowKernel,
) -> None:
    with Door() as early, Door() as late:
        first = python_app(early.pass_through)()
        early.wait_for(1)
        waited = threading.Event()

        def wait() -> None:
            kernel.wait_for_current_tasks()
            waited.set()

        waiter = threading.Thread(target=wait)
        kernel.kernel.post_all([])
        waiter.start()
        assert not waited.wait(0.05)
        second = python_app(late.pass_through)()
        late.wait_for(1)
        early.open()

        assert waited.wait(PATIENCE_S)
        assert first.done()
        assert not second.done()
        waiter.join(PATIENCE_S)


def test_waiting_covers_failures_and_returns_at_once_when_nothing_is_open(
    kernel: fanflow.DataFlowKernel,
) -> None:
    kernel.wait_for_current_tasks()

    def fail() -> None:
        raise ValueError("boom")

    bad = python_app(fail)()
    after = give(bad)
    kernel.wait_for_current_tasks()

    assert bad.done()
    assert after.done()


def test_the_log_has_no_line_per_task(
    kernel: fanflow.DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("boom")

    app = python_app(fail)
    with caplog.at_level(logging.INFO, "fanflow"):  # left before the kernel puts its own level back
        futures = [give(app()) for _ in range(300)] + [give(number) for number in range(300)]
        kernel.wait_for_current_tasks()
    kernel.cleanup()

    assert len(futures) == 600
    assert len(caplog.records) < 10
    log = Path(kernel.run_dir, "fanflow.log").read_text(encoding="utf-8")
    assert "300 exec_done, 300 failed, 300 dep_fail" in log
    assert len(log.splitlines()) < 15
