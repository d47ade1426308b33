"""Links between the pages lead somewhere, and the index leads to every page."""

import re
from pathlib import Path

import pytest

from tools.generated_parts import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


def links_of(page: Path) -> list[str]:
    return [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_to_files_that_are_there(page: Path) -> None:
    missing = [link for link in links_of(page) if not (page.parent / link).exists()]

    assert missing == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "docs" / "index.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen:
            seen.add(page)
            ahead += [(page.parent / link).resolve() for link in links_of(page) if link.endswith(".md")]

    unreachable = [str(page.relative_to(ROOT)) for page in PAGES if page not in seen]

    assert unreachable == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_short(page: Path) -> None:
    if page.name != "CHANGELOG.md":
        assert len(page.read_text(encoding="utf-8").splitlines()) < 150
