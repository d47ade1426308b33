"""Checks what linters have no rule for: sizes, file names, module docstrings, paths of one machine.

Prints one line per violation and ends with status 1 if there is any.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
REFUSED_NAMES = re.compile(r"^(utils?|helpers?|common|base|misc|[a-z_]+[2-9])\.py$")

PYTHON_FOLDERS = ("src", "tests", "tools", "benchmarks", "examples")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".cfg", ".txt", ".sh", ".yml", ".yaml", ".json", ".typed"}
TEXT_NAMES = {"Makefile", "run", ".gitignore"}
SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "runinfo", "landuse-output"}

# A home directory somewhere, unless it is a made-up one of the documentation.
HOME_DIRECTORY = re.compile(r"/(?:home|Users)/(?!(?:user|you|me|alice|USER|NAME)\b)[A-Za-z][\w.-]*/")


def find_problems(root: Path) -> list[str]:
    """Every violation in the checkout, one readable line each."""
    problems: list[str] = []
    for folder in PYTHON_FOLDERS:
        for path in walk(root / folder):
            if path.suffix == ".py":
                problems += python_problems(path, path.relative_to(root))
    for path in walk(root):
        if path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES:
            problems += path_problems(path, root)
    return problems


def walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name not in {".ci", ".gitignore"}
        if hidden or path.is_symlink():
            continue
        if path.is_dir():
            if path.name not in SKIPPED_FOLDERS:
                yield from walk(path)
        else:
            yield path


def python_problems(path: Path, shown: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(shown))
    lines = len(text.splitlines())
    if lines >= FILE_LINES:
        yield f"{shown}: {lines} lines, a file has fewer than {FILE_LINES}; split it by responsibility"
    if REFUSED_NAMES.match(path.name):
        yield f"{shown}: the name says nothing; name the file after its responsibility"
    if shown.parts[0] == "src" and text.strip() and ast.get_docstring(tree) is None:
        yield f"{shown}: no module docstring; one sentence says what the module is responsible for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length >= FUNCTION_LINES:
                place = f"{shown}:{node.lineno}"
                yield f"{place}: {node.name} has {length} lines, a function has fewer than {FUNCTION_LINES}"


def path_problems(path: Path, root: Path) -> Iterator[str]:
    own = {f"{place}/" for place in (root.resolve(), Path.home()) if len(place.parts) > 1}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = next((place for place in own if place in line), None)
        if found is None and (match := HOME_DIRECTORY.search(line)):
            found = match.group()
        if found is not None:
            yield f"{path.relative_to(root)}:{number}: names {found}, a directory of one machine only"


def main() -> int:
    problems = find_problems(Path.cwd())
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "sizes, names and paths are fine")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
