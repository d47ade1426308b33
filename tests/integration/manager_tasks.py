"""Tasks for the manager's tests; workers import this module, so it imports little."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def nothing() -> None:
    return None


def double(number: int) -> int:
    return 2 * number


def process_id() -> int:
    return os.getpid()


def pause(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def spin() -> None:
    while True:
        pass


def call_c() -> None:
    ctypes.PyDLL(None).sleep(60)  # PyDLL keeps the interpreter lock


def read_for_ever() -> None:
    reader, _writer = os.pipe()
    os.read(reader, 1)


def start_deaf_children(path: str) -> None:
    script = f"trap '' TERM; echo $$ >> {path}; sleep 60"
    children = [subprocess.Popen(["sh", "-c", script], start_new_session=flag) for flag in (False, True)]
    for child in children:
        child.wait()


def leave_child_behind(path: str) -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    Path(path).write_text(str(child.pid))


def crash() -> None:
    ctypes.string_at(0)


def exit_hard() -> None:
    os.write(2, b"last words\n")
    os._exit(3)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def say(text: str) -> None:
    print(text)
    print("problem", file=sys.stderr)


def say_much(lines: int) -> None:
    for number in range(lines):
        print(f"line {number:060d}")


def variables(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def fork_and_return() -> int:
    os.fork()
    return os.getpid()


def hold(mebibytes: int) -> None:
    held = b"x" * (mebibytes << 20)
    time.sleep(60)
    del held


def write_everywhere() -> None:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, os.urandom(200))
    time.sleep(60)


def measure(data: bytes) -> int:
    return len(data)


def make(size: int) -> bytes:
    return b"z" * size


def count_and_pause(path: str, seconds: float) -> None:
    with open(path, "a") as file:
        file.write("x")
    time.sleep(seconds)


def pause_and_tell(folder: str, seconds: float) -> None:
    Path(folder, f"started-{os.getpid()}").touch()
    time.sleep(seconds)


def grow(mebibytes: int) -> int:
    """Hold so much at once, and no more afterwards."""
    return len(b"x" * (mebibytes << 20))


def grow_in_child(mebibytes: int) -> int:
    """Succeeds whatever becomes of the child."""
    script = f"len(b'x' * ({mebibytes} << 20))"
    return subprocess.run([sys.executable, "-S", "-c", script], check=False).returncode


def hold_and_spin(mebibytes: int) -> None:
    held = b"x" * (mebibytes << 20)
    while held:
        pass


def hold_and_call_c(mebibytes: int) -> None:
    held = b"x" * (mebibytes << 20)
    call_c()
    del held


def hold_and_read_deaf(mebibytes: int) -> None:
    held = b"x" * (mebibytes << 20)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    read_for_ever()
    del held


def hold_in_deaf_child(mebibytes: int) -> None:
    script = f"import time; held = b'x' * ({mebibytes} << 20); time.sleep(60)"
    subprocess.run(["sh", "-c", f"trap '' TERM; {sys.executable} -S -c \"{script}\""], check=False)


def cores_of_this() -> list[int]:
    return sorted(os.sched_getaffinity(0))
