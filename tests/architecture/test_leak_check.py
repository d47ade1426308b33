"""The leak check itself: it sees what is left behind and forgives what is ending."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.leaks import Left, wait_until

ROOT = Path(__file__).resolve().parents[2]

LEAKING_TESTS = """
import os, subprocess, sys, threading

release = threading.Event()
kept = []

def test_thread():
    kept.append(threading.Thread(target=release.wait, name="forgotten"))
    kept[-1].start()

def test_daemon_of_ours():
    threading.Thread(target=release.wait, name="fanflow-kernel", daemon=True).start()

def test_process():
    kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_descriptor():
    kept.append(os.open(os.devnull, os.O_RDONLY))

def test_tidy():
    thread = threading.Thread(target=threading.Event().wait, args=(0.05,))
    thread.start()

def test_cleaning_up():
    release.set()
    kept[0].join()
    kept[1].communicate()
    os.close(kept[2])
"""


def test_a_test_that_leaves_something_behind_fails_and_the_next_one_does_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    conftest = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    pytester.makeconftest(conftest.replace("SETTLE_SECONDS = 2.0", "SETTLE_SECONDS = 0.2"))
    pytester.makepyfile(LEAKING_TESTS)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    outcome = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")

    outcome.assert_outcomes(passed=6, errors=4)
    outcome.stdout.fnmatch_lines_random(
        [
            "*left behind: thread 'forgotten'",
            "*left behind: thread 'fanflow-kernel' (daemon)",
            "*left behind: process * input()*",
            "*left behind: descriptor * -> /dev/null",
        ]
    )


def test_a_thread_that_is_ending_is_given_time() -> None:
    release = threading.Event()
    before = Left.now()
    thread = threading.Thread(target=release.wait)
    thread.start()
    assert len(Left.now().since(before)) == 1

    threading.Timer(0.05, release.set).start()
    wait_until(lambda: not Left.now().since(before), 5)

    assert Left.now().since(before) == []


def test_a_child_that_was_never_waited_for_counts_as_left() -> None:
    before = Left.now()
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    left = Left.now().since(before)

    child.wait()
    assert [line for line in left if line.startswith(f"process {child.pid} [zombie]")] == left
    assert Left.now().since(before) == []
