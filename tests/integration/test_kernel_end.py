"""Kernels end cleanly, whatever is open then."""

import gc
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

import fanflow
from fanflow import python_app
from fanflow.errors import (
    NoDataFlowKernelError,
    WaitInCallbackError,
)
from fanflow.runtime import kernel as kernel_module
from fanflow.testing import ScriptedExecutorSpec
from tests.integration.kernels import PATIENCE_S, Door, give, loaded, two_threads
from tests.leaks import held_descriptors, held_threads


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


def test_a_later_thread_is_not_taken_for_the_kernel_thread(kernel: fanflow.DataFlowKernel) -> None:
    kernel.cleanup()
    taken: list[bool] = []

    for _ in range(50):  # some of them get the number that the kernel thread had
        thread = threading.Thread(target=lambda: taken.append(kernel.kernel.in_kernel_thread()))
        thread.start()
        thread.join(PATIENCE_S)

    assert taken == [False] * 50


def test_after_cleanup_calls_are_refused_by_name(kernel: fanflow.DataFlowKernel) -> None:
    kernel.cleanup()

    app = python_app(give.func, data_flow_kernel=kernel)
    with pytest.raises(NoDataFlowKernelError, match=r"Cannot submit to a DFK that has been cleaned up.*give"):
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
            with Door() as first:
                python_app(first.pass_through)().add_done_callback(lambda _: door.pass_through())
            door.wait_for(1)
            began = time.monotonic()
            kernel.cleanup()

            assert time.monotonic() - began < 5
        door.open()
        kernel.kernel._thread.join(PATIENCE_S)
        kernel.kernel.loop.close()


def test_cleanup_in_a_callback_is_refused_and_changes_nothing(kernel: fanflow.DataFlowKernel) -> None:
    told: Future[BaseException] = Future()

    def clean_up(_: object) -> None:
        try:
            kernel.cleanup()
        except BaseException as error:  # noqa: BLE001
            told.set_result(error)

    with Door() as door:
        python_app(door.pass_through)().add_done_callback(clean_up)

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

    with pytest.raises(KeyError), fanflow.load(two_threads(exit_mode="wait")):  # noqa: PT012
        waiting = give(never)
        raise KeyError("the program's own")

    assert isinstance(waiting.exception(0), NoDataFlowKernelError)


def test_ctrl_c_in_a_with_block_cancels(kernel: fanflow.DataFlowKernel) -> None:
    kernel.cleanup()
    with pytest.raises(KeyboardInterrupt), fanflow.load(two_threads(exit_mode="wait")):  # noqa: PT012
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
