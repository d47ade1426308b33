"""The page about errors lists every error class there is, with its base."""

import re

import pytest

import fanflow.errors
import fanflow.launchers.errors
import fanflow.memo.errors
import fanflow.pilot.block_errors
import fanflow.pilot.errors
import fanflow.providers.errors
from fanflow.errors import FanflowError
from tools.generated_parts import ROOT

PAGE = ROOT / "docs" / "guide" / "errors.md"
CLASSES = sorted(
    (
        value
        for value in vars(fanflow.errors).values()
        if isinstance(value, type) and issubclass(value, FanflowError)
    ),
    key=lambda kind: kind.__name__,
)

PARTS = (
    fanflow.launchers.errors,
    fanflow.memo.errors,
    fanflow.pilot.block_errors,
    fanflow.pilot.errors,
    fanflow.providers.errors,
)
OTHERS = sorted(
    {
        value
        for part in PARTS
        for value in vars(part).values()
        if isinstance(value, type) and issubclass(value, Exception) and value not in {*CLASSES, Exception}
    },
    key=lambda kind: kind.__name__,
)


def rows() -> dict[str, list[str]]:
    """Class -> its other cells: when it is raised, and what to do."""
    found: dict[str, list[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if len(cells) == 3 and (name := re.fullmatch(r"`(\w+)`", cells[0])):
            assert name[1] not in found, f"{name[1]} is listed twice"
            found[name[1]] = cells[1:]
    return found


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_class_is_listed_with_when_it_is_raised_and_what_to_do(kind: type[FanflowError]) -> None:
    listed = rows().get(kind.__name__)

    assert listed is not None, f"docs/guide/errors.md does not list {kind.__name__}"
    assert all(listed), f"docs/guide/errors.md leaves a cell of {kind.__name__} empty"


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
def test_an_error_class_of_a_part_is_mentioned(kind: type[Exception]) -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert re.search(rf"`([a-z_.]+\.)?{kind.__name__}`", page), (
        f"docs/guide/errors.md does not name {kind.__name__}"
    )


def test_no_listed_error_class_is_unknown() -> None:
    assert sorted(rows()) == [kind.__name__ for kind in CLASSES]
