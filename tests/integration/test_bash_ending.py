import contextlib
import ctypes
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import psutil
import pytest

from fanflow.apps.bash_command import BashCall
from fanflow.codec.stoppable import stop_thread
from fanflow.errors import AppTimeout
from tests.leaks import wait_until

WALLTIME = 0.6
GRACE = 0.2
PROMISED_LATENESS = 0.5


@pytest.fixture(params=["pidfd", "portable"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice, the second time on a system without Linux's descriptors."""
    if request.param == "portable":
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.delattr(os, "eventfd")
    return str(request.param)


def run(command: str, grace: float = GRACE, **options: object) -> int:
    return BashCall("app", lambda: command, grace)(**options)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pids(path: str = "pids") -> list[int]:
    return [int(line) for line in pathlib.Path(path).read_text().split()]


class Waiting:
    """A call that waits in a thread of its own; made once its command has written to the pipe `ready`."""

    def __init__(self, command: str, **options: object) -> None:
        os.mkfifo("ready")
        self.pool = ThreadPoolExecutor(1)
        self.thread: int = self.pool.submit(threading.get_ident).result()
        self.call: Future[int] = self.pool.submit(run, command, **options)
        self.pid = int(pathlib.Path("ready").read_text())

    def inject(self, exception: type[BaseException]) -> None:
        set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
        assert set_exception(ctypes.c_ulong(self.thread), ctypes.py_object(exception)) == 1

    def error(self) -> BaseException | None:
        return self.call.exception(timeout=30)


@pytest.fixture
def waiting() -> Iterator[Callable[..., Waiting]]:
    made: list[Waiting] = []

    def make(command: str, **options: object) -> Waiting:
        made.append(Waiting(command, **options))
        return made[-1]

    yield make
    for each in made:
        each.pool.shutdown()


def test_the_walltime_ends_a_command(system: str) -> None:
    with pytest.raises(AppTimeout, match=r"^App app exceeded walltime: 0.6 seconds$"):
        run("echo $$ > pids; exec sleep 100", walltime=WALLTIME)

    assert is_gone(*pids())


def test_a_command_that_is_quick_enough_is_not_disturbed(system: str) -> None:
    assert run("true", walltime=30) == 0
    assert run("true", walltime=10**9) == 0


def test_the_walltime_ends_a_whole_tree_that_ignores_sigterm(system: str) -> None:
    tree = """
        trap '' TERM
        echo $$ >> pids
        for n in 1 2 3; do (echo $BASHPID >> pids; while :; do sleep 100; done) & done
        (sleep 100 & echo $! >> pids)
        while :; do sleep 100; done
    """
    began = time.monotonic()

    with pytest.raises(AppTimeout):
        run(tree, walltime=WALLTIME)

    took = time.monotonic() - began
    assert len(pids()) == 5
    assert all(map(is_gone, pids()))
    assert WALLTIME + GRACE <= took < WALLTIME + GRACE + PROMISED_LATENESS


def test_the_walltime_ends_what_has_left_the_session(system: str) -> None:
    escape = """
        setsid bash -c 'trap "" TERM; echo $$ >> pids; sleep 100 & echo $! >> pids; wait; sleep 100' &
        wait
    """

    with pytest.raises(AppTimeout):
        run(escape, walltime=WALLTIME)

    assert len(pids()) == 2
    assert all(map(is_gone, pids()))


def test_a_background_process_is_ended_after_its_parent_has_gone(waiting: Callable[..., Waiting]) -> None:
    call = waiting("(sleep 100 & echo $! > pids); echo $$ > ready; exec sleep 100")

    assert stop_thread(call.thread)

    assert isinstance(call.error(), CancelledError)
    assert is_gone(*pids())


def test_a_suspended_command_is_woken_to_end_by_itself() -> None:
    began = time.monotonic()

    with pytest.raises(AppTimeout):
        run("echo $$ > pids; kill -STOP $$; sleep 100", grace=30.0, walltime=WALLTIME)

    assert time.monotonic() - began < 20
    assert is_gone(*pids())


def test_a_command_may_clean_up_within_its_grace(capfd: pytest.CaptureFixture[str]) -> None:
    polite = "trap 'head -c 200000 /dev/zero >&2; echo cleaned > mark; exit' TERM; sleep 100 & wait"

    with pytest.raises(AppTimeout):
        run(polite, grace=30.0, walltime=WALLTIME)

    assert pathlib.Path("mark").read_text() == "cleaned\n"
    assert len(capfd.readouterr().err) == 200_000


def test_the_timeout_shows_the_end_of_stderr() -> None:
    with pytest.raises(AppTimeout) as redirected:
        run("echo stuck >&2; sleep 100", walltime=WALLTIME, stderr="log")
    with pytest.raises(AppTimeout) as passed_on:
        run("echo stuck >&2; sleep 100", walltime=WALLTIME)

    assert redirected.value.__notes__ == ["standard error ended with:\nstuck", "standard error is in log"]
    assert passed_on.value.__notes__ == ["standard error ended with:\nstuck"]


def test_the_walltime_holds_while_standard_error_takes_nothing_and_no_byte_is_lost() -> None:
    kept = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    os.set_blocking(reader, False)
    received = bytearray()

    def all_received() -> bool:
        drained = "fanflow-stderr-drain" not in {thread.name for thread in threading.enumerate()}
        with contextlib.suppress(BlockingIOError):
            received.extend(os.read(reader, 1_000_000))
        return drained

    began = time.monotonic()
    try:
        with pytest.raises(AppTimeout):
            run("seq 1 1000000 >&2; sleep 100", walltime=WALLTIME)
        took = time.monotonic() - began
        wait_until(all_received, 20)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(reader)

    lines = received.split(b"\n")[:-1]
    assert took < WALLTIME + GRACE + PROMISED_LATENESS
    assert len(received) > 131_072  # two pipes were full, and what lay between them came too
    assert lines == [b"%d" % number for number in range(1, len(lines) + 1)]


def test_another_thread_stops_a_command(system: str, waiting: Callable[..., Waiting]) -> None:
    call = waiting("echo $$ > ready; exec sleep 100")

    assert stop_thread(call.thread)

    error = call.error()
    assert isinstance(error, CancelledError)
    assert str(error) == "app app was stopped"
    assert is_gone(call.pid)


def test_stopping_twice_is_stopping_once(waiting: Callable[..., Waiting]) -> None:
    call = waiting("trap '' TERM; echo $$ > ready; while :; do sleep 100; done", grace=1.0)

    told = [stop_thread(call.thread) for _ in range(3)]

    assert told == [True, True, True]
    assert isinstance(call.error(), CancelledError)
    assert is_gone(call.pid)


def test_only_the_stopped_thread_ends_its_command(waiting: Callable[..., Waiting]) -> None:
    call = waiting("echo $$ > ready; exec sleep 100")
    os.mkfifo("gate")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, "read -r line < gate")
        stop_thread(call.thread)
        stopped = call.error()
        pathlib.Path("gate").write_text("go\n")

    assert isinstance(stopped, CancelledError)
    assert other.result() == 0


def test_a_thread_that_is_not_waiting_any_more_is_not_stopped(waiting: Callable[..., Waiting]) -> None:
    call = waiting("echo $$ > ready")
    call.error()

    assert not stop_thread(call.thread)


def test_an_injected_exception_ends_the_command_and_is_what_the_caller_gets(
    waiting: Callable[..., Waiting],
) -> None:
    call = waiting("(trap '' TERM; echo $BASHPID > pids; echo $$ > ready; sleep 100) & exec sleep 100")

    call.inject(AppTimeout)
    stop_thread(call.thread)

    assert isinstance(call.error(), AppTimeout)
    assert is_gone(call.pid)
    assert is_gone(*pids())


def test_ctrl_c_ends_the_command() -> None:
    with pytest.raises(KeyboardInterrupt):
        run("echo $$ > pids; kill -INT $PPID; exec sleep 100")

    assert is_gone(*pids())


def test_a_second_ctrl_c_does_not_wait_for_the_grace() -> None:
    stubborn = """
        echo $$ > pids
        trap 'kill -INT $PPID' TERM
        sleep 100 &
        kill -INT $PPID
        wait; trap '' TERM; while :; do sleep 100; done
    """
    began = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        run(stubborn, grace=30.0)

    assert time.monotonic() - began < 20
    assert is_gone(*pids())
