"""Threads that wait for each other in a full pool are named, and only they."""

import threading
from concurrent.futures import Future

import pytest

import fanflow
from fanflow import join_app, python_app
from fanflow.errors import DeadlockError
from fanflow.runtime import waiting
from tests.integration.kernels import PATIENCE_S, Door, give, loaded


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.05)


class Chosen:
    """Futures that tasks find without getting them as arguments."""

    def __init__(self) -> None:
        self.future: Future[object] | None = None
        self.is_there = threading.Event()

    def choose(self, future: "Future[object]") -> None:
        self.future = future
        self.is_there.set()

    def wait(self, timeout: float | None = None) -> object:
        assert self.is_there.wait(PATIENCE_S)
        assert self.future is not None
        return self.future.result(timeout)


def test_tasks_that_wait_for_tasks_queued_behind_them_are_named() -> None:
    with loaded(threads=2):
        chosen = Chosen()
        waiters = [python_app(chosen.wait)() for _ in range(2)]
        behind = give("behind")
        chosen.choose(behind)

        errors = [waiter.exception(PATIENCE_S) for waiter in waiters]

        found = [error for error in errors if error is not None]
        assert found
        for error in found:
            assert isinstance(error, DeadlockError)
            assert error.executor == "threads"
            for part in ("task 0 (wait)", "task 1 (wait)", "waits for task 2 (give)", "max_threads"):
                assert part in str(error)
        assert behind.result(PATIENCE_S) == "behind"  # a thread is free again
        assert give(1).result(PATIENCE_S) == 1


def test_a_task_that_waits_for_itself_is_named() -> None:
    with loaded(threads=2):
        chosen = Chosen()
        own = python_app(chosen.wait)()
        chosen.choose(own)

        assert isinstance(own.exception(PATIENCE_S), DeadlockError)
        assert "task 0 (wait) waits for task 0 (wait)" in str(own.exception())


def test_a_file_of_a_task_queued_behind_is_no_way_around() -> None:
    with loaded(threads=1):
        chosen = Chosen()
        waiter = python_app(chosen.wait)()

        @python_app
        def make(outputs: list[fanflow.File]) -> None:
            open(outputs[0], "w").close()

        made = make(outputs=[fanflow.File("made")])
        chosen.choose(made.outputs[0])  # type: ignore[arg-type]

        assert isinstance(waiter.exception(PATIENCE_S), DeadlockError)
        assert made.result(PATIENCE_S) is None


def test_join_bodies_that_wait_for_join_apps_in_a_full_internal_pool_are_named() -> None:
    @join_app
    def body(depth: int) -> "Future[object]":
        return give(body(depth - 1).result() if depth else "ground")

    with loaded(internal_tasks_max_threads=3):
        assert body(2).result(PATIENCE_S) == "ground"

        error = body(5).exception(PATIENCE_S)
        while error is not None and not isinstance(error, DeadlockError):
            error = error.__cause__

        assert isinstance(error, DeadlockError)
        fanflow.wait_for_current_tasks()
        assert body(1).result(PATIENCE_S) == "ground"


@pytest.mark.parametrize("what", ["a task that runs", "a foreign future", "a retry handler"])
def test_a_wait_that_something_can_end_is_left_alone(what: str) -> None:
    with Door() as door:
        foreign: Future[object] = Future()
        options: dict[str, object] = {"retries": 1}
        if what == "a retry handler":
            options["retry_handler"] = lambda error, record: door.pass_through(1)
        threads = 2 if what == "a task that runs" else 1
        with loaded(threads=threads, **options):
            chosen = Chosen()
            tries: list[None] = []

            def fail_once() -> str:
                tries.append(None)
                if len(tries) == 1:
                    raise ValueError("once")
                return "twice"

            if what == "a task that runs":
                awaited = python_app(door.pass_through)("ran")
                door.wait_for(1)
            elif what == "a foreign future":
                awaited = give(foreign)
            else:
                awaited = python_app(fail_once)()
                door.wait_for(1)
            waiter = python_app(lambda: chosen.is_there.wait(PATIENCE_S) and awaited.result(0.5))()
            chosen.choose(awaited)

            assert not fanflow.wait([waiter], timeout=0.3).done  # six looks
            foreign.set_result("foreign")
            door.open()
            error = waiter.exception(PATIENCE_S)
            assert not isinstance(error, DeadlockError)


def test_a_wait_for_a_long_task_of_another_kernel_is_left_alone() -> None:
    config = fanflow.Config(executors=[fanflow.ThreadPoolExecutor("other", max_threads=1)])
    with loaded(threads=1), fanflow.DataFlowKernel(config) as other, Door() as door:
        there = python_app(door.pass_through, data_flow_kernel=other)("there")
        door.wait_for(1)
        chosen = Chosen()
        chosen.choose(there)
        waiter = python_app(chosen.wait)()

        assert not fanflow.wait([waiter], timeout=0.3).done

        door.open()
        assert waiter.result(PATIENCE_S) == "there"


def test_a_timeout_in_a_task_is_as_long_as_it_says() -> None:
    with loaded(threads=2), Door() as door:
        awaited = python_app(door.pass_through)()
        door.wait_for(1)

        def wait() -> float:
            began = threading.Event()
            import time

            start = time.monotonic()
            with pytest.raises(TimeoutError):
                awaited.result(0.3)
            began.set()
            return time.monotonic() - start

        assert 0.3 <= python_app(wait)().result(PATIENCE_S) < 0.55
