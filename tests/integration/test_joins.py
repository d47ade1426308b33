"""Join apps: functions that call apps, and whose result is theirs."""

import threading
from concurrent.futures import Future
from typing import NoReturn

import pytest

import fanflow
from fanflow import join_app, python_app
from fanflow.errors import DataFlowException, DependencyError, JoinError
from tests.integration.kernels import PATIENCE_S, Door, give, loaded


@python_app
def fail() -> object:
    raise ValueError("boom")


@join_app
def pass_on(value: object) -> "Future[object]":
    return give(value)


@join_app
def spread(count: int) -> "list[Future[object]]":
    return [give(number) for number in range(count)]


@join_app
def fibonacci(number: int) -> "Future[object]":
    if number < 2:
        return give(number)
    return python_app(sum)([fibonacci(number - 1), fibonacci(number - 2)])


class Shy:
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no repr")


def test_a_join_of_one_future_has_its_result(kernel: fanflow.DataFlowKernel) -> None:
    assert pass_on(give(3)).result(PATIENCE_S) == 3


def test_a_join_of_a_list_has_the_list_of_results(kernel: fanflow.DataFlowKernel) -> None:
    assert spread(5).result(PATIENCE_S) == [0, 1, 2, 3, 4]
    assert spread(0).result(PATIENCE_S) == []
    assert spread(1).result(PATIENCE_S) == [0]


def test_joins_may_be_nested_and_recursive(kernel: fanflow.DataFlowKernel) -> None:
    assert fibonacci(9).result(PATIENCE_S) == 34


def test_a_join_waits_in_its_own_state(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:

        @join_app
        def body() -> "Future[object]":
            return python_app(door.pass_through)("through")

        joined = body()
        door.wait_for(1)
        after = give(joined)

        assert joined.task_status() == "joining"
        assert "it waits for task 1" in str(joined.explain())
        assert not after.done()

        door.open()
        assert after.result(PATIENCE_S) == "through"


def test_a_join_takes_foreign_futures_and_the_same_future_twice(kernel: fanflow.DataFlowKernel) -> None:
    foreign: Future[object] = Future()

    @join_app
    def body() -> "list[Future[object]]":
        once = give(1)
        return [once, foreign, once]

    joined = body()
    foreign.set_result(2)

    assert joined.result(PATIENCE_S) == [1, 2, 1]


@pytest.mark.parametrize("value", [None, 3, "text", (1, 2), [1], [None, 2]])
def test_a_body_that_returns_no_futures_is_told_so(value: object, kernel: fanflow.DataFlowKernel) -> None:
    error = join_app(lambda: value)().exception(PATIENCE_S)

    assert isinstance(error, TypeError)
    assert str(error) == (
        f"join_app body must return a Future or list of Futures, got {value!r} of type {type(value)}"
    )
    assert give(1).result(PATIENCE_S) == 1


def test_a_body_that_returns_something_without_a_repr_harms_nobody(kernel: fanflow.DataFlowKernel) -> None:
    error = join_app(Shy)().exception(PATIENCE_S)
    long = join_app(lambda: "x" * 1_000_000)().exception(PATIENCE_S)

    assert "whose repr raises RuntimeError" in str(error)
    assert len(str(long)) < 500
    assert give(1).result(PATIENCE_S) == 1


def test_a_body_that_raises_fails_the_join_with_that(kernel: fanflow.DataFlowKernel) -> None:
    joined = join_app(fail.func)()

    assert isinstance(joined.exception(PATIENCE_S), ValueError)
    assert joined.task_status() == "failed"


def test_a_joined_failure_fails_the_join_and_what_depends_on_it(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:

        @join_app
        def body() -> "list[Future[object]]":
            return [fail(), python_app(door.pass_through)()]

        joined = body()
        door.wait_for(1)
        assert not joined.done()  # the others are waited for
        door.open()

        after = give(joined)
        assert isinstance(joined.exception(PATIENCE_S), JoinError)
        assert isinstance(joined.exception().__cause__, ValueError)  # type: ignore[union-attr]
        assert isinstance(after.exception(PATIENCE_S), DependencyError)


def test_a_joined_failure_is_not_tried_again() -> None:
    bodies: list[None] = []

    @join_app
    def body() -> "Future[object]":
        bodies.append(None)
        return fail()

    with loaded(retries=3):
        assert isinstance(body().exception(PATIENCE_S), JoinError)

    assert len(bodies) == 1


def test_a_body_that_returns_its_own_future_is_told_so(kernel: fanflow.DataFlowKernel) -> None:
    own: list[Future[object]] = []
    known = threading.Event()

    @join_app
    def body() -> "Future[object]":
        assert known.wait(PATIENCE_S)
        return own[0]

    own.append(body())
    known.set()

    assert isinstance(own[0].exception(PATIENCE_S), DataFlowException)
    assert "its own future" in str(own[0].exception())


def test_a_join_that_waits_can_be_cancelled_and_its_tasks_go_on(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        inner: list[Future[object]] = []

        @join_app
        def body() -> "Future[object]":
            inner.append(python_app(door.pass_through)("inner"))
            return inner[0]

        joined = body()
        door.wait_for(1)
        fanflow.wait([give(0)])
        assert joined.task_status() == "joining"

        assert joined.cancel()

        assert joined.cancelled()
        door.open()
        assert inner[0].result(PATIENCE_S) == "inner"


def test_bodies_call_apps_on_their_own_kernel(kernel: fanflow.DataFlowKernel) -> None:
    with fanflow.DataFlowKernel(fanflow.Config(executors=[fanflow.ThreadPoolExecutor("other")])) as other:
        joined = join_app(pass_on.func, data_flow_kernel=other)(5)

        assert joined.result(PATIENCE_S) == 5
        assert other.task_count == 2
        assert kernel.task_count == 0


def test_results_of_joins_can_be_indexed_before_they_are_there(kernel: fanflow.DataFlowKernel) -> None:
    assert spread(3)[2].result(PATIENCE_S) == 2
