"""Every mistake has one clear error, and the kernel goes on."""

import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

import fanflow
from fanflow import Config, File, ThreadPoolExecutor, bash_app, join_app, python_app
from fanflow.errors import (
    ConfigurationError,
    FanflowError,
    MissingInputsError,
    NestedAppError,
    NoDataFlowKernelError,
    OptionTypeError,
    PicklingError,
    TaskExitedError,
)
from tests.integration.kernels import PATIENCE_S, give, loaded


@pytest.fixture(autouse=True)
def kernel() -> Iterator[fanflow.DataFlowKernel]:
    """After each mistake the kernel still runs other tasks."""
    with loaded() as running:
        yield running
        if not running.kernel.is_closed:
            assert give("other").result(PATIENCE_S) == "other"


def test_an_unknown_executor_label_is_refused_with_the_labels_there_are() -> None:
    app = python_app(give.func, executors=["cluster"])

    with pytest.raises(ValueError, match=r"'give' requested invalid executor 'cluster'.* has 'threads'"):
        app(1)


def test_a_label_that_is_no_list_is_refused_when_the_app_is_made() -> None:
    with pytest.raises(OptionTypeError, match=r"executors='typo'.*\['typo'\]"):
        python_app(executors="typo")(give.func)  # type: ignore[call-overload]


def test_submit_checks_labels_too(kernel: fanflow.DataFlowKernel) -> None:
    with pytest.raises(ValueError, match=r"'cluster'.* has 'threads'"):
        kernel.submit(give.func, [1], executors=["cluster"])
    with pytest.raises(OptionTypeError, match="executors='cluster'"):
        kernel.submit(give.func, [1], executors="cluster")
    assert kernel.submit(give.func, [1], executors=["threads"]).result(PATIENCE_S) == 1


def test_a_pool_checks_labels_before_anything_runs(kernel: fanflow.DataFlowKernel) -> None:
    with pytest.raises((ValueError, FanflowError), match="cluster"):
        fanflow.PoolExecutor(dfk=kernel, executors=["cluster"]).submit(give.func, 1).result(PATIENCE_S)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Config(retries="three"), ["retries", "'three'", "int"]),
        (lambda: Config(retires=3), ["retires"]),
        (lambda: Config(run_dir=7), ["run_dir", "7"]),
        (lambda: Config(exit_mode="later"), ["exit_mode", "'later'", "wait"]),
        (lambda: Config(executors=ThreadPoolExecutor()), ["executors"]),
        (lambda: Config(executors=[3]), ["executors", "3"]),
        (lambda: Config(executors=[ThreadPoolExecutor("a"), ThreadPoolExecutor("a")]), ["'a'", "unique"]),
        (lambda: Config(max_pending=0), ["max_pending", "0"]),
        (lambda: python_app(3), ["function", "3"]),
        (lambda: python_app(cache="yes")(give.func), ["cache", "'yes'"]),
        (lambda: python_app(data_flow_kernel=3)(give.func), ["data_flow_kernel", "3"]),
    ],
)
def test_a_wrong_option_is_named_with_its_value(make: object, words: list[str]) -> None:
    with pytest.raises((TypeError, ConfigurationError)) as caught:
        make()  # type: ignore[operator]

    for word in words:
        assert word in str(caught.value)


def test_a_wrong_pool_size_is_refused_at_load() -> None:
    with pytest.raises(ConfigurationError, match="max_threads=0"):
        fanflow.DataFlowKernel(Config(executors=[ThreadPoolExecutor(max_threads=0)]))
    with pytest.raises(ConfigurationError, match="max_threads"):
        fanflow.DataFlowKernel(Config(executors=[ThreadPoolExecutor(max_threads="2")]))  # type: ignore[arg-type]


def test_a_second_load_names_the_kernel_that_is_loaded(kernel: fanflow.DataFlowKernel) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(kernel.run_dir)):
        fanflow.load(Config())


def test_calls_after_cleanup_are_refused(kernel: fanflow.DataFlowKernel) -> None:
    bound = python_app(give.func, data_flow_kernel=kernel)
    kernel.cleanup()

    with pytest.raises(NoDataFlowKernelError, match="'give' has been cleaned up"):
        bound(1)


def test_a_wrong_call_is_refused_in_the_caller() -> None:
    for call in (give, lambda: give(1, 2), lambda: give(1, colour=2)):
        with pytest.raises(TypeError, match=r"give\(\)"):
            call()


@pytest.mark.parametrize("value", [None, 7, b"ls", {"a": 1}])
def test_a_bash_app_that_returns_no_command_says_what_it_returned(value: object) -> None:
    error = bash_app(lambda: value)().exception(PATIENCE_S)

    assert isinstance(error, FanflowError | ValueError | TypeError)
    assert f"got {'None' if value is None else type(value).__name__}" in str(error)
    assert "'<lambda>'" in str(error)


def test_an_argument_that_cannot_be_pickled_is_named_before_anything_is_sent() -> None:
    class Holder:
        def __init__(self) -> None:
            self.handle = threading.Lock()

    pool = fanflow.ExecutorAdapter(lambda: ProcessPoolExecutor(1), label="processes")
    with fanflow.DataFlowKernel(Config(executors=[pool])) as other:
        app = python_app(print, data_flow_kernel=other)

        error = app([1, {"k": Holder()}]).exception(PATIENCE_S)
        fine = python_app(abs, data_flow_kernel=other)(-3).result(PATIENCE_S)

    assert isinstance(error, PicklingError)
    assert "handle" in str(error)
    assert "args[0]" in str(error)
    assert fine == 3


def test_a_future_among_its_own_inputs_is_no_dependency_of_itself() -> None:
    inputs: list[object] = [1]

    call = python_app(lambda inputs: [*inputs, "end"])(inputs=inputs)
    inputs.append(call)

    assert call.result(PATIENCE_S) == [1, "end"]


def test_a_missing_input_file_is_named_with_host_and_directory() -> None:
    error = python_app(lambda inputs: None)(inputs=[File("missing.txt")]).exception(PATIENCE_S)

    assert isinstance(error, MissingInputsError)
    for word in ("'missing.txt'", socket.gethostname(), os.getcwd(), "create it first"):
        assert word in str(error)


def test_a_missing_output_directory_is_named_with_host_and_directory() -> None:
    error = python_app(lambda outputs: None)(outputs=[File("nowhere/out.txt")]).exception(PATIENCE_S)

    assert isinstance(error, MissingInputsError)
    for word in ("nowhere", socket.gethostname(), os.getcwd()):
        assert word in str(error)


def test_an_app_called_inside_a_task_names_the_way_out() -> None:
    error = python_app(lambda: give(1))().exception(PATIENCE_S)

    assert isinstance(error, NestedAppError)
    assert "'give'" in str(error)
    assert "@join_app" in str(error)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("mine"), GeneratorExit()], ids=repr)
def test_a_task_that_wants_to_end_the_process_ends_only_itself(error: BaseException) -> None:
    def leave() -> None:
        raise error

    ended = python_app(leave)().exception(PATIENCE_S)

    assert isinstance(ended, TaskExitedError)
    assert repr(error) in str(ended)
    assert ended.__cause__ is error


def test_sys_exit_in_a_join_body_ends_only_that_task() -> None:
    error = join_app(lambda: sys.exit("done"))().exception(PATIENCE_S)

    assert isinstance(error, TaskExitedError)
    assert "SystemExit('done')" in str(error)


def test_a_thread_pool_takes_no_resources_and_says_so() -> None:
    error = give(1, parsl_resource_specification={"cores": 2}).exception(PATIENCE_S)

    assert "cores" in str(error)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"walltime": "1 h"}, ["walltime", "'1 h'", "seconds"]),
        ({"walltime": 0}, ["walltime=0"]),
        ({"inputs": "file.txt"}, ["inputs", "'file.txt'", "list"]),
        ({"outputs": ["file.txt"]}, ["outputs", "File('file.txt')"]),
        ({"parsl_resource_specification": 4}, ["parsl_resource_specification", "4", "dict"]),
    ],
)
def test_a_wrong_special_keyword_is_refused(options: dict[str, object], words: list[str]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        give(1, **options)

    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("handler", ["raises", "no number", "NaN"])
def test_a_retry_handler_that_is_wrong_ends_the_task(handler: str) -> None:
    answers = {"raises": lambda: 1 / 0, "no number": lambda: "often", "NaN": lambda: float("nan")}

    def fail() -> None:
        raise ValueError("boom")

    config = Config(
        executors=[ThreadPoolExecutor()],
        retries=3,
        retry_handler=lambda error, record: answers[handler](),  # type: ignore[arg-type, return-value]
    )
    with fanflow.DataFlowKernel(config) as other:
        error = python_app(fail, data_flow_kernel=other)().exception(PATIENCE_S)
        fine = python_app(give.func, data_flow_kernel=other)(1).result(PATIENCE_S)

    assert isinstance(error, ZeroDivisionError | ValueError)
    assert fine == 1


def test_a_result_whose_methods_raise_harms_nobody() -> None:
    class Evil:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

        def __hash__(self) -> int:
            raise RuntimeError("no hash")

    evil = python_app(Evil)()
    after = give([evil, {"k": evil}])

    assert type(after.result(PATIENCE_S)[0]) is Evil  # type: ignore[index]
    assert isinstance(give({evil}).exception(PATIENCE_S), RuntimeError)
    assert isinstance(evil["k"].exception(PATIENCE_S), TypeError)


def test_an_exception_without_a_text_harms_nobody() -> None:
    class Speechless(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    def fail() -> None:
        raise Speechless

    failed = python_app(fail)()
    after = give(failed)

    assert isinstance(failed.exception(PATIENCE_S), Speechless)
    assert "via task" in str(after.exception(PATIENCE_S))
    assert "failed" in str(failed.explain())
    assert "Speechless" in str(after.explain())


def test_a_foreign_future_that_is_resolved_by_a_task_works_both_ways() -> None:
    foreign: Future[object] = Future()
    after = give(foreign)

    python_app(foreign.set_result)(5)

    assert after.result(PATIENCE_S) == 5
