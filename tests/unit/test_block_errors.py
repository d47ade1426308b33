from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fanflow.errors import FanflowError
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_errors import (
    Executor,
    TooManyJobFailuresError,
    handler_for,
    noop_error_handler,
    simple_error_handler,
    windowed_error_handler,
)
from fanflow.providers import LocalProvider

Handler = Callable[[Executor, Mapping[str, JobStatus]], None]


class Public:
    """The public half of an executor; remembers what it gave up for."""

    def __init__(self, init_blocks: int = 1) -> None:
        self.provider = LocalProvider(init_blocks=init_blocks)
        self.given_up: list[Exception] = []

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        self.given_up.append(exception)


def blocks(states: str) -> dict[str, JobStatus]:
    """One block a letter: failed, missing, running, completed, or scaled in."""
    named = {
        "f": JobState.FAILED,
        "m": JobState.MISSING,
        "r": JobState.RUNNING,
        "c": JobState.COMPLETED,
        "s": JobState.SCALED_IN,
    }
    return {str(number): JobStatus(named[letter]) for number, letter in enumerate(states)}


@pytest.mark.parametrize(
    ("init_blocks", "states", "trips"),
    [
        (1, "", False),
        (1, "f", True),
        (1, "m", True),
        (0, "f", True),
        (1, "ffm", True),
        (1, "fr", False),
        (1, "cf", False),
        (1, "sf", False),
        (3, "ff", False),
        (3, "fff", True),
    ],
)
def test_simple_gives_up_when_as_many_as_the_first_blocks_have_all_failed(
    init_blocks: int, states: str, trips: bool
) -> None:
    executor = Public(init_blocks)

    simple_error_handler(executor, blocks(states))

    assert bool(executor.given_up) is trips


@pytest.mark.parametrize(
    ("states", "trips"),
    [("ff", False), ("fff", True), ("rccfmf", True), ("fffr", False), ("fcff", False)],
)
def test_windowed_gives_up_when_the_latest_blocks_have_failed(states: str, trips: bool) -> None:
    executor = Public()

    windowed_error_handler(executor, blocks(states))

    assert bool(executor.given_up) is trips


def test_the_window_may_be_smaller() -> None:
    executor = Public()

    windowed_error_handler(executor, blocks("rff"), threshold=2)

    assert "2 blocks have failed" in str(executor.given_up[0])


def test_noop_never_gives_up() -> None:
    executor = Public()

    noop_error_handler(executor, blocks("ffffff"))

    assert executor.given_up == []


def test_the_error_says_how_each_block_ended(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("starts\n")
    (tmp_path / "err").write_text("no such module\n")
    status = JobStatus(JobState.FAILED, "exit status 3", 3, str(tmp_path / "out"), str(tmp_path / "err"))
    executor = Public()

    simple_error_handler(executor, {"0": status, "1": JobStatus(JobState.MISSING)})

    (error,) = executor.given_up
    assert isinstance(error, TooManyJobFailuresError)
    assert isinstance(error, FanflowError)
    assert str(error).splitlines() == [
        "2 blocks have failed",
        "block 0: FAILED",
        "  message: exit status 3",
        "  exit code: 3",
        "  stdout: starts",
        "  stderr: no such module",
        "block 1: MISSING",
    ]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_long_output_is_shown_by_its_ends(tmp_path: Path) -> None:
    (tmp_path / "err").write_text("a" * 9000 + "z" * 9000)
    executor = Public()

    simple_error_handler(executor, {"0": JobStatus(JobState.FAILED, stderr_path=str(tmp_path / "err"))})

    assert len(str(executor.given_up[0])) < 5000
    assert str(executor.given_up[0]).endswith("z" * 2048)


@pytest.mark.parametrize(
    ("option", "has_worked", "trips"),
    [
        (True, False, True),
        (True, True, False),
        (False, False, False),
        (windowed_error_handler, False, False),
        (simple_error_handler, True, True),
    ],
)
def test_the_option_names_a_handler(option: bool | Handler, has_worked: bool, trips: bool) -> None:
    executor = Public()

    handler_for(executor, option)(blocks("f"), has_worked)

    assert bool(executor.given_up) is trips
