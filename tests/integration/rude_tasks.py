"""Apps that do what no task should do to the process that runs it."""

import atexit
import builtins
import contextlib
import io
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time

from fanflow import python_app

FIRST_DESCRIPTOR = 3


@python_app
def health() -> dict[str, object]:
    """What a task may rely on."""
    print("healthy")
    return {
        "directory": os.getcwd(),
        "stdout": sys.stdout.closed,
        "builtins": len([abs, min, sorted]),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
        "handlers": {
            name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1)
        }
        == dict.fromkeys((signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1), signal.SIG_DFL),
        "mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "limits": [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)],
        "recursion": sys.getrecursionlimit() >= 1000,
    }


@python_app
def close_descriptors(first: int = FIRST_DESCRIPTOR) -> str:
    os.closerange(first, 4096)
    return "closed"


@python_app
def close_standard_descriptors() -> str:
    os.closerange(0, FIRST_DESCRIPTOR)
    return "closed"


@python_app
def write_garbage() -> str:
    for descriptor in range(FIRST_DESCRIPTOR, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\xff" * 64)
    return "wrote"


@python_app
def change_directory() -> str:
    os.chdir("/")
    return os.getcwd()


@python_app
def change_signals() -> str:
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    return "changed"


@python_app
def leave_alarm() -> str:
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    return "set"


@python_app
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@python_app
def fork_and_return() -> int:
    child = os.fork()
    return os.getpid() if child else -1


@python_app
def fork_and_raise() -> int:
    if os.fork() == 0:
        raise ValueError("from the child")
    return os.getpid()


def square(number: int) -> int:
    return number * number


@python_app
def use_multiprocessing(method: str) -> list[int]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(square, range(5))


@python_app
def leave_process() -> int:
    return subprocess.Popen(["sleep", "300"]).pid


@python_app
def leave_thread() -> str:
    def run() -> None:
        while True:
            time.sleep(0.001)
            with contextlib.suppress(Exception):
                print("thread")

    threading.Thread(target=run).start()
    return "started"


@python_app
def limit_resources() -> str:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return "limited"


@python_app
def raise_exit(name: str) -> None:
    raise getattr(builtins, name)("rude")


@python_app
def exit_at_once(status: int) -> None:
    sys.exit(status)


@python_app
def replace_stdout() -> str:
    sys.stdout = io.StringIO()
    return "replaced"


@python_app
def close_stdout() -> str:
    sys.stdout.close()
    return "closed"


@python_app
def delete_builtins(*names: str) -> str:
    for name in names:
        delattr(builtins, name)
    return "deleted"


@python_app
def lower_recursion_limit() -> str:
    sys.setrecursionlimit(60)
    return "lowered"


@python_app
def raise_at_exit() -> str:
    def fail() -> None:
        raise SystemExit(3)

    atexit.register(fail)
    return "registered"


@python_app
def hang_at_exit() -> str:
    atexit.register(time.sleep, 60)
    return "registered"


@python_app
def kill_parent() -> None:
    os.kill(os.getppid(), signal.SIGTERM)


@python_app
def call_app() -> object:
    return sleep(0)
