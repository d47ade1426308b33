import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest

import fanflow
from fanflow import (
    Config,
    DataFlowKernel,
    DataFuture,
    File,
    ThreadPoolExecutor,
    join_app,
    python_app,
)
from fanflow.errors import (
    AppTimeout,
    DependencyError,
    InvalidResourceSpecification,
    MissingInputsError,
    OptionTypeError,
)

EVERY_KEYWORD: dict[str, object] = {
    "inputs": [1],
    "outputs": [],
    "stdout": "out",
    "stderr": ("err", "w"),
    "walltime": 30,
    "parsl_resource_specification": {},
    "label": "first",
}


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=2)])) as kernel:
        yield kernel


@pytest.fixture
def one_thread() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=1)])) as kernel:
        yield kernel


@python_app
def every(**kwargs: object) -> dict[str, object]:
    return kwargs


@python_app
def none_of_them(number: int = 1) -> int:
    return number


@python_app
def paths(inputs: list[object] | None = None, outputs: list[object] | None = None) -> list[list[str]]:
    return [[str(item) for item in inputs or ()], [str(item) for item in outputs or ()]]


@python_app
def written(text: str, outputs: list[File] | None = None) -> str:
    for file in outputs or ():
        Path(file).write_text(text)
    return text


# -- what the function gets -----------------------------------------------------------------------


def test_a_function_that_takes_every_keyword_gets_the_special_ones(kernel: DataFlowKernel) -> None:
    assert every(**EVERY_KEYWORD).result() == EVERY_KEYWORD


def test_a_function_without_a_place_for_them_gets_none(kernel: DataFlowKernel) -> None:
    assert none_of_them(3, **EVERY_KEYWORD).result() == 3


def test_a_function_gets_those_that_it_names(kernel: DataFlowKernel) -> None:
    @python_app
    def some(stdout: str, *, walltime: float) -> tuple[str, float]:
        return stdout, walltime

    assert some(**EVERY_KEYWORD).result() == ("out", 30)


def test_a_join_app_takes_them_too(kernel: DataFlowKernel) -> None:
    @join_app
    def joined(**kwargs: object) -> fanflow.AppFuture[dict[str, object]]:
        return every(**kwargs)

    @join_app
    def without() -> fanflow.AppFuture[int]:
        return none_of_them(5)

    assert joined(**EVERY_KEYWORD).result() == EVERY_KEYWORD
    assert without(**EVERY_KEYWORD).result() == 5


def test_a_default_in_the_signature_holds_for_calls_that_say_nothing_else(kernel: DataFlowKernel) -> None:
    @python_app
    def logged(stdout: str = "default", walltime: int = 9) -> tuple[str, int]:
        return stdout, walltime

    default, named, placed = logged(), logged(stdout="given"), logged("placed")

    assert (default.stdout, named.stdout) == ("default", "given")
    assert [future.result() for future in (default, named, placed)] == [
        ("default", 9),
        ("given", 9),
        ("placed", 9),
    ]


def test_a_default_of_none_asks_for_nothing(kernel: DataFlowKernel) -> None:
    @python_app
    def quiet(stdout: str | None = None, outputs: None = None) -> str | None:
        return stdout

    future = quiet()

    assert (future.result(), future.stdout, future.outputs) == (None, None, [])


# -- files ----------------------------------------------------------------------------------------


def test_values_files_and_futures_are_inputs(kernel: DataFlowKernel) -> None:
    Path("in.txt").touch()
    made = written("text", outputs=[File("made.txt")])

    future = paths(inputs=[File("in.txt"), made.outputs[0], made, 3])

    assert future.result()[0] == ["in.txt", "made.txt", "text", "3"]


def test_inputs_may_be_a_tuple(kernel: DataFlowKernel) -> None:
    assert paths(inputs=(none_of_them(7), 1)).result()[0] == ["7", "1"]


def test_a_call_does_not_share_its_list_of_inputs_with_the_caller(kernel: DataFlowKernel) -> None:
    released = threading.Event()

    @python_app
    def wait() -> int:
        released.wait(30)
        return 1

    inputs: list[object] = [wait()]
    future = paths(inputs=inputs)
    inputs.append(future)
    released.set()

    assert future.result()[0] == ["1"]
    assert inputs[1] is future


def test_every_output_has_a_future_of_its_file(kernel: DataFlowKernel) -> None:
    first, second = File("first.txt"), File("second.txt")

    future = written("text", outputs=[first, second])

    assert [type(output) for output in future.outputs] == [DataFuture, DataFuture]
    assert [output.result().filepath for output in future.outputs] == ["first.txt", "second.txt"]
    assert Path("first.txt").read_text() == Path("second.txt").read_text() == "text"


def test_the_future_of_a_file_says_what_it_follows(kernel: DataFlowKernel) -> None:
    future = written("text", outputs=[File("made.txt")])
    output = future.outputs[0]
    output.result()

    assert output.parent is future
    assert output.tid == future.tid
    assert output.filepath == output.filename == "made.txt"
    assert output.file_obj is output.result()
    assert (output.done(), output.running(), output.cancelled()) == (True, False, False)
    assert repr(output) == f"<DataFuture from task {future.tid} of <File made.txt>, done>"
    with pytest.raises(NotImplementedError, match="cancel its parent"):
        output.cancel()


def test_an_output_is_passed_on_in_any_place(kernel: DataFlowKernel) -> None:
    @python_app
    def read(file: File, more: Mapping[str, list[File]]) -> str:
        return Path(file).read_text() + Path(more["deep"][0]).read_text()

    output = written("text", outputs=[File("made.txt")]).outputs[0]

    assert read(output, {"deep": [output]}).result() == "texttext"  # type: ignore[arg-type]  # a future


def test_the_output_of_a_failed_task_fails_with_it(kernel: DataFlowKernel) -> None:
    error = ValueError("no file")

    @python_app
    def fail(outputs: list[File]) -> None:
        raise error

    future = fail(outputs=[File("made.txt")])

    assert future.outputs[0].exception() is error
    after = paths(inputs=[future.outputs[0]])
    with pytest.raises(DependencyError, match=f"via DataFuture from task {future.tid}$") as caught:
        after.result()
    assert caught.value.__cause__ is error


def test_a_missing_input_is_named_where_the_task_runs(kernel: DataFlowKernel) -> None:
    future = paths(inputs=[File("absent.txt")])

    with pytest.raises(MissingInputsError, match=r"input file 'absent.txt' of app 'paths' not found on host"):
        future.result()


def test_a_missing_directory_of_an_output_is_named(kernel: DataFlowKernel) -> None:
    future = written("text", outputs=[File("absent/made.txt")])

    with pytest.raises(
        MissingInputsError, match="output directory 'absent' of app 'written' not found on host"
    ):
        future.result()


@pytest.mark.parametrize("keyword", ["inputs", "outputs", "stdout"])
def test_a_file_that_cannot_be_staged_is_refused_at_the_call(kernel: DataFlowKernel, keyword: str) -> None:
    remote = File("https://example.org/data.csv")
    value = remote if keyword == "stdout" else [remote]

    with pytest.raises(ValueError, match=r"<File https://example.org/data.csv> cannot be staged"):
        every(**{keyword: value})


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["path.txt", Path("path.txt"), ("path.txt", "w")], ids=str)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_future_knows_the_stream_as_it_was_given(
    kernel: DataFlowKernel, stream: str, value: object
) -> None:
    future = every(**{stream: value})

    assert getattr(future, stream) == value
    assert future.result() == {stream: value}


def test_a_stream_that_is_a_file_has_a_future(kernel: DataFlowKernel) -> None:
    future = every(stdout=File("out.txt"))

    assert isinstance(future.stdout, DataFuture)
    assert future.stdout.parent is future
    assert future.stdout.result().filepath == "out.txt"
    assert future.stderr is None


# -- wrong values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("inputs", "a.txt", "inputs takes a list of Files, futures or values, not str"),
        ("inputs", {1}, "inputs takes a list"),
        ("outputs", File("a.txt"), "outputs takes a list of Files, not File"),
        ("outputs", ["a.txt"], r"outputs takes Files only; write File\('a.txt'\), not str"),
        ("walltime", "3", "walltime takes a number of seconds, not str"),
        ("walltime", True, "walltime takes a number of seconds, not bool"),
        ("parsl_resource_specification", ["cores"], "parsl_resource_specification takes a dict, not list"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_at_the_call(
    kernel: DataFlowKernel, keyword: str, value: object, said: str
) -> None:
    with pytest.raises(OptionTypeError, match=said) as caught:
        every(**{keyword: value})

    assert str(caught.value).startswith(f"every({keyword}=")
    assert kernel.task_count == 0


@pytest.mark.parametrize("walltime", [0, -1, float("nan")])
def test_a_walltime_is_more_than_nothing(kernel: DataFlowKernel, walltime: float) -> None:
    with pytest.raises(ValueError, match="walltime must be more than 0 seconds"):
        every(walltime=walltime)


def test_threads_refuse_resources_and_say_why(kernel: DataFlowKernel) -> None:
    future = every(parsl_resource_specification={"cores": 2})

    with pytest.raises(InvalidResourceSpecification, match=r"'cores'.*leave it out") as caught:
        future.result()
    assert caught.value.invalid_keys == {"cores"}


# -- walltime in threads --------------------------------------------------------------------------


def spin(walltime: float | None = None) -> None:
    while True:
        pass


def test_a_loop_ends_with_its_walltime(one_thread: DataFlowKernel) -> None:
    began = time.monotonic()

    future = python_app(spin)(walltime=0.2)

    with pytest.raises(AppTimeout, match=r"^App spin exceeded walltime: 0.2 seconds$"):
        future.result()
    assert 0.2 <= time.monotonic() - began < 0.9
    assert none_of_them(2).result() == 2


def test_a_walltime_in_the_signature_holds(one_thread: DataFlowKernel) -> None:
    @python_app
    def slow(walltime: float = 0.05) -> None:
        spin()

    with pytest.raises(AppTimeout, match=r"0\.05 seconds"):
        slow().result()


def test_a_call_that_cannot_be_interrupted_ends_its_future_and_frees_its_thread_later(
    one_thread: DataFlowKernel,
) -> None:
    released, began = threading.Lock(), time.monotonic()

    @python_app
    def blocked() -> None:
        with released:  # the interpreter is not asked again before the lock is there
            pass

    with released:
        future = blocked(walltime=0.1)
        with pytest.raises(AppTimeout, match=r"0\.1 seconds"):
            future.result()
        assert time.monotonic() - began < 2.1

    assert [none_of_them(number).result() for number in range(20)] == list(range(20))


def test_a_task_may_catch_its_timeout_and_still_end_well(one_thread: DataFlowKernel) -> None:
    @python_app
    def caught() -> str:
        try:
            spin()
        except AppTimeout:
            return "cleaned up"
        return "never"

    assert caught(walltime=0.05).result() == "cleaned up"


def test_a_timeout_is_retried_like_any_failure() -> None:
    tries: list[int] = []

    @python_app
    def slow_at_first() -> int:
        tries.append(1)
        if len(tries) == 1:
            spin()
        return len(tries)

    with fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=1)], retries=1)):
        assert slow_at_first(walltime=0.2).result() == 2


@pytest.mark.parametrize("walltime", [1e12, float("inf")])
def test_a_walltime_beyond_all_clocks_is_no_limit_and_harms_no_other(
    one_thread: DataFlowKernel, walltime: float
) -> None:
    assert none_of_them(1, walltime=walltime).result() == 1
    with pytest.raises(AppTimeout):
        python_app(spin)(walltime=0.05).result()


def test_any_real_number_is_a_walltime(kernel: DataFlowKernel) -> None:
    for kind in (int, float, np.int64, np.float32):
        assert none_of_them(1, walltime=cast("Callable[[int], object]", kind)(5)).result() == 1


def test_a_timeout_never_hits_the_next_task(kernel: DataFlowKernel) -> None:
    """Tasks end around their walltimes, and tasks without one run in between on the same threads."""

    @python_app
    def busy(seconds: float) -> str:
        ends_at = time.perf_counter() + seconds
        while time.perf_counter() < ends_at:
            pass
        return "done"

    limited = []
    unlimited = []
    for index in range(300):
        limited.append(busy(0.0005, walltime=0.0001 * (1 + index % 10)))
        unlimited.append(busy(0.0001))

    assert {future.result() for future in unlimited} == {"done"}
    errors = [future.exception() for future in limited]
    assert {type(error) for error in errors} <= {type(None), AppTimeout}
    assert kernel.task_count == 600
