import os
import pathlib
import socket

import pytest

from fanflow.apps.task_files import check_files, check_outputs
from fanflow.errors import MissingInputsError, MissingOutputs
from fanflow.model.files import File


def test_files_that_are_there_pass() -> None:
    pathlib.Path("in").touch()

    check_files("app", [File("in"), 3, "no file at all", None], [File("out"), "other", pathlib.Path("third")])


def test_every_missing_input_is_named_with_host_and_directory() -> None:
    pathlib.Path("there").touch()

    with pytest.raises(MissingInputsError) as caught:
        check_files("app", [File("there"), File("a"), File("file:///nowhere/b")], [])

    assert caught.value.paths == ["a", "/nowhere/b"]
    assert socket.gethostname() in str(caught.value)
    assert os.getcwd() in str(caught.value)


def test_a_missing_output_directory_is_named_once() -> None:
    with pytest.raises(MissingInputsError) as caught:
        check_files("app", [], [File("none/a"), File("none/b"), File("fine")])

    assert caught.value.paths == ["none"]
    assert "output directory 'none'" in str(caught.value)


def test_a_remote_file_that_is_not_staged_is_not_looked_for() -> None:
    check_files("app", [File("https://example.org/a")], [File("https://example.org/dir/b")])
    check_outputs("app", [File("https://example.org/dir/b")])


def test_a_staged_file_is_looked_for_where_staging_put_it() -> None:
    staged = File("https://example.org/a")
    staged.local_path = "copy"

    with pytest.raises(MissingInputsError) as caught:
        check_files("app", [staged], [])

    assert caught.value.paths == ["copy"]


def test_every_missing_output_is_named() -> None:
    pathlib.Path("made").touch()

    with pytest.raises(MissingOutputs) as caught:
        check_outputs("app", [File("made"), File("a"), "b", pathlib.Path("c")])

    assert str(caught.value) == "Missing Outputs: ['a', 'b', 'c'], Reason: Missing outputs from app app"
