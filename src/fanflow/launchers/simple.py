"""Launchers that leave spreading a command to the command itself, or to a prefix of it."""

from __future__ import annotations

from typing import cast

from fanflow.errors import OptionTypeError
from fanflow.launchers.launcher import Launcher


class SimpleLauncher(Launcher):
    """Runs the command once, on the first node of the job."""

    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "", /
    ) -> str:
        return command


class WrappedLauncher(Launcher):
    """Runs the command once, with a prefix such as `singularity exec image.sif`.

    Args:
        prepend: Shell text that is put before the command as it is; quoting is the caller's.
        debug: Has no effect.

    Raises:
        OptionTypeError: `prepend` is no string.
    """

    def __init__(self, prepend: str, debug: bool = True) -> None:
        super().__init__(debug)
        given = cast("object", prepend)
        if not isinstance(given, str):
            raise OptionTypeError("WrappedLauncher", "prepend", given, "shell text (a str)")
        self.prepend = prepend

    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "", /
    ) -> str:
        return f"{self.prepend} {command}"
