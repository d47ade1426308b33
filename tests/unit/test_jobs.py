from __future__ import annotations

from pathlib import Path

import pytest

from fanflow.model.jobs import TERMINAL_STATES, JobState, JobStatus


def test_states_have_the_numbers_of_the_public_contract() -> None:
    numbers = {state.name: state.value for state in JobState}

    assert numbers == {
        "UNKNOWN": 0,
        "PENDING": 1,
        "RUNNING": 2,
        "CANCELLED": 3,
        "COMPLETED": 4,
        "FAILED": 5,
        "TIMEOUT": 6,
        "HELD": 7,
        "MISSING": 8,
        "SCALED_IN": 9,
    }


@pytest.mark.parametrize("state", JobState)
def test_a_status_is_terminal_where_its_state_is(state: JobState) -> None:
    status = JobStatus(state)

    assert status.terminal is (state in TERMINAL_STATES)
    assert status.status_name == state.name


def test_unknown_and_held_jobs_have_not_ended() -> None:
    assert {JobState.UNKNOWN, JobState.PENDING, JobState.RUNNING, JobState.HELD}.isdisjoint(TERMINAL_STATES)


def test_short_output_is_its_own_summary(tmp_path: Path) -> None:
    out = tmp_path / "job.out"
    out.write_text("a" * 4096)

    status = JobStatus(JobState.FAILED, stdout_path=str(out))

    assert status.stdout == status.stdout_summary == "a" * 4096


def test_a_summary_shows_2048_characters_of_each_end(tmp_path: Path) -> None:
    err = tmp_path / "job.err"
    err.write_text("ä" * 5000 + "middle" + "ö" * 5000)

    status = JobStatus(JobState.FAILED, stderr_path=str(err))

    assert status.stderr_summary == "ä" * 2048 + "\n...\n" + "ö" * 2048


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    out = tmp_path / "job.out"
    out.write_bytes(b"\xff\x00ok")

    status = JobStatus(JobState.FAILED, stdout_path=str(out))

    assert status.stdout == status.stdout_summary == "\ufffd\x00ok"


def test_output_that_is_not_there_is_none() -> None:
    status = JobStatus(JobState.FAILED, stdout_path="not/there")

    assert (status.stdout, status.stdout_summary, status.stderr, status.stderr_summary) == (None,) * 4
