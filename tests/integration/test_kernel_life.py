"""Kernels begin and end cleanly, whatever happens in between."""

import gc
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import fanflow
from fanflow import python_app
from fanflow.errors import (
    ConfigurationError,
    NoDataFlowKernelError,
    WaitInCallbackError,
)
from fanflow.runtime import kernel as kernel_module
from fanflow.testing import ScriptedExecutorSpec
from tests.integration.kernels import PATIENCE_S, Door, loaded
from tests.leaks import held_descriptors, held_threads


@pytest.fixture
def kernel() -> Iterator[fanflow.DataFlowKernel]:
    with loaded() as running:
        yield running


@python_app
def give(value: object) -> object:
    return value


def two_threads(label: str = "threads", **options: object) -> fanflow.Config:
    return fanflow.Config(executors=[fanflow.ThreadPoolExecutor(label)], **options)  # type: ignore[arg-type]


# -- loading ----------------------------------------------------------------------------------------


def test_a_second_load_is_refused_and_the_first_goes_on(kernel: fanflow.DataFlowKernel) -> None:
    with pytest.raises(ConfigurationError, match="already been loaded.*cleanup"):
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


# -- the end ----------------------------------------------------------------------------------------


def test_cleanup_twice_and_from_many_threads_is_one_cleanup(kernel: fanflow.DataFlowKernel) -> None:
    give(1).result(PATIENCE_S)
    threads = [threading.Thread(target=kernel.cleanup) for _ in range(4)]
    for thread in threads:
        thread.start()
    kernel.cleanup()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert kernel.cleanup_called
    log = Path(kernel.run_dir, "fanflow.log").read_text(encoding="utf-8")
    assert log.count(" ended; ") == 1


def test_after_cleanup_calls_are_refused_by_name(kernel: fanflow.DataFlowKernel) -> None:
    kernel.cleanup()

    app = python_app(give.func, data_flow_kernel=kernel)
    with pytest.raises(NoDataFlowKernelError, match="Cannot submit to a DFK that has been cleaned up.*give"):
        app(1)
    with pytest.raises(NoDataFlowKernelError, match="cleaned up"):
        kernel.submit(give.func, [1])
    with pytest.raises(NoDataFlowKernelError, match="closed"):
        kernel.add_executors([ScriptedExecutorSpec("late")])
    kernel.wait_for_current_tasks()


def test_futures_of_a_cleaned_up_kernel_are_plain_values(kernel: fanflow.DataFlowKernel) -> None:
    def fail() -> None:
        raise ValueError("boom")

    good, bad = give([1, {"k": 2}]), python_app(fail)()
    kernel.wait_for_current_tasks()
    kernel.cleanup()

    assert good.result(0) == [1, {"k": 2}]
    assert good[1]["k"].result(0) == 2
    assert isinstance(good[7].exception(0), IndexError)
    assert isinstance(bad[0].exception(0), ValueError)
    assert not good.cancel()
    called: list[object] = []
    good.add_done_callback(called.append)
    assert called == [good]
    assert "exec_done" in str(good.explain())
    assert "ValueError: boom" in str(bad.explain())


def test_cleanup_ends_what_waits_and_what_is_queued_and_lets_run_what_runs() -> None:
    with loaded(threads=1) as kernel, Door() as door:
        running = python_app(door.pass_through)(1)
        door.wait_for(1)
        queued = give(2)
        waiting, joined = give(queued), give(Future())
        cleaning = threading.Thread(target=kernel.cleanup)
        cleaning.start()
        assert isinstance(joined.exception(PATIENCE_S), NoDataFlowKernelError)
        assert isinstance(waiting.exception(PATIENCE_S), NoDataFlowKernelError)
        assert isinstance(queued.exception(PATIENCE_S), NoDataFlowKernelError)
        door.open()
        cleaning.join(PATIENCE_S)

    assert running.result(0) == 1
    assert "had not" in str(queued.exception(0))
    assert "exit_mode='wait'" in str(queued.exception(0))


def test_cleanup_is_bounded_when_a_task_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "_CLOSE_EXECUTORS_S", 0.2)
    with loaded() as kernel, Door() as door:
        stuck = python_app(door.pass_through)()
        door.wait_for(1)
        began = time.monotonic()
        kernel.cleanup()

        assert time.monotonic() - began < 5
        assert isinstance(stuck.exception(0), NoDataFlowKernelError)
        assert sum(kernel.task_state_counts.values()) == 1


def test_cleanup_is_bounded_when_a_callback_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "_CLOSE_THREAD_S", 0.2)
    with Door() as door:
        with loaded() as kernel:
            give(1).add_done_callback(lambda _: door.pass_through())
            door.wait_for(1)
            began = time.monotonic()
            kernel.cleanup()

            assert time.monotonic() - began < 5
        door.open()
        kernel.kernel._thread.join(PATIENCE_S)
        kernel.kernel.loop.close()


def test_cleanup_in_a_callback_is_refused_and_changes_nothing(kernel: fanflow.DataFlowKernel) -> None:
    told: "Future[BaseException]" = Future()

    def clean_up(_: object) -> None:
        try:
            kernel.cleanup()
        except BaseException as error:  # noqa: BLE001
            told.set_result(error)

    give(1).add_done_callback(clean_up)

    assert isinstance(told.result(PATIENCE_S), WaitInCallbackError)
    assert not kernel.cleanup_called
    assert fanflow.dfk() is kernel
    assert give(2).result(PATIENCE_S) == 2


def test_a_task_may_clean_up_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "_CLOSE_EXECUTORS_S", 0.2)
    with loaded() as kernel:
        task = python_app(kernel.cleanup)()

        assert isinstance(task.exception(PATIENCE_S), NoDataFlowKernelError)
        assert kernel.kernel.is_closed


def test_50_kernels_leave_no_threads_and_no_descriptors() -> None:
    def one() -> None:
        with loaded():
            assert give(1).result(PATIENCE_S) == 1

    one()
    gc.collect()
    threads, descriptors = len(held_threads()), len(held_descriptors())
    for _ in range(50):
        one()

    gc.collect()
    assert len(held_threads()) <= threads
    assert len(held_descriptors()) <= descriptors


def test_a_kernel_is_freed_when_nobody_holds_its_futures() -> None:
    import weakref

    with loaded() as kernel:
        give(1).result(PATIENCE_S)
    inner = weakref.ref(kernel.kernel)
    del kernel
    gc.collect()

    assert inner() is None


@pytest.mark.parametrize(("mode", "ends"), [("cleanup", "failed"), ("skip", None), ("wait", "exec_done")])
def test_leaving_a_with_block_does_what_the_exit_mode_says(mode: str, ends: str | None) -> None:
    door = Door()
    opener = threading.Timer(0.05, door.open)
    with fanflow.load(two_threads(exit_mode=mode)) as kernel:
        running = [python_app(door.pass_through)() for _ in range(2)]
        door.wait_for(2)
        queued = give(1)
        opener.start()
    opener.join()

    assert kernel.cleanup_called == (mode != "skip")
    if mode == "skip":
        assert queued.result(PATIENCE_S) == 1
        kernel.cleanup()
    else:
        assert queued.task_status() == ends
    assert [future.result(PATIENCE_S) for future in running] == [None, None]


def test_an_exception_in_a_with_block_does_not_wait_for_tasks() -> None:
    never: Future[object] = Future()

    with pytest.raises(KeyError), fanflow.load(two_threads(exit_mode="wait")):
        waiting = give(never)
        raise KeyError("the program's own")

    assert isinstance(waiting.exception(0), NoDataFlowKernelError)


def test_ctrl_c_in_a_with_block_cancels(kernel: fanflow.DataFlowKernel) -> None:
    kernel.cleanup()
    with pytest.raises(KeyboardInterrupt), fanflow.load(two_threads(exit_mode="wait")):
        waiting = give(Future())
        after = give(waiting)
        raise KeyboardInterrupt

    assert waiting.cancelled()
    assert after.cancelled()


def test_with_exit_mode_wait_tasks_that_callbacks_submit_are_waited_for() -> None:
    results: list[object] = []

    def submit_next(future: "Future[object]") -> None:
        results.append(future.result())
        if len(results) < 5:
            give(len(results)).add_done_callback(submit_next)

    with fanflow.load(two_threads(exit_mode="wait")):
        give(0).add_done_callback(submit_next)

    assert results == [0, 1, 2, 3, 4]


# -- waiting ----------------------------------------------------------------------------------------


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


# -- callbacks --------------------------------------------------------------------------------------


def test_callbacks_run_in_the_kernel_thread_in_order(kernel: fanflow.DataFlowKernel) -> None:
    where: list[str] = []
    done: "Future[None]" = Future()
    with Door() as door:
        task = python_app(door.pass_through)()
        for _ in range(3):
            task.add_done_callback(lambda _: where.append(threading.current_thread().name))
        task.add_done_callback(lambda _: done.set_result(None))

    done.result(PATIENCE_S)
    assert where == ["fanflow-kernel"] * 3


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_callback_raises_is_logged_and_harms_nobody(
    error: BaseException, kernel: fanflow.DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    later: "Future[None]" = Future()

    def fail(_: object) -> None:
        raise error

    with Door() as door:
        task = python_app(door.pass_through)()
        task.add_done_callback(fail)
        task.add_done_callback(lambda _: later.set_result(None))

    later.result(PATIENCE_S)
    assert give(1).result(PATIENCE_S) == 1
    assert "a done-callback of <AppFuture of task 0" in caplog.text


def test_waiting_in_a_callback_is_an_error_that_names_the_task(kernel: fanflow.DataFlowKernel) -> None:
    never = give(Future())
    waits = [
        lambda: never.result(),
        lambda: never.exception(timeout=5),
        kernel.wait_for_current_tasks,
        lambda: fanflow.wait([never]),
        lambda: kernel.add_executors([ScriptedExecutorSpec("more")]),
        lambda: make_file(never, outputs=[fanflow.File("x")]).outputs[0].result(),
    ]
    told: "Future[list[BaseException]]" = Future()

    def try_all(_: object) -> None:
        errors: list[BaseException] = []
        for wait in waits:
            try:
                wait()
            except BaseException as error:  # noqa: BLE001
                errors.append(error)
        told.set_result(errors)

    give(1).add_done_callback(try_all)
    errors = told.result(PATIENCE_S)

    assert [type(error) for error in errors] == [WaitInCallbackError] * len(waits)
    assert "task 0 (give)" in str(errors[0])
    assert never.cancel()


@python_app
def make_file(after: object, outputs: list[fanflow.File]) -> None: ...


def test_a_callback_may_read_futures_that_are_done_and_call_apps(kernel: fanflow.DataFlowKernel) -> None:
    first = give(1)
    told: "Future[object]" = Future()
    first.add_done_callback(lambda future: told.set_result((future.result(), give(2))))

    value, second = told.result(PATIENCE_S)  # type: ignore[misc]

    assert value == 1
    assert second.result(PATIENCE_S) == 2


def test_slow_callbacks_are_named_once_in_a_while(
    kernel: fanflow.DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list["Future[None]"] = [Future(), Future()]
    for done in ended:

        def be_slow(_: object, done: "Future[None]" = done) -> None:
            end = time.monotonic() + 0.06
            while time.monotonic() < end:
                pass
            done.set_result(None)

        with Door() as door:
            python_app(door.pass_through)().add_done_callback(be_slow)
        done.result(PATIENCE_S)
    kernel.cleanup()

    warnings = {record.message for record in caplog.records if "done-callback of" in record.message}
    assert len(warnings) == 1
    assert "<AppFuture of task 0" in warnings.pop()


# -- the log ----------------------------------------------------------------------------------------


def test_the_log_has_no_line_per_task(
    kernel: fanflow.DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fanflow")

    def fail() -> None:
        raise ValueError("boom")

    app = python_app(fail)
    futures = [give(app()) for _ in range(300)] + [give(number) for number in range(300)]
    kernel.wait_for_current_tasks()
    kernel.cleanup()

    assert len(futures) == 600
    assert len(caplog.records) < 10
    log = Path(kernel.run_dir, "fanflow.log").read_text(encoding="utf-8")
    assert "300 exec_done, 300 failed, 300 dep_fail" in log
    assert len(log.splitlines()) < 15
