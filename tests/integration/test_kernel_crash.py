"""A bug of ours, or of a plug-in, ends what is open with an error; nobody waits for ever."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

import fanflow
from fanflow import python_app
from fanflow.core.task_core import TaskCore
from fanflow.errors import BadStateException, InternalConsistencyError, NoDataFlowKernelError
from fanflow.model.attempts import Launch
from fanflow.runtime.perform import Performer
from fanflow.testing import ScriptedExecutor, ScriptedExecutorSpec
from tests.integration.kernels import PATIENCE_S, Door, give, loaded


class PlantedError(Exception):
    """Stands for a bug."""


def fail(*args: object) -> None:
    raise PlantedError("planted")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(TaskCore, "_launch"), (TaskCore, "_finish"), (Performer, "_launch"), (Performer, "_resolve_futures")],
)
def test_a_bug_in_the_kernel_thread_ends_everything_that_is_open(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with loaded() as kernel, Door() as door:
        never: Future[object] = Future()
        running = python_app(door.pass_through)()
        door.wait_for(1)
        waiting = give(never)
        after = give([waiting])
        gathered = fanflow.gather(running, waiting)
        called = threading.Event()
        waiting.add_done_callback(lambda _: called.set())
        waited = threading.Thread(target=kernel.wait_for_current_tasks)
        waited.start()
        assert not kernel.kernel.wait(0.01)

        monkeypatch.setattr(owner, name, fail)
        last = give(1)  # some part of the way of this one fails
        futures = [running, waiting, after, last]
        for future in futures:
            error = future.exception(PATIENCE_S)
            assert isinstance(error, InternalConsistencyError | type(None)), future
            if error is not None:
                assert isinstance(error.__cause__, PlantedError)

        assert called.wait(PATIENCE_S)
        waited.join(PATIENCE_S)
        assert not waited.is_alive()
        assert isinstance(gathered.exception(PATIENCE_S), InternalConsistencyError)
        assert sum(isinstance(future.exception(0), InternalConsistencyError) for future in futures) >= 3
        with pytest.raises(NoDataFlowKernelError, match="has failed with PlantedError: planted"):
            give(2)
        monkeypatch.undo()
        door.open()
    assert "the kernel thread failed" in caplog.text
    with loaded():
        assert give(3).result(PATIENCE_S) == 3


def test_calls_made_while_the_kernel_fails_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        with loaded() as kernel, monkeypatch.context() as patch:
            futures: list[fanflow.AppFuture[object]] = []
            refused = threading.Event()

            def submit(
                futures: list[fanflow.AppFuture[object]] = futures, refused: threading.Event = refused
            ) -> None:
                try:
                    while True:
                        futures.append(give(1))
                except NoDataFlowKernelError:
                    refused.set()

            threads = [threading.Thread(target=submit) for _ in range(2)]
            for thread in threads:
                thread.start()
            patch.setattr(Performer, "_launch", fail)
            assert refused.wait(PATIENCE_S)
            for thread in threads:
                thread.join(PATIENCE_S)
            assert kernel.kernel.wait(PATIENCE_S)
            assert len(fanflow.wait(futures, PATIENCE_S).done) == len(futures)


def test_calls_that_came_together_with_the_one_that_failed_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded(), Door() as door, Door() as busy:
        task = python_app(door.pass_through)()
        task.add_done_callback(lambda _: busy.pass_through())
        door.open()
        busy.wait_for(1)  # the kernel thread is in the callback, and calls pile up
        together = [give(number) for number in range(20)]
        monkeypatch.setattr(TaskCore, "_launch", fail)
        busy.open()

        for future in together:
            assert isinstance(future.exception(PATIENCE_S), InternalConsistencyError)
        monkeypatch.undo()


def test_an_await_ends_when_the_kernel_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_for(future: "Future[object]") -> object:
        monkeypatch.setattr(TaskCore, "_launch", fail)
        asyncio.get_running_loop().call_soon(give, 1)
        return await future  # type: ignore[misc]

    with loaded():
        with pytest.raises(InternalConsistencyError):
            asyncio.run(wait_for(give(Future())))
        monkeypatch.undo()


class RefusingSpec(ScriptedExecutorSpec):
    """Its executor breaks the rules of its seam: it raises."""

    def build(self, context: object) -> ScriptedExecutor:
        executor = super().build(context)  # type: ignore[arg-type]

        def submit(batch: Sequence[Launch]) -> None:
            raise PlantedError(f"cannot take {len(batch)}")

        executor.submit = submit  # type: ignore[method-assign]
        return executor


def test_an_executor_that_raises_fails_its_own_tasks_only() -> None:
    with loaded(executors=[RefusingSpec("bad"), fanflow.ThreadPoolExecutor("good")]):
        bad = python_app(give.func, executors=["bad"])
        good = python_app(give.func, executors=["good"])

        first, second = bad(1), bad(2)

        for future in (first, second):
            assert isinstance(future.exception(PATIENCE_S), BadStateException)
            assert "cannot take" in str(future.exception(0))
        assert good(3).result(PATIENCE_S) == 3
        assert python_app(give.func)(4).result(PATIENCE_S) == 4  # goes where it can


class OddFuture(Future[object]):
    """Of a class that we do not know."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class ClosedFuture(Future[object]):
    """Takes no callbacks."""

    def add_done_callback(self, fn: object) -> None:
        raise RuntimeError("takes no callbacks")


def test_odd_futures_of_others_harm_nobody() -> None:
    with loaded():
        odd = OddFuture()
        after_odd, after_closed = give(odd), give(ClosedFuture())
        odd.set_exception(ValueError("boom"))

        assert "OddFuture without a repr" in str(after_odd.exception(PATIENCE_S))
        assert "takes no callbacks" in str(after_closed.exception(PATIENCE_S).__cause__)  # type: ignore[union-attr]
        assert give(1).result(PATIENCE_S) == 1


def test_a_joined_future_that_is_cancelled_as_it_ends_harms_nobody() -> None:
    spec = ScriptedExecutorSpec("scripted", kills=True)
    with loaded(executors=[spec]) as kernel:
        inner = give(1)
        joined = fanflow.join_app(lambda: inner)()
        (launch,) = spec.executor.wait_for_launches(1)
        spec.executor.begin(launch.attempt)
        settle = inner.settle
        inner_cancelled: list[bool] = []

        class Racing(type(inner)):  # type: ignore[misc]
            """Is cancelled just before it is resolved."""

            __slots__ = ()

            def settle(self, value: object, error: BaseException | None) -> bool:
                inner_cancelled.append(self.cancel())
                return settle(value, error)

        while joined.task_status() != "joining":
            kernel.kernel.wait(0.01)
        inner.__class__ = Racing
        spec.executor.finish(launch.attempt, 1)

        error = joined.exception(PATIENCE_S)

    assert inner_cancelled == [True]
    assert type(error).__name__ == "JoinError"
    assert type(error.__cause__).__name__ == "CancelledError"  # type: ignore[union-attr]
