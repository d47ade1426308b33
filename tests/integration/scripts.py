"""Programs of a few lines in interpreters of their own, as users run them."""

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import fanflow

SOURCES = Path(fanflow.__file__).parents[1]
PATIENCE_S = 30.0

PRELUDE = """
import os, sys, threading, time
import fanflow
from fanflow import Config, ThreadPoolExecutor, join_app, python_app

def say(text):
    sys.stdout.write(f"{text}\\n")
    sys.stdout.flush()

@python_app
def give(value, seconds=0.0):
    time.sleep(seconds)
    say(f"ran {value}")
    return value

def say_when_main_waits():
    # A signal that comes while the main thread is about to wait for a lock is not seen by it.
    main = threading.main_thread().ident

    def look():
        while sys._current_frames()[main].f_code.co_filename != threading.__file__:
            time.sleep(0.01)
        time.sleep(0.05)
        say("main waits")

    threading.Thread(target=look, daemon=True).start()

def config(**options):
    return Config(executors=[ThreadPoolExecutor(max_threads=2)], **options)

def warm_up():
    python_app(abs)(1).result()

def mark(name):
    open(name, "w").close()

def wait_for_mark(name):
    while not os.path.exists(name):
        time.sleep(0.01)
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int
    """Negative: the number of the signal."""
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> list[str]:
        """The lines of standard output, without what marks those of tasks in workers."""
        return [re.sub(r"^\[\w+, worker \d+ on [^]]+\] ", "", line) for line in self.out.splitlines()]


class Script:
    """A running program. Its code may use what `PRELUDE` defines.

    Use it as a context manager: what still runs at the end is killed.
    """

    def __init__(self, code: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "PYTHONUNBUFFERED": "1"}
        self._began = time.monotonic()
        self._out = b""
        path = Path("script.py")
        path.write_text(PRELUDE + textwrap.dedent(code), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def wait_for(self, text: str, *, in_errors: bool = False) -> str:
        """Until the program has printed this; returns what it has printed since the last time."""
        pipe = self._process.stderr if in_errors else self._process.stdout
        assert pipe is not None
        ends_at = time.monotonic() + PATIENCE_S
        seen = b""
        while text.encode() not in seen:
            ready, _, _ = select.select([pipe], [], [], max(0.0, ends_at - time.monotonic()))
            more = os.read(pipe.fileno(), 65536) if ready else b""
            assert more, f"the program did not print {text!r}, but {seen!r}"
            seen += more
        if not in_errors:
            self._out += seen
        return seen.decode()

    def interrupt(self) -> None:
        """A SIGINT for the program alone."""
        self._process.send_signal(signal.SIGINT)

    def press_ctrl_c(self) -> None:
        """A SIGINT for all its processes, as a terminal sends it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> Ended:
        """Wait until it has ended."""
        out, err = self._process.communicate(timeout=PATIENCE_S)
        seconds = time.monotonic() - self._began
        return Ended(self._process.returncode, (self._out + out).decode(), err.decode(), seconds)


def run(code: str) -> Ended:
    """Run a program to its end."""
    with Script(code) as script:
        return script.end()
