"""Pauses after blocks have failed to start."""

from __future__ import annotations

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import BlockCore
from fanflow.pilot.start_pause import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MOST_FAILED_STARTS,
    MOST_FAILED_SUBMITS,
    StartPause,
)


def core_in_pause(now: float) -> BlockCore:
    """One whose first three jobs have failed."""
    core = BlockCore(10)
    for name in core.request(MOST_FAILED_STARTS, now):
        core.submitted(name, JobId(f"j{name}"), now)
    jobs = core.jobs()
    core.looked(jobs, {job: JobStatus(JobState.FAILED) for job in jobs}, now)
    return core


def test_after_three_failed_starts_in_a_row_there_is_a_pause_then_one_try() -> None:
    core = core_in_pause(1000.0)

    times = [1000.0, 1000.0 + FIRST_PAUSE_S, 1001.0 + FIRST_PAUSE_S]
    asked = [core.request(5, now, by_policy=True) for now in times]

    assert [len(names) for names in asked] == [0, 1, 0]


def test_a_pause_does_not_hold_for_who_asks_himself() -> None:
    core = core_in_pause(1000.0)

    assert len(core.request(2, 1000.0)) == 2


def test_after_ten_refused_jobs_in_a_row_there_is_a_pause() -> None:
    core = BlockCore(1)
    asked = 0

    for look in range(20):
        now = 1000 + look / 10
        names = core.request(1, now, by_policy=True)
        asked += len(names)
        for name in names:
            core.refused(name, "no", now)

    assert asked == MOST_FAILED_SUBMITS


def test_pauses_double_up_to_ten_minutes_and_end_with_a_manager() -> None:
    pause = StartPause()
    now = 0.0
    lengths: list[float] = []
    for _ in range(MOST_FAILED_STARTS - 1):
        pause.note_start_failed(now)
    for _ in range(9):
        pause.note_start_failed(now)
        lengths.append(pause.until - now)
        now = pause.until

    pause.note_started()

    assert lengths[:3] == [10, 20, 40]
    assert lengths[-1] == LONGEST_PAUSE_S
    assert pause.allowed(5, now) is None


def test_failures_during_a_pause_do_not_make_it_longer() -> None:
    pause = StartPause()

    for _ in range(50):
        pause.note_start_failed(1.0)

    assert pause.until == 1.0 + FIRST_PAUSE_S
