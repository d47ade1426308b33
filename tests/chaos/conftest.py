"""The table that is printed with `-s`."""

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.checker import HEADER, Verdict


@pytest.fixture(scope="session")
def table() -> Iterator[Callable[[str, int, Verdict], None]]:
    rows: list[str] = []

    def add(name: str, seed: int, verdict: Verdict) -> None:
        rows.append(verdict.row(name, seed))

    yield add
    print("\n\n" + "\n".join([HEADER, *rows]))
