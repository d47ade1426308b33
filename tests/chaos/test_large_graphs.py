"""Chains and fans of ten thousand tasks on the engine: no recursion, right order, quick ends."""

import time
from pathlib import Path

import pytest

from tests.chaos.checker import Allowed, History, assert_sound, judge, read_ledger
from tests.chaos.engines import Wave, loaded, pilot

LINKS = [10_000, pytest.param(100_000, marks=(pytest.mark.slow, pytest.mark.timeout(900)))]
END_S = 10.0


@pytest.mark.parametrize("links", LINKS)
def test_a_chain_and_a_fan_in_run_in_order(links: int, tmp_path: Path) -> None:
    wave = Wave(tmp_path / "ledger")

    with loaded(pilot(1, 2), 1):
        last = wave.submit(0)
        for _ in range(links):
            last = wave.submit(0, last)
        wave.submit(0, *(wave.submit(0) for _ in range(links)))
        wave.wait(50.0 if links == LINKS[0] else 800.0)

    history = History(0, wave.outcomes, read_ledger(wave.path), (), wave.parents)
    assert_sound(history, Allowed(), tmp_path)


@pytest.mark.parametrize("links", LINKS)
def test_the_failure_of_a_root_ends_all_that_need_it(links: int, tmp_path: Path) -> None:
    wave, gate = Wave(tmp_path / "ledger"), tmp_path / "gate"

    with loaded(pilot(1, 2), 1):
        root = last = wave.submit_failing(gate)
        for _ in range(links):
            last = wave.submit(0, last)
        wave.submit(0, *(wave.submit(0, root) for _ in range(links)))
        gate.touch()
        before = time.monotonic()
        wave.wait(50.0 if links == LINKS[0] else 800.0)
        took = time.monotonic() - before

    runs = read_ledger(wave.path)
    verdict = judge(History(0, wave.outcomes, runs), Allowed(failures=True))
    assert verdict.problems == []
    assert all(outcome.error for outcome in wave.outcomes.values())
    assert {run.task for run in runs} == {root}
    assert took < END_S * links / 10_000
