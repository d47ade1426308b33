"""What the text of launchers does when bash runs it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fanflow.errors import ConfigurationError
from fanflow.launchers import Launcher, SimpleLauncher, SingleNodeLauncher, WrappedLauncher
from tests.leaks import wait_until


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def running(text: str) -> Iterator[subprocess.Popen[bytes]]:
    """bash with this text; whatever of its session is left at the end is killed."""
    process = subprocess.Popen(["bash", "-c", text], start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("launcher", [SimpleLauncher(), WrappedLauncher("env A=1"), SingleNodeLauncher()])
@pytest.mark.parametrize("options", ["", "set -eu\n", "set -euo pipefail\n"])
def test_a_command_runs_and_its_output_is_the_jobs(launcher: Launcher, options: str) -> None:
    done = run(options + launcher('echo "it\'s $((1 + 1))"', 1, 1))

    assert (done.returncode, done.stdout, done.stderr) == (0, "it's 2\n", "")


@pytest.mark.parametrize("launcher", [SimpleLauncher(), WrappedLauncher("exec"), SingleNodeLauncher()])
def test_a_command_that_fails_makes_the_job_fail(launcher: Launcher) -> None:
    done = run(launcher("false", 1, 1))

    assert done.returncode == 1


def test_a_simple_launcher_leaves_the_command_alone() -> None:
    assert SimpleLauncher()("a 'b' $c", 3, 4) == "a 'b' $c"


def test_a_wrapped_launcher_puts_its_prefix_before_the_command() -> None:
    done = run(WrappedLauncher("env WRAPPED='a b'")("bash -c 'echo $WRAPPED'", 3, 4))

    assert done.stdout == "a b\n"


def test_one_node_runs_the_copies_of_all_nodes() -> None:
    done = run(SingleNodeLauncher()("echo copy", 2, 3))

    assert done.stdout == "copy\n" * 6


def test_copies_run_at_the_same_time(tmp_path: Path) -> None:
    # Each copy writes into one pipe and reads from the other: alone it would wait for ever.
    os.mkfifo(tmp_path / "first")
    os.mkfifo(tmp_path / "second")
    command = (
        "if mkdir me 2>/dev/null; then echo x >first; read y <second; else read x <first; echo y >second; fi"
    )

    done = run(SingleNodeLauncher()(command, 2, 1))

    assert done.returncode == 0


def test_a_command_may_have_several_lines_comments_and_an_exit() -> None:
    done = run(SingleNodeLauncher()("cat <<'END'\n$HOME `x`\nEND\nexit 0 # done", 1, 1))

    assert (done.returncode, done.stdout) == (0, "$HOME `x`\n")


@pytest.mark.parametrize(("fail_on_any", "status"), [(False, 0), (True, 1)])
def test_one_failed_copy_of_two_counts_only_if_asked(fail_on_any: bool, status: int) -> None:
    done = run(SingleNodeLauncher(fail_on_any=fail_on_any)("mkdir once 2>/dev/null", 2, 1))

    assert done.returncode == status
    assert "ended with status 1" in done.stderr


def test_all_copies_failed_is_a_failure_and_quiet_without_debug() -> None:
    done = run(SingleNodeLauncher(debug=False)("exit 7", 2, 1))

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_every_process_of_every_copy(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    trap = f"trap 'echo {number.name} >>{log}; exit 0' {number.value}"
    inner = f"{trap}; echo up >>{log}; while :; do sleep 0.05; done"
    text = SingleNodeLauncher()(f'bash -c "{inner}"; echo never', 2, 1)

    with running(text) as process:
        wait_until(lambda: lines(log) == ["up"] * 2, 10)
        process.send_signal(number)

        assert process.wait(10) == 128 + number
    assert lines(log) == ["up", "up", number.name, number.name]


def test_the_job_ends_after_the_last_copy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = f"trap 'sleep 0.3; echo bye >>{log}; exit 0' TERM; echo up >>{log}; while :; do sleep 0.05; done"

    with running(SingleNodeLauncher()(f'bash -c "{slow}"', 2, 1)) as process:
        wait_until(lambda: lines(log) == ["up"] * 2, 10)
        process.send_signal(signal.SIGTERM)
        process.wait(10)

        assert lines(log) == ["up", "up", "bye", "bye"]


@pytest.mark.parametrize(
    ("tasks", "nodes", "said"), [(0, 1, "tasks_per_node=0"), (1, -1, "nodes_per_block=-1")]
)
def test_no_copies_are_a_mistake(tasks: int, nodes: int, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SingleNodeLauncher()("true", tasks, nodes)
