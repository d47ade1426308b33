"""Apps that never end, each in its own way; all write down the processes that they consist of."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time

from fanflow import bash_app, python_app

_DEAF = "trap '' TERM INT HUP; echo $$ >> {path}; sleep 300 & echo $! >> {path}; wait"


def note(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


def become_daemon(path: str) -> None:
    """A grandchild in a session of its own, with nothing that tells where it came from."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    script = f"trap '' TERM; echo $$ >> {path}; exec sleep 300"
    os.execve("/bin/sh", ["sh", "-c", script], {"PATH": os.environ["PATH"]})


@python_app
def spin(path: str) -> None:
    note(path)
    while True:
        pass


@python_app
def sleep(path: str) -> None:
    note(path)
    time.sleep(300)


@python_app
def hold_interpreter_lock(path: str) -> None:
    note(path)
    ctypes.PyDLL(None).sleep(300)


@python_app
def read_with_signals_blocked(path: str) -> None:
    note(path)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.mkfifo(f"{path}-fifo")
    while True:
        with contextlib.suppress(OSError):
            os.read(os.open(f"{path}-fifo", os.O_RDONLY), 1)


@python_app
def start_deaf_children(path: str) -> None:
    note(path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = [
        subprocess.Popen(["sh", "-c", _DEAF.format(path=path)], start_new_session=own)
        for own in (False, True)
    ]
    become_daemon(path)
    for child in children:
        child.wait()


@bash_app
def bash_spin(path: str) -> str:
    return f"echo $$ >> {path}; while :; do :; done"


@bash_app
def bash_sleep(path: str) -> str:
    return f"echo $$ >> {path}; sleep 300"


@bash_app
def bash_read(path: str) -> str:
    return f"echo $$ >> {path}; mkfifo {path}-fifo; trap '' TERM INT HUP; cat {path}-fifo"


@bash_app
def bash_deaf_children(path: str) -> str:
    daemon = f"trap '' TERM; echo $$ >> {path}; exec sleep 300"
    return f'env -i setsid sh -c "{daemon.replace("$", chr(92) + "$")}" & {_DEAF.format(path=path)}'


PYTHON_FORMS = [spin, sleep, hold_interpreter_lock, read_with_signals_blocked, start_deaf_children]
BASH_FORMS = [bash_spin, bash_sleep, bash_read, bash_deaf_children]
PROCESSES = {"start_deaf_children": 6, "bash_deaf_children": 3}
"""Lines that an app writes when all of it runs; else one."""
