import threading
from pathlib import Path

import pytest

import fanflow
from fanflow import DataFlowKernel, File, join_app, python_app
from fanflow.errors import InvalidResourceSpecification, MissingInputsError, OptionTypeError
from tests.integration.kernels import every, none_of_them, paths, written

EVERY_KEYWORD: dict[str, object] = {
    "inputs": [1],
    "outputs": [],
    "stdout": "out",
    "stderr": ("err", "w"),
    "walltime": 30,
    "parsl_resource_specification": {},
    "label": "first",
}


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


def test_threads_refuse_resources_and_say_why(kernel: DataFlowKernel) -> None:
    future = every(parsl_resource_specification={"cores": 2})

    with pytest.raises(InvalidResourceSpecification, match=r"'cores'.*leave it out") as caught:
        future.result()
    assert caught.value.invalid_keys == {"cores"}
