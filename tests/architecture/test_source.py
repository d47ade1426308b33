"""The sources keep the house rules that linters do not know, and the check for them sees violations."""

from pathlib import Path

import pytest

from tools.check_source import find_problems

ROOT = Path(__file__).resolve().parents[2]


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_sources_keep_the_house_rules() -> None:
    assert find_problems(ROOT) == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("src/fanflow/long.py", '"""Long."""\n' + "x = 1\n" * 399, "400 lines"),
        ("tests/test_long.py", "x = 1\n" * 400, "400 lines"),
        ("src/fanflow/f.py", '"""F."""\n\n\ndef f():\n' + "    x = 1\n" * 59, "f has 60 lines"),
        ("src/fanflow/c.py", '"""C."""\n\n\nclass C:\n    async def f():\n' + "        x\n" * 59, "f has 60"),
        ("src/fanflow/utils.py", '"""U."""\n', "the name says nothing"),
        ("src/fanflow/core2.py", '"""C."""\n', "the name says nothing"),
        ("src/fanflow/bare.py", "x = 1\n", "no module docstring"),
        ("docs/page.md", "Look in /home/" + "maria/data.\n", "a directory of one machine"),
        ("tools/run.sh", "cd {root}/src\n", "a directory of one machine"),
        ("Makefile", "x:\n\tcd {home}/x\n", "a directory of one machine"),
    ],
)
def test_a_violation_is_reported_once(name: str, text: str, problem: str, tmp_path: Path) -> None:
    put(tmp_path, name, text.replace("{root}", str(tmp_path)).replace("{home}", str(Path.home())))

    problems = find_problems(tmp_path)

    assert len(problems) == 1
    assert problems[0].startswith(name)
    assert problem in problems[0]


def test_what_keeps_the_rules_is_not_reported(tmp_path: Path) -> None:
    put(tmp_path, "src/fanflow/fine.py", '"""F."""\n\n\ndef f():\n' + "    x = 1\n" * 58)
    put(tmp_path, "src/fanflow/edge.py", '"""E."""\n' + "x = 1\n" * 398)
    put(tmp_path, "docs/page.md", "Put it in /home/user/data or /tmp/data.\n")
    put(tmp_path, ".venv/lib/utils.py", "x = 1\n" * 500)

    assert find_problems(tmp_path) == []
