"""Every Python block of the pages runs as written, and every make goal they name exists."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.markdown_blocks import make_commands, make_goals, python_script, read_blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = "```"


def run_page(text: str, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the blocks of one page in order in one fresh interpreter, as a user would type them in."""
    script = folder / f"{name}.py"
    script.write_text(python_script(read_blocks(text)), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_blocks_of_a_page_run_as_written(page: Path, tmp_path: Path) -> None:
    done = run_page(page.read_text(encoding="utf-8"), page.stem, tmp_path)

    assert done.returncode == 0, f"{page} (line numbers are those of the page)\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_make_goals_a_page_names_exist(page: Path) -> None:
    goals = make_goals(ROOT / "Makefile")

    unknown = [
        f"{page.name}:{line}: make {goal}"
        for line, goal in make_commands(read_blocks(page.read_text(encoding="utf-8")))
        if goal not in goals
    ]

    assert unknown == []


def test_blocks_of_one_page_share_one_program_and_keep_their_line_numbers(tmp_path: Path) -> None:
    first = f"{FENCE}python\nx = 1\n{FENCE}\n"
    second = f"{FENCE}python\nassert x == 1\nraise KeyError(x)\n{FENCE}\n"
    page = f"# Title\n\n{first}\ntext\n\n{second}"

    done = run_page(page, "page", tmp_path)

    assert done.returncode == 1
    assert "line 11, in <module>" in done.stderr
    assert "KeyError: 1" in done.stderr


def test_a_block_marked_with_a_reason_is_left_out(tmp_path: Path) -> None:
    page = f"<!-- not run: needs a cluster -->\n\n{FENCE}python\nraise KeyError\n{FENCE}\n"

    done = run_page(page, "page", tmp_path)

    assert done.returncode == 0


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (f"<!-- not run: -->\n{FENCE}python\nx\n{FENCE}\n", "needs a reason"),
        (f"{FENCE}python\nx\n", "never closed"),
    ],
)
def test_a_page_that_hides_a_block_is_refused(page: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_blocks(page)


def test_make_commands_are_found_with_options_and_in_chains() -> None:
    chain = "$ git clone x && cd x && make demo"
    options = "$ make -j2 ARGS='-k make this' test check # make it"
    page = f"{FENCE}console\n{chain}\n{options}\n{FENCE}\n"

    assert make_commands(read_blocks(page)) == [(2, "demo"), (3, "test"), (3, "check")]
