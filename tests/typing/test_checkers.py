import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ACCEPTED = ROOT / "tests" / "typing" / "accepted.py"
REJECTED = ROOT / "tests" / "typing" / "rejected.py"

EXCEPTION = re.compile(r"  # (type|pyright): ignore\[([^]]*)\]")
REVEALED = re.compile(r"# R: (?P<parameters>.*) -> (?P<result>.*)$")


@dataclass
class Answer:
    """What one checker says about both files."""

    accepted: list[str] = field(default_factory=list[str])
    """Errors where there must be none."""
    rejected: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    """Line -> rules broken there."""
    revealed: dict[int, str] = field(default_factory=dict[int, str])
    """Line -> type seen there."""

    def add(self, file: str, line: int, rule: str, message: str, *, is_error: bool) -> None:
        if not is_error:
            if "ype" in message and "App[" in message:
                self.revealed[line] = message
        elif Path(file).name == ACCEPTED.name:
            self.accepted.append(f"{file}:{line}: {message} [{rule}]")
        else:
            self.rejected.setdefault(line, set()).add(rule)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of mistakes without the comments that excuse them."""
    bare = tmp_path_factory.mktemp("typing") / REJECTED.name
    bare.write_text(EXCEPTION.sub("", REJECTED.read_text()))
    return bare


@pytest.fixture(scope="module", params=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def answer(checker: str, bare: Path) -> Answer:
    return ask_mypy(bare) if checker == "mypy" else ask_pyright(bare)


def ask(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert ended.returncode == 1, ended.stderr or ended.stdout  # 0: no mistake was seen; 2: it did not run
    return ended.stdout


def ask_mypy(bare: Path) -> Answer:
    answer = Answer()
    cache = f"--cache-dir={bare.parent / 'cache'}"
    for line in ask("mypy", cache, "--output=json", str(ACCEPTED), str(bare)).splitlines():
        said = json.loads(line)
        is_error = said["severity"] == "error"
        answer.add(said["file"], said["line"], said["code"], said["message"], is_error=is_error)
    return answer


def ask_pyright(bare: Path) -> Answer:
    answer = Answer()
    printed = ask("pyright", "--pythonpath", sys.executable, "--outputjson", str(ACCEPTED), str(bare))
    for said in json.loads(printed)["generalDiagnostics"]:
        line = said["range"]["start"]["line"] + 1
        is_error = said["severity"] == "error"
        answer.add(said["file"], line, said.get("rule", ""), said["message"], is_error=is_error)
    return answer


def expected(checker: str) -> Mapping[int, set[str]]:
    """Line -> rules, from the comments of the file of mistakes."""
    word = "type" if checker == "mypy" else "pyright"
    lines = enumerate(REJECTED.read_text().splitlines(), 1)
    found = {
        number: {
            rule.strip()
            for kind, rules in EXCEPTION.findall(line)
            if kind == word
            for rule in rules.split(",")
        }
        for number, line in lines
    }
    return {number: rules for number, rules in found.items() if rules}


def test_correct_programs_are_accepted(answer: Answer) -> None:
    assert answer.accepted == []


def test_every_mistake_is_seen_and_nothing_else_is(checker: str, answer: Answer) -> None:
    assert answer.rejected == expected(checker)


def test_both_checkers_see_the_same_mistakes() -> None:
    seen = expected("mypy").keys()

    assert len(seen) >= 30
    assert seen == expected("pyright").keys()


def test_an_app_keeps_the_parameters_and_the_result_of_its_function(answer: Answer) -> None:
    promised = {
        number: (found["parameters"].split(), found["result"])
        for number, line in enumerate(ACCEPTED.read_text().splitlines(), 1)
        if (found := REVEALED.search(line))
    }

    seen = {}
    for number, text in answer.revealed.items():
        inside = text[text.index("App[") + len("App[") : text.rindex("]")]
        parameters, _, result = inside.rpartition("], " if inside.startswith("[") else "), ")
        seen[number] = (re.findall(r"(\w+):", parameters), result)

    assert len(promised) == 5
    assert seen == promised
