"""Calls wait for what they depend on, and for nothing else."""

import dataclasses
import threading
from concurrent.futures import Future

import pytest

import fanflow
from fanflow import File, python_app
from fanflow.config.defaults import NATIVE, PARSL, select_defaults
from fanflow.errors import DataFlowException, DependencyError
from fanflow.spi.resolver import DependencyResolver
from tests.integration.kernels import PATIENCE_S, Door, give, loaded

BAD = object()


@python_app
def collect(*args: object, **kwargs: object) -> object:
    return args, kwargs


@python_app
def increment(number: int) -> int:
    return number + 1


@python_app
def fail(text: str = "boom") -> object:
    raise ValueError(text)


@dataclasses.dataclass(frozen=True)
class Pair:
    left: object
    right: object


def test_results_take_the_places_of_futures_wherever_they_are(kernel: fanflow.DataFlowKernel) -> None:
    a, b, c = give("a"), give("b"), give("c")

    args, kwargs = collect(a, [b, {"k": (c,)}], key={a: Pair(b, [c])}, inputs=[a, [b]]).result(PATIENCE_S)  # type: ignore[misc]

    assert args == ("a", ["b", {"k": ("c",)}])
    assert kwargs == {"key": {"a": Pair("b", ["c"])}, "inputs": ["a", ["b"]]}


def test_a_call_waits_for_all_its_dependencies(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        first, second = python_app(door.pass_through)(1), python_app(door.pass_through)(2)
        after = collect(first, [second])
        door.wait_for(2)

        assert not after.done()
        assert after.task_status() == "pending"
        assert "task 0" in str(after.explain())

        door.open()
        assert after.result(PATIENCE_S) == ((1, [2]), {})


def test_arguments_without_futures_reach_the_function_as_the_same_objects(
    kernel: fanflow.DataFlowKernel,
) -> None:
    plain, nested = [1], {"k": [2]}

    args, _ = collect(plain, give(3), nested).result(PATIENCE_S)  # type: ignore[misc]

    assert args[0] is plain
    assert args[2] is nested


@pytest.mark.parametrize("links", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_chain_of_many_links_runs_to_its_end(kernel: fanflow.DataFlowKernel, links: int) -> None:
    link = give(0)
    for _ in range(links):
        link = increment(link)

    assert link.result(PATIENCE_S * 2) == links


def test_a_failure_travels_down_a_chain_of_100000_links(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        link = python_app(door.pass_through)(fail())
        for _ in range(100_000):
            link = increment(link)

        error = link.exception(PATIENCE_S * 2)

    assert isinstance(error, DependencyError)
    assert isinstance(error.__cause__, ValueError)
    assert len(str(error)) < 1000
    assert str(error).endswith("task 1 <- task 0") or "more) <- task 0" in str(error)
    del link, error  # freeing the chain must not need a deep stack either


def test_a_call_takes_4000_dependencies(kernel: fanflow.DataFlowKernel) -> None:
    parts = [give(number) for number in range(4000)]

    total = python_app(sum)(parts)

    assert total.result(PATIENCE_S) == sum(range(4000))


def test_a_failed_branch_leaves_the_others_running(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        good = python_app(door.pass_through)("good")
        door.wait_for(1)
        bad = fail()
        after_bad, after_good, both = give(bad), give(good), collect(good, bad)
        assert isinstance(after_bad.exception(PATIENCE_S), DependencyError)

        assert not after_good.done()
        assert not both.done()  # it fails when all its dependencies have ended

        door.open()
        assert after_good.result(PATIENCE_S) == "good"
        assert isinstance(both.exception(PATIENCE_S), DependencyError)


def test_a_task_after_a_failure_does_not_run(kernel: fanflow.DataFlowKernel) -> None:
    ran = threading.Event()

    after = python_app(lambda _: ran.set())(fail())

    assert isinstance(after.exception(PATIENCE_S), DependencyError)
    assert after.task_status() == "dep_fail"
    assert not ran.is_set()


def test_futures_of_the_standard_library_are_dependencies(kernel: fanflow.DataFlowKernel) -> None:
    pending: Future[object] = Future()
    done: Future[object] = Future()
    done.set_result(1)

    after = collect(done, [pending])
    assert give(0).result(PATIENCE_S) == 0
    assert not after.done()
    pending.set_result(2)

    assert after.result(PATIENCE_S) == ((1, [2]), {})


def test_a_foreign_future_that_was_cancelled_or_failed_fails_the_call(kernel: fanflow.DataFlowKernel) -> None:
    cancelled: Future[object] = Future()
    cancelled.cancel()
    failed: Future[object] = Future()
    failed.set_exception(KeyError("foreign"))

    after_cancelled, after_failed = give(cancelled).exception(PATIENCE_S), give(failed).exception(PATIENCE_S)

    assert isinstance(after_cancelled, DependencyError)
    assert "Future at" in str(after_cancelled)
    assert isinstance(after_failed, DependencyError)
    assert isinstance(after_failed.__cause__, KeyError)


def test_futures_of_another_kernel_are_dependencies(kernel: fanflow.DataFlowKernel) -> None:
    config = fanflow.Config(executors=[fanflow.ThreadPoolExecutor("other")])
    with fanflow.DataFlowKernel(config) as other, Door() as door:
        here = python_app(door.pass_through, data_flow_kernel=other)("there")
        after = collect(here)
        back = python_app(collect.func, data_flow_kernel=other)(after)
        door.wait_for(1)

        assert not after.done()

        door.open()
        assert after.result(PATIENCE_S) == (("there",), {})
        assert back.result(PATIENCE_S) == (((("there",), {}),), {})


def test_a_call_may_depend_on_futures_that_have_ended(kernel: fanflow.DataFlowKernel) -> None:
    good, bad = give(1), fail()
    bad.exception(PATIENCE_S)
    good.result(PATIENCE_S)

    assert give(good).result(PATIENCE_S) == 1
    assert isinstance(give(bad).exception(PATIENCE_S), DependencyError)


def test_a_call_waits_for_the_task_that_makes_a_file(kernel: fanflow.DataFlowKernel) -> None:
    @python_app
    def write(text: str, outputs: list[File]) -> None:
        with open(outputs[0], "w", encoding="utf-8") as file:
            file.write(text)

    @python_app
    def read(inputs: list[File]) -> str:
        with open(inputs[0], encoding="utf-8") as file:
            return file.read()

    with Door() as door:
        written = write(python_app(door.pass_through)("text"), outputs=[File("out.txt")])
        after = read(inputs=[written.outputs[0]])
        door.wait_for(1)
        assert not after.done()

    assert after.result(PATIENCE_S) == "text"


def test_a_resolver_plug_in_finds_futures_where_nobody_else_looks() -> None:
    class Box:
        def __init__(self, content: object) -> None:
            self.content = content

    def gather(argument: object) -> list[Future[object]]:
        content = argument.content if isinstance(argument, Box) else argument
        return [content] if isinstance(content, Future) else []

    def unwrap(argument: object) -> object:
        if isinstance(argument, Box):
            return Box(unwrap(argument.content))
        return argument.result() if isinstance(argument, Future) else argument

    resolver = DependencyResolver(traverse_to_gather=gather, traverse_to_unwrap=unwrap)
    with loaded(dependency_resolver=resolver):
        args, _ = collect(Box(give(1)), give(2), [3]).result(PATIENCE_S)  # type: ignore[misc]

    assert args[0].content == 1
    assert args[1:] == (2, [3])


@pytest.mark.parametrize("broken", ["gather", "gather kind", "unwrap"])
def test_a_resolver_plug_in_that_is_wrong_fails_the_task_and_no_other(broken: str) -> None:
    def gather(argument: object) -> list[Future[object]]:
        if argument is BAD and broken == "gather":
            raise RuntimeError("cannot gather")
        if argument is BAD and broken == "gather kind":
            return ["no future"]  # type: ignore[list-item]
        return [argument] if isinstance(argument, Future) else []

    def unwrap(argument: object) -> object:
        if argument is BAD and broken == "unwrap":
            raise RuntimeError("cannot unwrap")
        return argument.result() if isinstance(argument, Future) else argument

    with loaded(dependency_resolver=DependencyResolver(gather, unwrap)):
        bad = collect(BAD, give(1), ["walked"])

        error = bad.exception(PATIENCE_S)
        fine = collect(give(2)).result(PATIENCE_S)

    assert isinstance(error, RuntimeError | TypeError)
    assert "cannot" in str(error) or "no future" in str(error)
    assert fine == ((2,), {})


def test_under_the_defaults_of_existing_programs_containers_are_not_looked_into() -> None:
    before = select_defaults(PARSL)
    try:
        with loaded():
            future = give(1)
            args, kwargs = collect(future, [future], inputs=[future]).result(PATIENCE_S)  # type: ignore[misc]
    finally:
        select_defaults(before)

    assert before is NATIVE
    assert args[0] == 1
    assert args[1] == [future]
    assert kwargs == {"inputs": [1]}


def test_a_pending_future_put_into_a_container_after_the_call_is_named(
    kernel: fanflow.DataFlowKernel,
) -> None:
    never: Future[object] = Future()
    with Door() as door:
        container: list[object] = [python_app(door.pass_through)(1)]
        call = collect(container)
        container.append(never)

        door.open()
        error = call.exception(PATIENCE_S)

    assert isinstance(error, DataFlowException)
    assert hex(id(never)) in str(error)
    assert "build the container first" in str(error)


def test_an_unhashable_result_inside_a_set_fails_the_task_and_no_other(
    kernel: fanflow.DataFlowKernel,
) -> None:
    call = collect({give([])})

    assert isinstance(call.exception(PATIENCE_S), TypeError)
    assert call.task_status() == "failed"
    assert give(1).result(PATIENCE_S) == 1


def test_items_and_attributes_of_results_are_tasks_of_their_own(kernel: fanflow.DataFlowKernel) -> None:
    table = give({"k": [1, 2]})

    assert table["k"][1].result(PATIENCE_S) == 2
    assert isinstance(table["missing"].exception(PATIENCE_S), KeyError)
    assert isinstance(fail()["k"].exception(PATIENCE_S), DependencyError)
    with pytest.raises(AttributeError, match=r"future\.result\(\)\.keys"):
        table.keys  # noqa: B018


def test_attributes_are_lifted_under_the_defaults_of_existing_programs() -> None:
    before = select_defaults(PARSL)
    try:
        with loaded():
            assert give(Pair(1, 2)).right.result(PATIENCE_S) == 2
            with pytest.raises(AttributeError, match="_private"):
                give(1)._private  # noqa: B018
    finally:
        select_defaults(before)
