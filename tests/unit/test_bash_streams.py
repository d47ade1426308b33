import os
import pathlib

import pytest

from fanflow.apps.streams import TAIL_BYTES, Streams, last_lines, target_of
from fanflow.errors import BadStdStreamFile
from fanflow.model.files import File


def opened(stdout: object = None, stderr: object = None) -> Streams:
    return Streams(target_of("stdout", stdout), target_of("stderr", stderr))


def write(stream: int | None, text: str) -> None:
    assert stream is not None
    os.write(stream, text.encode())


@pytest.mark.parametrize(
    ("wanted", "content"),
    [
        ("log", "old new"),
        (pathlib.Path("log"), "old new"),
        (("log", "a"), "old new"),
        ((pathlib.Path("log"), "at"), "old new"),
        (("log", "w"), "new"),
        (("log", "wb+"), "new"),
        ((File("log"), "a+"), "old new"),
        (File("log"), "new"),
        (("log", "r+"), "new "),
    ],
)
def test_the_mode_says_what_happens_to_an_old_file(wanted: object, content: str) -> None:
    log = pathlib.Path("log")
    log.write_text("old ")

    with opened(stdout=wanted) as streams:
        write(streams.stdout, "new")

    assert log.read_text() == content


def test_mode_x_refuses_an_old_file() -> None:
    pathlib.Path("log").touch()

    with pytest.raises(BadStdStreamFile, match="log: File exists"):
        opened(stdout=("log", "x"))


def test_directories_on_the_way_are_made() -> None:
    with opened(stdout="a/b/log", stderr="c/log"):
        pass

    assert pathlib.Path("a/b/log").is_file()
    assert pathlib.Path("c/log").is_file()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (3, "not int"),
        (b"log", "not bytes"),
        (("log",), r"has to be \(path, mode\)"),
        (("log", 3), r"has to be \(path, mode\)"),
        (("log", "r"), "mode 'r', which cannot write"),
        (("log", "q"), "mode 'q', which cannot write"),
        (("log", "a++"), "cannot write"),
        ((None, "w"), "not NoneType"),
        (File("https://example.org/log"), "after staging"),
    ],
)
def test_what_is_no_place_to_write_to_is_refused(wanted: object, reason: str) -> None:
    with pytest.raises(BadStdStreamFile, match=reason):
        target_of("stdout", wanted)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".", "Is a directory"),
        ("", "No such file"),
        ("file/log", "Not a directory|File exists"),
        ("a\0b", "null byte"),
    ],
)
def test_a_stream_that_cannot_be_opened_is_named_with_the_reason(path: str, reason: str) -> None:
    pathlib.Path("file").touch()

    with pytest.raises(BadStdStreamFile, match=reason):
        opened(stderr=path)


def test_the_first_stream_is_closed_if_the_second_cannot_be_opened() -> None:
    before = os.listdir("/proc/self/fd")

    with pytest.raises(BadStdStreamFile):
        opened(stdout="log", stderr=".")

    assert os.listdir("/proc/self/fd") == before


def test_one_file_under_two_names_is_opened_once() -> None:
    pathlib.Path("log").touch()
    pathlib.Path("link").symlink_to("log")

    with opened(stdout=("log", "w"), stderr=("./link", "w")) as streams:
        write(streams.stdout, "one ")
        write(streams.stderr, "two ")
        write(streams.stdout, "three")

    assert pathlib.Path("log").read_text() == "one two three"


def test_overwriting_wins_if_one_file_is_given_for_both() -> None:
    pathlib.Path("log").write_text("old")

    with opened(stdout="log", stderr=File("log")) as streams:
        write(streams.stderr, "new")

    assert pathlib.Path("log").read_text() == "new"


def test_the_tail_holds_only_what_followed_the_header() -> None:
    pathlib.Path("log").write_text("of an earlier run\n")

    with opened(stderr="log") as streams:
        streams.write_header(b"command")
        write(streams.stderr, "of this run\n")
        tail = streams.stderr_tail()

    assert tail == b"of this run\n"


def test_the_tail_is_bounded() -> None:
    with opened(stderr="log") as streams:
        streams.write_header(b"command")
        write(streams.stderr, "x" * 3 * TAIL_BYTES + "end")
        tail = streams.stderr_tail()

    assert len(tail) == TAIL_BYTES
    assert tail.endswith(b"xend")


def test_a_full_disk_stops_no_header_and_no_tail() -> None:
    with opened(stderr="/dev/full") as streams:
        streams.write_header(b"command")
        tail = streams.stderr_tail()

    assert tail == b""


def test_the_tail_of_a_replaced_file_is_not_taken_for_ours() -> None:
    with opened(stderr="log") as streams:
        streams.write_header(b"")
        os.unlink("log")
        pathlib.Path("log").write_text("somebody else's")
        tail = streams.stderr_tail()

    assert tail == b""


def test_the_last_twenty_lines_are_shown() -> None:
    text = last_lines("".join(f"line {number}\n" for number in range(50)).encode())

    assert text.split("\n") == [f"line {number}" for number in range(30, 50)]


def test_bytes_that_are_no_text_are_shown_as_replacements() -> None:
    assert last_lines(b"x\xe9\n") == "x\ufffd"
