"""What is known of a batch job, numbered as existing programs and databases know it."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from typing import Final

_PART: Final = 2048
"""Characters of the beginning and of the end that a summary shows."""

_WIDEST: Final = 4
"""Bytes of one character, at most."""


class JobState(enum.IntEnum):
    """What a job is doing."""

    UNKNOWN = 0
    """Nothing is known; it may run or not."""
    PENDING = 1
    """Waits for its nodes."""
    RUNNING = 2
    CANCELLED = 3
    COMPLETED = 4
    """Ended with exit status 0."""
    FAILED = 5
    TIMEOUT = 6
    HELD = 7
    """The scheduler keeps it from running until somebody acts."""
    MISSING = 8
    """Ended, or is no longer listed, and no manager of it has ever connected."""
    SCALED_IN = 9
    """Ended because it was no longer needed."""


TERMINAL_STATES: Final = frozenset(
    {
        JobState.CANCELLED,
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.TIMEOUT,
        JobState.MISSING,
        JobState.SCALED_IN,
    }
)
"""No job leaves one of these."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of one job at one time, with what explains it.

    Args:
        state: What it is doing.
        message: The scheduler's own words, or ours.
        exit_code: Exit status of its script; a negative number is the signal that ended it.
        stdout_path: File with its standard output.
        stderr_path: File with its standard error.
    """

    state: JobState
    message: str | None = None
    exit_code: int | None = None
    stdout_path: str | None = None
    stderr_path: str | None = None

    @property
    def terminal(self) -> bool:
        """Whether the state is final."""
        return self.state in TERMINAL_STATES

    @property
    def status_name(self) -> str:
        """Name of the state."""
        return self.state.name

    @property
    def stdout(self) -> str | None:
        """Its whole standard output; None if there is no such file."""
        return _text(self.stdout_path)

    @property
    def stderr(self) -> str | None:
        """Its whole standard error; None if there is no such file."""
        return _text(self.stderr_path)

    @property
    def stdout_summary(self) -> str | None:
        """Beginning and end of its standard output."""
        return _summary(self.stdout_path)

    @property
    def stderr_summary(self) -> str | None:
        """Beginning and end of its standard error."""
        return _summary(self.stderr_path)


def _text(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _summary(path: str | None) -> str | None:
    """The text, without its middle where it is long; a file of any size costs the same."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if size <= 2 * _PART:
                return file.read().decode(errors="replace")
            head = file.read(_PART * _WIDEST).decode(errors="replace")[:_PART]
            file.seek(max(size - _PART * _WIDEST, 0))
            tail = file.read().decode(errors="replace")[-_PART:]
    except OSError:
        return None
    return f"{head}\n...\n{tail}"
