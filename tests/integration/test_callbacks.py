"""Done-callbacks run in the kernel thread and cannot harm it."""

import threading
import time
from concurrent.futures import Future

import pytest

import fanflow
from fanflow import python_app
from fanflow.errors import (
    WaitInCallbackError,
)
from fanflow.testing import ScriptedExecutorSpec
from tests.integration.kernels import PATIENCE_S, Door, give


def test_callbacks_run_in_the_kernel_thread_in_order(kernel: fanflow.DataFlowKernel) -> None:
    where: list[str] = []
    done: Future[None] = Future()
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
    later: Future[None] = Future()

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
        never.result,
        lambda: never.exception(timeout=5),
        kernel.wait_for_current_tasks,
        lambda: fanflow.wait([never]),
        lambda: kernel.add_executors([ScriptedExecutorSpec("more")]),
        make_file(never, outputs=[fanflow.File("x")]).outputs[0].result,
    ]
    told: Future[list[BaseException]] = Future()

    def try_all(_: object) -> None:
        errors: list[BaseException] = []
        for wait in waits:
            try:
                wait()
            except BaseException as error:  # noqa: BLE001
                errors.append(error)
        told.set_result(errors)

    with Door() as door:
        python_app(door.pass_through)().add_done_callback(try_all)
    errors = told.result(PATIENCE_S)

    assert [type(error) for error in errors] == [WaitInCallbackError] * len(waits)
    assert "task 0 (give)" in str(errors[0])
    assert never.cancel()


@python_app
def make_file(after: object, outputs: list[fanflow.File]) -> None: ...


def test_a_callback_may_read_futures_that_are_done_and_call_apps(kernel: fanflow.DataFlowKernel) -> None:
    first = give(1)
    told: Future[object] = Future()
    first.add_done_callback(lambda future: told.set_result((future.result(), give(2))))

    value, second = told.result(PATIENCE_S)  # type: ignore[misc]

    assert value == 1
    assert second.result(PATIENCE_S) == 2


def test_slow_callbacks_are_named_once_in_a_while(
    kernel: fanflow.DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[Future[None]] = [Future(), Future()]
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
