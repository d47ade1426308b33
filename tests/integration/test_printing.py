"""What tasks print appears at the client, marked, in order, and never at the kernel's expense."""

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanflow
from fanflow import Config, DataFlowKernel, python_app
from tests.integration.engines import TwoWorkers
from tests.integration.scripts import Script, run
from tests.leaks import wait_until

MARK = r"\[{app}, worker \d+ on [^]]+\] "

ROOT = Path(__file__).parents[2]

ENGINE = f"""
        sys.path.insert(0, {str(ROOT)!r})
        from tests.integration.engines import TwoWorkers
        fanflow.load(Config(executors=[TwoWorkers()]))

        @python_app
        def tell(*lines):
            for line in lines:
                print(line)

        @python_app
        def chatter(lines):
            for line in range(lines):
                print("line", line, "." * 100)
"""


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkers()])) as kernel:
        yield kernel


@python_app
def tell(*lines: str, end: str = "\n") -> int:
    for line in lines:
        print(line, end=end)
    return len(lines)


@python_app
def complain(text: str) -> None:
    print(text, file=sys.stderr)


@python_app
def tell_and_fail(text: str) -> None:
    print(text)
    raise ValueError(text)


@python_app
def add(a: int) -> int:
    return a + 1


class BlockedStream:
    """Blocks whoever writes, until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.text = ""

    def write(self, text: str) -> int:
        self.entered.set()
        self.opened.wait(20)
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


class BrokenStream:
    """Ends whoever writes."""

    def write(self, text: str) -> int:
        raise SystemExit(text)


def test_printed_lines_are_there_when_the_result_is(
    kernel: DataFlowKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        assert tell(f"one {number}", f"two {number}").result(timeout=30) == 2

        out = capsys.readouterr().out
        mark = MARK.format(app="tell")
        assert re.fullmatch(f"{mark}one {number}\n{mark}two {number}\n", out)


def test_each_stream_goes_to_its_like(kernel: DataFlowKernel, capsys: pytest.CaptureFixture[str]) -> None:
    complain("trouble").result(timeout=30)
    tell("fine").result(timeout=30)

    out, err = capsys.readouterr()
    assert re.fullmatch(MARK.format(app="complain") + "trouble\n", err)
    assert re.fullmatch(MARK.format(app="tell") + "fine\n", out)


def test_what_a_failing_task_printed_is_there_when_its_error_is(
    kernel: DataFlowKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    error = tell_and_fail("last words").exception(timeout=30)

    assert isinstance(error, ValueError)
    assert "last words\n" in capsys.readouterr().out


def test_a_line_that_is_printed_in_parts_comes_as_one(
    kernel: DataFlowKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    tell("a", "b", "c", end="").result(timeout=30)

    assert re.fullmatch(MARK.format(app="tell") + "abc\n", capsys.readouterr().out)


def test_a_stream_that_blocks_holds_up_no_task(
    kernel: DataFlowKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = BlockedStream()
    monkeypatch.setattr(sys, "stdout", stream)

    talkative = [tell("x" * 100) for _ in range(50)]
    assert stream.entered.wait(20)
    quiet = [add(number) for number in range(1000)]

    assert [future.result(timeout=10) for future in quiet] == list(range(1, 1001))
    assert [future.result(timeout=10) for future in talkative] == [1] * 50
    stream.opened.set()
    wait_until(lambda: stream.text.count("x" * 100) == 50, 10)
    assert stream.text.count("x" * 100) == 50


def test_a_stream_that_is_blocked_at_the_end_delays_it_by_a_second_at_most() -> None:
    stream = BlockedStream()
    stdout, sys.stdout = sys.stdout, stream  # type: ignore[assignment]
    try:
        with fanflow.load(Config(executors=[TwoWorkers()])):
            tell("late").result(timeout=10)
            closing = threading.Timer(10, stream.opened.set)
            closing.start()
    finally:
        sys.stdout = stdout
    was_open = stream.opened.is_set()
    closing.cancel()
    closing.join()
    stream.opened.set()

    assert not was_open


@pytest.mark.parametrize("stream", [None, BrokenStream(), object()], ids=["none", "raises", "no stream"])
def test_a_stream_that_is_broken_harms_nothing(
    kernel: DataFlowKernel, monkeypatch: pytest.MonkeyPatch, stream: object
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)

    assert [tell("x").result(timeout=10) for _ in range(3)] == [1, 1, 1]


def test_text_that_the_stream_cannot_encode_is_escaped(
    kernel: DataFlowKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("out.txt", "w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        tell("\N{SNOWMAN}").result(timeout=30)

    with open("out.txt", encoding="ascii") as file:
        assert "\\u2603" in file.read()


def test_a_flood_is_cut_off_and_counted() -> None:
    ended = run(
        ENGINE
        + """
        chatter(20_000).result()
        fanflow.dfk().cleanup()
    """
    )

    dropped = [
        int(lines) for lines in re.findall(r"(\d+) lines dropped; \S+worker_\d.log has them", ended.err)
    ]
    assert ended.status == 0
    assert 20_000 <= sum(dropped) + ended.out.count("] line ") <= 20_000 + len(dropped)
    assert ended.out.count("] line ") < 2_000


def test_nobody_reading_a_pipe_does_not_hang_or_abort_the_program() -> None:
    with Script(
        ENGINE
        + """
        import fcntl
        fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)
        sys.stdout.reconfigure(line_buffering=False, write_through=False)
        for _ in range(3):
            chatter(300).result()
        print(tell("x").result(), file=sys.stderr)
        fanflow.dfk().cleanup()
        print("ends", file=sys.stderr, flush=True)
    """
    ) as script:
        script.wait_for("ends", in_errors=True)
        ended = script.end()

    assert ended.status == 0
    assert "Fatal" not in ended.err


def test_a_pipe_whose_reader_has_gone_does_not_change_how_the_program_ends() -> None:
    ended = run(
        ENGINE
        + """
        read, write = os.pipe()
        os.dup2(write, 1)
        os.close(read)
        for _ in range(3):
            chatter(300).result()
        fanflow.dfk().cleanup()
    """
    )

    assert (ended.status, "Traceback" in ended.err) == (0, False)


def test_lines_of_one_task_keep_their_order(
    kernel: DataFlowKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    futures = [tell(*[f"{task} {line}" for line in range(50)]) for task in range(10)]
    for future in futures:
        future.result(timeout=30)

    lines = [line.split("] ")[1].split() for line in capsys.readouterr().out.splitlines()]
    for task in range(10):
        assert [line for name, line in lines if name == str(task)] == [str(line) for line in range(50)]
