"""Checks, where a task runs, that the files it needs are there and the files it promised came to be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import cast

from fanflow.errors import MissingInputsError, MissingOutputs
from fanflow.model.files import File


def check_files(name: str, inputs: Iterable[object], outputs: Iterable[object]) -> None:
    """Called before a task's code runs: its inputs exist, and so do the directories of its outputs.

    Args:
        name: The app's name, for the message.
        inputs: Values of `inputs`. Files that are on this machine are looked for, other values are not.
        outputs: Values of `outputs`: Files, paths and strings.

    Raises:
        MissingInputsError: Names what is missing, the host and the working directory.
    """
    absent = [path for path in map(_input_path, inputs) if path is not None and not os.path.exists(path)]
    if absent:
        raise MissingInputsError(name, absent)
    folders = {os.path.dirname(path) or "." for path in map(_output_path, outputs) if path is not None}
    absent = sorted(folder for folder in folders if not os.path.isdir(folder))
    if absent:
        raise MissingInputsError(name, absent, what="output directory")


def check_outputs(name: str, outputs: Iterable[object]) -> None:
    """Called after a task's code ended well: every output exists.

    Raises:
        MissingOutputs: Names those that do not.
    """
    absent = [path for path in map(_output_path, outputs) if path is not None and not os.path.exists(path)]
    if absent:
        raise MissingOutputs(f"Missing outputs from app {name}", absent)


def _input_path(value: object) -> str | None:
    """Where a File is on this machine; None for one that is elsewhere and for any other value."""
    if not isinstance(value, File):
        return None
    if value.local_path is not None:
        return value.local_path
    return value.path if value.scheme == "file" else None


def _output_path(value: object) -> str | None:
    """Like an input, but a bare string or path in `outputs` can only mean a file."""
    if isinstance(value, File):
        return _input_path(value)
    if isinstance(value, str | os.PathLike):
        return os.fsdecode(cast("str | os.PathLike[str]", value))
    return None
