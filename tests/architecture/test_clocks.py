"""Intervals are measured with monotonic clocks: a clock that is set must not end or repeat anything."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "fanflow"

WALL = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.strftime", "time.ctime",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip

SHOWN = {
    "clock.py": "the one place that reads the time of day",
    "memo/files.py": "compares with the times of files, which are times of day",
    "pilot/manager_node.py": "when the manager started, for users to read",
}
"""Files that may look at the time of day, and what for."""


def wall_clock_reads(text: str) -> Iterator[str]:
    """Uses of the time of day, by whatever name it was imported."""
    names: dict[str, str] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            full = f"{names.get(owner.split('.')[0], owner)}.{node.attr}"
            if ".".join(full.split(".")[-2:]) in WALL:
                yield f"{full} in line {node.lineno}"
        elif isinstance(node, ast.Name) and names.get(node.id) in WALL:
            yield f"{names[node.id]} in line {node.lineno}"


def test_only_what_is_shown_comes_from_the_time_of_day() -> None:
    found = {
        path.relative_to(SOURCE).as_posix(): list(wall_clock_reads(path.read_text(encoding="utf-8")))
        for path in SOURCE.rglob("*.py")
    }

    assert {name for name, reads in found.items() if reads} <= SHOWN.keys()
    assert found["clock.py"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import time\ntime.time()", 1),
        ("import time as t\nt.time_ns()", 1),
        ("from time import time\nstarted = time()", 1),
        ("from time import time as now\nnow()", 1),
        ("import datetime\ndatetime.datetime.now()", 1),
        ("import datetime as dt\ndt.datetime.utcnow()", 1),
        ("from datetime import datetime\ndatetime.now()", 1),
        ("import time\ntime.monotonic()\ntime.sleep(1)", 0),
        ("from datetime import timedelta\ntimedelta(seconds=1)", 0),
    ],
)
def test_a_look_at_the_time_of_day_is_seen(text: str, count: int) -> None:
    assert len(list(wall_clock_reads(text))) == count
