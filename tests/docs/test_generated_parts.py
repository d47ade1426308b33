"""The parts of the pages that are made from the code are what the code says."""

import re

import pytest

from fanflow.core.transitions import TRANSITIONS
from fanflow.model.states import FINAL_STATES
from tools.generated_parts import NUMBERS, PARTS, RESULTS, ROOT, PartError, moves, with_part


@pytest.mark.parametrize(("path", "name"), PARTS, ids=str)
def test_a_generated_part_is_up_to_date(path: str, name: str) -> None:
    page = (ROOT / path).read_text(encoding="utf-8")

    expected = PARTS[path, name]()

    assert with_part(page, name, expected) == page, (
        f"{path}: run `python -m tools.generated_parts`, or put this between the marks:\n\n{expected}"
    )


def test_every_figure_that_the_readme_quotes_stands_in_the_results() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = page.partition("<!-- generated: numbers -->")[2].partition("<!-- end of numbers -->")[0]
    lines = [line for line in quoted.splitlines() if line.startswith("* ")]
    results = RESULTS.read_text(encoding="utf-8")

    figures = re.findall(r"\d[\d,.]* (?:tasks/s|links/s|GB/s|µs/task|µs|ms|s|x)(?!\w)", quoted)

    assert len(lines) == len(NUMBERS) == 5
    assert len(figures) >= 2 * len(lines)
    assert [figure for figure in figures if f"| {figure} |" not in results] == []


def test_the_table_of_moves_leads_from_no_final_state() -> None:
    rows = [re.findall(r"`(\w+)`", line) for line in moves().splitlines()[2:]]

    assert len(rows) == len(TRANSITIONS)
    assert {state for state, _, _ in rows}.isdisjoint(state.name for state in FINAL_STATES)


def test_a_page_without_the_marks_of_a_part_is_refused() -> None:
    with pytest.raises(PartError, match="has no place for part 'moves'"):
        with_part("# A page\n", "moves", "text")
