"""The seam for starting a command on every node of a job."""

from __future__ import annotations

from typing import Protocol


class Launcher(Protocol):
    """Turns a command into shell text that runs it where it is wanted. Pure; any thread."""

    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "", /
    ) -> str:
        """Shell text for bash, the end of a job script.

        Args:
            command: Shell text to run in every place.
            tasks_per_node: Copies on each node.
            nodes_per_block: Nodes of the job.
            script_dir: Directory, as the job sees it, for files that the text writes.
        """
        ...
