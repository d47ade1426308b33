import errno
import os
import pathlib
import signal
import threading
from collections.abc import Iterator

import psutil
import pytest

from fanflow.apps import process
from fanflow.apps.bash_command import BashCall
from fanflow.errors import AppException, BadStdStreamFile, BashExitFailure, MissingInputsError, MissingOutputs
from fanflow.model.files import File
from tests.leaks import wait_until


def run(command: object, **options: object) -> int:
    return BashCall("app", lambda: command)(**options)


def failure(command: object, **options: object) -> BashExitFailure:
    with pytest.raises(BashExitFailure) as caught:
        run(command, **options)
    return caught.value


def text(path: str) -> str:
    return pathlib.Path(path).read_text()


def reader_thread_is_gone() -> bool:
    return "fanflow-stderr-drain" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture(params=["pidfd", "portable"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice, the second time on a system without Linux's descriptors."""
    if request.param == "portable":
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.delattr(os, "eventfd")
    return str(request.param)


@pytest.fixture
def standard_error() -> Iterator[int]:
    """Restores descriptor 2 after a test that replaces it."""
    kept = os.dup(2)
    try:
        yield 2
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_both_streams_are_redirected() -> None:
    run("echo out; echo err >&2", stdout="o", stderr="e")

    assert text("o") == "out\n"
    assert text("e").endswith("err\n")


def test_a_redirected_stderr_begins_with_the_command() -> None:
    run("echo $((1 + 1)) >&2", stderr="e")

    assert text("e") == "--> executable follows <--\necho $((1 + 1)) >&2\n--> end executable <--\n2\n"


def test_the_header_shows_an_argument_vector_as_a_shell_would_take_it() -> None:
    run(["echo", "a b", "it's"], stderr="e")

    assert text("e").split("\n")[1] == """echo 'a b' 'it'"'"'s'"""


def test_two_runs_append_to_one_file() -> None:
    run("echo one", stdout="o")
    run("echo two", stdout="o")

    assert text("o") == "one\ntwo\n"


def test_streams_in_one_file_keep_their_order() -> None:
    run("for n in 1 2 3; do echo out $n; echo err $n >&2; done", stdout=("log", "w"), stderr=("log", "w"))

    assert text("log").split("\n")[3:-1] == ["out 1", "err 1", "out 2", "err 2", "out 3", "err 3"]


def test_bytes_that_are_no_text_are_kept() -> None:
    run(r"printf '\xff\x00\xfe'", stdout="o")

    assert pathlib.Path("o").read_bytes() == b"\xff\x00\xfe"


def test_streams_that_are_not_redirected_go_where_a_child_writes(capfd: pytest.CaptureFixture[str]) -> None:
    run("echo out; echo err >&2")

    assert capfd.readouterr() == ("out\n", "err\n")


def test_standard_input_is_empty() -> None:
    assert run("cat", walltime=30) == 0


def test_an_exit_status_is_reported(system: str) -> None:
    error = failure("exit 3")

    assert error.exitcode == 3
    assert str(error) == "bash_app app failed with unix exit code 3"


def test_a_signal_is_reported_as_the_shell_does() -> None:
    error = failure("ulimit -c 0; kill -SEGV $$")

    assert error.exitcode == 139
    assert "the command was killed by SIGSEGV" in error.__notes__


def test_a_signal_to_a_program_inside_the_command_is_named() -> None:
    error = failure("bash -c 'kill -KILL $$'; exit $?")

    assert error.exitcode == 137
    assert "the command says that one of its programs was killed by SIGKILL" in error.__notes__


def test_the_command_gets_default_signals_and_an_empty_mask() -> None:
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        interrupted = failure("kill -INT $$")
        terminated = failure("kill -TERM $$")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGINT, kept)
    broken_pipe = failure("yes | head -n 1 > out; exit ${PIPESTATUS[0]}")

    assert (interrupted.exitcode, terminated.exitcode, broken_pipe.exitcode) == (130, 143, 141)


def test_the_command_leads_a_session_of_its_own() -> None:
    run("echo $$ $(ps -o sid= -p $$)", stdout="o")

    pid, session = text("o").split()
    assert pid == session != str(os.getsid(0))


def test_the_end_of_a_redirected_stderr_is_in_the_exception() -> None:
    run("echo earlier run >&2", stderr="e")

    error = failure("echo this run >&2; exit 1", stderr="e")

    assert error.stderr_tail == "this run"
    assert error.__notes__ == ["standard error ended with:\nthis run", "standard error is in e"]


def test_the_end_of_a_stderr_that_is_not_redirected_is_in_the_exception(
    capfd: pytest.CaptureFixture[str],
) -> None:
    error = failure(r"printf 'x\xe9 1\nline 2\n' >&2; exit 1")

    assert error.stderr_tail == "x\ufffd 1\nline 2"
    assert capfd.readouterr().err.endswith(" 1\nline 2\n")


def test_a_megabyte_of_stderr_passes_and_its_end_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    error = failure("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1")

    assert error.stderr_tail == "x" * 8188 + "end"
    assert len(capfd.readouterr().err) == 1_000_004


def test_a_command_that_closes_its_stderr_runs_on() -> None:
    assert run("exec 2>&-; echo done", stdout="o") == 0
    assert text("o") == "done\n"


def test_a_background_process_that_keeps_stderr_delays_nobody_and_lives_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    os.mkfifo("gate")

    result = run("(read -r line < gate; echo late >&2 && echo alive > mark) & echo early >&2")
    early = capfd.readouterr().err
    pathlib.Path("gate").write_text("go\n")
    wait_until(lambda: os.path.exists("mark") and reader_thread_is_gone(), 20)

    assert (result, early) == (0, "early\n")
    assert text("mark") == "alive\n"
    assert capfd.readouterr().err == "late\n"


def test_a_background_process_that_floods_stderr_delays_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = run("yes >&2 & echo $! > pid")
    os.kill(int(text("pid")), signal.SIGTERM)
    wait_until(reader_thread_is_gone, 20)

    assert result == 0
    assert set(capfd.readouterr().err) <= {"y", "\n"}


def test_a_broken_standard_error_leaves_the_tail(standard_error: int) -> None:
    unwritable = os.open(os.devnull, os.O_RDONLY)
    os.dup2(unwritable, standard_error)
    os.close(unwritable)

    error = failure("echo one >&2; echo two >&2; exit 1")

    assert error.stderr_tail == "one\ntwo"


def test_missing_outputs_are_named_after_a_good_end() -> None:
    with pytest.raises(
        MissingOutputs, match=r"Missing Outputs: \['b'\], Reason: Missing outputs from app app"
    ):
        run("touch a", outputs=[File("a"), File("b")])


def test_a_bad_end_comes_before_missing_outputs() -> None:
    assert failure("exit 4", outputs=[File("a")]).exitcode == 4


def test_a_missing_output_directory_is_found_before_the_command_runs() -> None:
    with pytest.raises(MissingInputsError, match="output directory 'none'"):
        run("touch canary", outputs=[File("none/a")])

    assert not os.path.exists("canary")


def test_a_stream_that_cannot_be_opened_stops_the_command() -> None:
    with pytest.raises(BadStdStreamFile, match="Is a directory"):
        run("touch canary", stdout="canary", stderr=".")

    assert text("canary") == ""


def test_a_missing_program_is_named() -> None:
    with pytest.raises(MissingInputsError, match=r"program 'no-such-program' of app 'app' not found on host"):
        run(["no-such-program", "x"])


@pytest.mark.parametrize(
    ("content", "mode", "number", "reason"),
    [
        ("#!/no/such/interpreter\n", 0o755, errno.ENOENT, "the interpreter that its first line names"),
        ("echo no first line\n", 0o755, errno.ENOEXEC, "a script needs a first line"),
        ("#!/bin/bash\n", 0o644, errno.EACCES, "not executable"),
    ],
)
def test_a_program_that_cannot_start_is_explained(content: str, mode: int, number: int, reason: str) -> None:
    script = pathlib.Path("script")
    script.write_text(content)
    script.chmod(mode)

    with pytest.raises(OSError, match=f"'./script' of app 'app' cannot be started.*{reason}") as caught:
        run(["./script"])

    assert caught.value.errno == number


def test_a_command_that_is_too_long_is_explained() -> None:
    with pytest.raises(OSError, match=r"too long.*write the command to a file"):
        run("true " + "x" * 200_000)


def test_a_working_directory_that_is_gone_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir("short-lived")
    monkeypatch.chdir("short-lived")
    os.rmdir("../short-lived")

    with pytest.raises(FileNotFoundError, match="working directory of its worker has been removed"):
        run("true")


def test_the_environment_is_that_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "grün")

    run("echo $COLOUR", stdout="o")

    assert pathlib.Path("o").read_text(encoding="utf-8") == "grün\n"


def test_an_exit_status_that_somebody_else_took_is_no_success(system: str) -> None:
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(AppException, match="exit status of app app is lost"):
            run("true")
    finally:
        signal.signal(signal.SIGCHLD, kept)


def test_what_could_not_be_reaped_is_reaped_later() -> None:
    pid = os.posix_spawnp("true", ["true"], os.environ)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 20)
    process._unreaped.append(pid)

    run("true")

    assert not psutil.pid_exists(pid)
    assert process._unreaped == []


def test_two_hundred_runs_leave_no_descriptor_and_no_process(system: str) -> None:
    before = os.listdir("/proc/self/fd")
    children = psutil.Process().children()  # such as the fork server of an earlier test

    for number in range(200):
        run(["true"], stdout="o" if number % 2 else None, stderr="e" if number % 3 else None)

    assert os.listdir("/proc/self/fd") == before
    assert psutil.Process().children() == children
