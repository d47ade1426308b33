"""Workers, managers and interchanges are killed in the middle of thousands of tasks; nothing is lost."""

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from tests.chaos.checker import Allowed, History, Verdict, assert_sound, read_ledger
from tests.chaos.engines import OverTcp, Wave, loaded, pilot
from tests.chaos.faults import (
    Trouble,
    kill_anything,
    kill_interchange,
    kill_manager,
    kill_worker,
    stop_manager,
)
from tests.chaos.sizes import Size, sizes

Table = Callable[[str, int, Verdict], None]
TASK_S = 0.01
THRESHOLD_S = 1.0


def finish(wave: Wave, trouble: Trouble, size: Size, allowed: Allowed, directory: Path) -> Verdict:
    history = History(size.seed, wave.outcomes, read_ledger(wave.path), trouble.faults, wave.parents)
    return assert_sound(history, allowed, directory)


@pytest.mark.parametrize("size", sizes(2_000, every_s=0.3, full_every_s=1.0))
def test_killed_workers_cost_one_execution_each(size: Size, tmp_path: Path, table: Table) -> None:
    wave = Wave(tmp_path / "ledger")

    with loaded(pilot(1, 8), 1), Trouble(kill_worker, size.seed, size.every_s) as trouble:
        wave.submit_many(size.tasks, TASK_S)
        wave.wait(size.patience_s)

    verdict = finish(wave, trouble, size, Allowed(per_fault=1), tmp_path)
    table("R1 worker killed", size.seed, verdict)
    assert verdict.faults >= 3
    assert verdict.recovered_within() < 1.0


@pytest.mark.parametrize("size", sizes(2_000, every_s=0.5, full_every_s=5.0))
def test_killed_managers_are_replaced(size: Size, tmp_path: Path, table: Table) -> None:
    wave = Wave(tmp_path / "ledger")

    with loaded(pilot(4, 2), 4), Trouble(kill_manager, size.seed, size.every_s) as trouble:
        wave.submit_many(size.tasks, TASK_S)
        wave.wait(size.patience_s)

    allowed = Allowed(per_fault=4, overlap_s=0.5)
    verdict = finish(wave, trouble, size, allowed, tmp_path)
    table("R2 manager killed", size.seed, verdict)
    assert verdict.faults >= 3
    assert verdict.recovered_within() < 2.0


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("size", sizes(2_000, every_s=0.4, full_every_s=10.0))
def test_killed_interchanges_run_nothing_again(
    size: Size, transport: str, tmp_path: Path, table: Table
) -> None:
    wave = Wave(tmp_path / "ledger")
    spec = pilot(4, 2) if transport == "unix" else OverTcp(4, 2)

    with loaded(spec, 4), Trouble(kill_interchange, size.seed, size.every_s, most=10) as trouble:
        wave.submit_many(size.tasks, TASK_S)
        wave.wait(size.patience_s)

    verdict = finish(wave, trouble, size, Allowed(share_of_running=0.01), tmp_path)
    table(f"R3 interchange, {transport}", size.seed, verdict)
    assert verdict.faults >= 3
    assert verdict.recovered_within() < 3.0


@pytest.mark.parametrize("size", sizes(2_000, every_s=0.3, full_every_s=6.0))
def test_everything_may_die_in_turn(size: Size, tmp_path: Path, table: Table) -> None:
    wave = Wave(tmp_path / "ledger")

    with loaded(pilot(3, 2), 3), Trouble(kill_anything, size.seed, size.every_s) as trouble:
        wave.submit_many(size.tasks, TASK_S)
        wave.wait(size.patience_s)

    # A manager that dies while there is no interchange takes all outcomes along that it could not deliver.
    verdict = finish(wave, trouble, size, Allowed(per_fault=30, overlap_s=0.5), tmp_path)
    table("any process killed", size.seed, verdict)
    assert verdict.faults >= 3


# More than 2,000, so that tasks are left for a manager that comes back after 2 s.
@pytest.mark.parametrize("size", sizes(3_500, every_s=0.4, full_every_s=5.0))
def test_a_manager_that_was_thought_dead_comes_back(size: Size, tmp_path: Path, table: Table) -> None:
    wave = Wave(tmp_path / "ledger")
    trouble = Trouble(
        stop_manager(2 * THRESHOLD_S), size.seed, size.every_s, most=max(1, size.tasks // 4_000)
    )

    with loaded(pilot(3, 2, heartbeat_threshold=THRESHOLD_S, heartbeat_period=THRESHOLD_S / 5), 3), trouble:
        wave.submit_many(size.tasks, TASK_S)
        wave.wait(size.patience_s)

    verdict = finish(wave, trouble, size, Allowed(per_fault=6, overlap_s=inf), tmp_path)
    table("R7 manager stopped", size.seed, verdict)
    assert verdict.again > 0
    assert len(verdict.recoveries) == verdict.faults
    assert verdict.recovered_within() < 2.0


def test_an_interchange_that_dies_again_and_again_fails_what_is_open(tmp_path: Path) -> None:
    wave = Wave(tmp_path / "ledger")

    with loaded(pilot(1, 2), 1), Trouble(kill_interchange, 1, every_s=0.05):
        for _ in range(10):
            wave.submit(60.0)
        wave.wait(40.0)

    assert all("died 11 times" in outcome.error for outcome in wave.outcomes.values())
