"""The futures of the files that tasks write."""

import concurrent.futures
from collections.abc import Mapping
from pathlib import Path

import pytest

import fanflow
from fanflow import DataFlowKernel, DataFuture, File, python_app
from fanflow.errors import DependencyError
from tests.integration.kernels import every, paths, written


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


def test_a_stream_that_is_a_file_has_a_future(kernel: DataFlowKernel) -> None:
    future = every(stdout=File("out.txt"))

    assert isinstance(future.stdout, DataFuture)
    assert future.stdout.parent is future
    assert future.stdout.result().filepath == "out.txt"
    assert future.stderr is None


def test_the_future_of_a_file_works_with_the_standard_functions(kernel: DataFlowKernel) -> None:
    @python_app
    def nothing(outputs: list[File]) -> None:
        pass

    outputs = nothing(outputs=[File("a"), File("b")]).outputs

    done, _ = concurrent.futures.wait(outputs, timeout=30)
    assert done == set(outputs)
    assert [file.path for file in fanflow.gather(outputs).result()] == ["a", "b"]
