import copy
import os
import pathlib
import pickle

import pytest

from fanflow import File

ADDRESSES = [
    # given, scheme, netloc, path, filename
    ("a.txt", "file", "", "a.txt", "a.txt"),
    ("./a.txt", "file", "", "./a.txt", "a.txt"),
    ("/a/b.txt", "file", "", "/a/b.txt", "b.txt"),
    ("dir/", "file", "", "dir/", ""),
    ("a b.txt", "file", "", "a b.txt", "a b.txt"),
    ("50%20.txt", "file", "", "50%20.txt", "50%20.txt"),
    ("x#y.txt", "file", "", "x#y.txt", "x#y.txt"),
    ("x?y.txt", "file", "", "x?y.txt", "x?y.txt"),
    ("a;b.txt", "file", "", "a;b.txt", "a;b.txt"),
    ("10:30/log", "file", "", "10:30/log", "log"),
    ("ünï.txt", "file", "", "ünï.txt", "ünï.txt"),
    ("//host/path", "file", "", "//host/path", "path"),
    ("file:relative.txt", "file", "", "relative.txt", "relative.txt"),
    ("file:/abs.txt", "file", "", "/abs.txt", "abs.txt"),
    ("file:///x/y.txt", "file", "", "/x/y.txt", "y.txt"),
    ("file://host/x/y.txt", "file", "host", "/x/y.txt", "y.txt"),
    ("file://localhost/x", "file", "localhost", "/x", "x"),
    ("file:///with%20space.txt", "file", "", "/with space.txt", "with space.txt"),
    ("http://h/p/q.html", "http", "h", "/p/q.html", "q.html"),
    ("HTTP://H/P", "http", "H", "/P", "P"),
    ("https://h:8080/p?q=1#f", "https", "h:8080", "/p", "p"),
    ("https://h/with%20space", "https", "h", "/with%20space", "with%20space"),
    ("ftp://user:word@h/f.dat", "ftp", "user:word@h", "/f.dat", "f.dat"),
    ("sftp://h//abs", "sftp", "h", "//abs", "abs"),
    ("rsync://h/module/f", "rsync", "h", "/module/f", "f"),
    ("s3://bucket/key/with/slash", "s3", "bucket", "/key/with/slash", "slash"),
    ("globus://1234-ab/~/x/y", "globus", "1234-ab", "/~/x/y", "y"),
    ("zip:/a/b.zip/c.txt", "zip", "", "/a/b.zip/c.txt", "c.txt"),
]


@pytest.mark.parametrize(("given", "scheme", "netloc", "path", "filename"), ADDRESSES)
def test_an_address_is_taken_apart(given: str, scheme: str, netloc: str, path: str, filename: str) -> None:
    file = File(given)

    assert (file.url, file.scheme, file.netloc, file.path, file.filename, file.local_path) == (
        given,
        scheme,
        netloc,
        path,
        filename,
        None,
    )


@pytest.mark.parametrize("given", [address[0] for address in ADDRESSES if address[1] == "file"])
def test_a_file_of_this_machine_is_a_path(given: str) -> None:
    file = File(given)

    assert file.filepath == str(file) == os.fspath(file) == file.path


@pytest.mark.parametrize("given", [address[0] for address in ADDRESSES if address[1] != "file"])
def test_a_remote_file_has_a_path_only_when_it_has_been_staged(given: str) -> None:
    file = File(given)
    with pytest.raises(ValueError, match="No local_path set for <File"):
        os.fspath(file)

    file.local_path = "/staged/copy"

    assert file.filepath == str(file) == os.fspath(file) == "/staged/copy"


def test_a_file_can_be_opened() -> None:
    file = File("here.txt")
    with open(file, "w") as written:
        written.write("text")

    assert pathlib.Path(file).read_text() == "text"


def test_a_path_object_is_a_file() -> None:
    assert File(pathlib.Path("a") / "b.txt").url == "a/b.txt"


def test_a_clean_copy_has_the_address_and_nothing_else() -> None:
    file = File("https://h/x")
    file.local_path = "/tmp/x"

    clean = file.cleancopy()

    assert clean is not file
    assert (clean.url, clean.local_path) == ("https://h/x", None)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda file: pickle.loads(pickle.dumps(file))])
def test_a_file_travels_with_its_local_path(copied: object) -> None:
    file = File("https://h/x")
    file.local_path = "/tmp/x"

    assert callable(copied)
    arrived = copied(file)

    assert (arrived.url, arrived.scheme, arrived.path, arrived.local_path) == (
        "https://h/x",
        "https",
        "/x",
        "/tmp/x",
    )


@pytest.mark.parametrize("given", [3, None, b"bytes", ["a.txt"]])
def test_anything_but_a_path_is_refused(given: object) -> None:
    with pytest.raises(TypeError):
        File(given)  # type: ignore[arg-type]


def test_a_file_of_a_file_is_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match="cleancopy"):
        File(File("a.txt"))


def test_two_files_of_one_address_are_different_things() -> None:
    first, second = File("a.txt"), File("a.txt")

    assert first != second
    assert len({first, second}) == 2


def test_the_text_shows_the_address_and_the_local_path() -> None:
    file = File("https://h/x")
    assert repr(file) == "<File https://h/x>"

    file.local_path = "/tmp/x"

    assert repr(file) == "<File https://h/x local_path=/tmp/x>"


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="not an empty string"):
        File("")
