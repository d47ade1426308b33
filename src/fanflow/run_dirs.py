"""Makes the numbered directory of one run, safely beside other processes that do the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fanflow.errors import ConfigurationError

_NUMBER = re.compile(r"[0-9]{3,18}")

DIRECTORY_MODE = 0o700
"""Run directories hold logs, sockets and keys: nobody else's business."""


def make_run_dir(root: Path, owner: str = "Config") -> Path:
    """Makes `{root}/NNN`, the first of 000, 001, ... 999, 1000, ... after all that are there.

    Making a directory either succeeds for one process or fails, on network file systems too, so any
    number of processes may do this at once. A name that something else has, a symbolic link for
    example, is skipped.

    Args:
        root: Made with mode 0700 if it is not there; one that is there keeps its mode.
        owner: Whose `run_dir` it is, for messages.

    Returns:
        The absolute path of the new directory, which has mode 0700.

    Raises:
        ConfigurationError: `root` is no directory or cannot be written to.
    """
    place = os.path.abspath(root)
    try:
        os.makedirs(place, mode=DIRECTORY_MODE, exist_ok=True)
        number = _highest_number(place) + 1
        while True:
            path = os.path.join(place, f"{number:03}")
            try:
                os.mkdir(path, DIRECTORY_MODE)
            except FileExistsError:
                number += 1
            else:
                return Path(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(_explain(owner, place, error)) from error


def _highest_number(place: str) -> int:
    with os.scandir(place) as entries:
        return max((int(entry.name) for entry in entries if _NUMBER.fullmatch(entry.name)), default=-1)


def _explain(owner: str, place: str, error: OSError | ValueError) -> str:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    if os.path.islink(place) and not os.path.exists(place):
        problem = f"is a symbolic link to {os.readlink(place)!r}, which does not exist"
    elif os.path.lexists(place) and not os.path.isdir(place):
        problem = "exists and is not a directory"
    elif isinstance(error, PermissionError):
        problem = f"may not be written to by user {os.geteuid()} ({reason})"
    else:
        problem = f"cannot be made or written to ({reason})"
    return f"{owner}(run_dir={place!r}): {place} {problem}; set run_dir to a directory that you can write to"
