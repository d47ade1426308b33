"""The Makefile lists its goals and says clearly what a machine lacks."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs make in the checkout as a user would, free of the make that runs these tests."""
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "VENV", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_help_lists_the_goals() -> None:
    done = make("help")

    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"demo", "test", "test-slow", "check", "bench", "clean", "help"} <= listed


def test_a_python_without_venv_is_named_with_the_cure(tmp_path: Path) -> None:
    # As Debian ships it: the interpreter is there, the module ensurepip is not.
    hide = "import runpy, sys; sys.modules['ensurepip'] = None; sys.argv = sys.argv[1:]"
    run = "runpy.run_path(sys.argv[0], run_name='__main__')"
    without = program(tmp_path / "python", f'#!/bin/sh\nexec {sys.executable} -c "{hide}; {run}" "$@"\n')

    done = make(f"PYTHON={without}", f"VENV={tmp_path / 'venv'}", "check-format")

    assert done.returncode == 2
    assert "no complete venv module" in done.stderr
    assert f"apt install python3.{sys.version_info.minor}-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all_is_said_before_anything_is_made(tmp_path: Path) -> None:
    done = make("PYTHON=", f"VENV={tmp_path / 'venv'}", "check-format")

    assert done.returncode == 2
    assert "found none on PATH" in done.stderr


def test_an_old_python_is_named_with_its_version(tmp_path: Path) -> None:
    script = (ROOT / "tools" / "make_venv.py").read_text(encoding="utf-8")
    old = "import sys; sys.version_info = (3, 9, 2)\n" + script.partition("import fcntl")[0]

    done = subprocess.run(
        [sys.executable, "-c", old], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 1
    assert f"{sys.executable} is 3.9" in done.stderr


@pytest.mark.parametrize("goal", ["demo", "bench"])
def test_a_goal_runs_its_program_and_passes_its_status_on(goal: str, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder / "python", '#!/bin/sh\necho "ran: $*"\nexit 3\n')
    ready = make("-n", "-p", f"VENV={tmp_path}", goal).stdout
    stamp = next(line.split()[-1] for line in ready.splitlines() if line.startswith("STAMP :="))
    kind = {"demo": "examples", "bench": "bench"}[goal]
    Path(f"{stamp}{kind}").touch()

    done = make(f"VENV={tmp_path}", goal)

    assert done.returncode == 2
    assert "ran: -m" in done.stdout
    assert "Error 3" in done.stderr
