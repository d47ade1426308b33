"""Blocks on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fanflow.ids import JobId
from fanflow.launchers.launcher import check_launcher
from fanflow.launchers.single_node import SingleNodeLauncher
from fanflow.model.jobs import JobState, JobStatus
from fanflow.providers.errors import ScriptPathError
from fanflow.providers.limits import check_count, check_parallelism, check_seconds, check_text
from fanflow.providers.local_jobs import LocalJobs
from fanflow.providers.provider import ExecutionProvider
from fanflow.spi.launcher import Launcher
from fanflow.spi.provider import JobRequest, Provider, ProviderContext

_log = logging.getLogger("fanflow")

_GRACE_S: Final = 5.0
"""Seconds that a cancelled job has to end by itself."""

_POLLING_S: Final = 5


class LocalProvider(ExecutionProvider):
    """Runs blocks as processes of this machine.

    Args:
        nodes_per_block: Managers of each block; all of them run here.
        launcher: Starts them.
        init_blocks: Blocks asked for at start.
        min_blocks: Blocks kept even when idle.
        max_blocks: Blocks never exceeded.
        worker_init: Shell text that each block runs before its managers, such as `module load python`.
        cmd_timeout: Kept for existing programs; no command is waited for.
        parallelism: How much of the waiting work new blocks are asked for, from 0 to 1.

    Raises:
        OptionTypeError: An option has a value of a wrong type.
        ConfigurationError: A number is out of range.
        BadLauncher: `launcher` is none.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the signature of the public contract
        self,
        nodes_per_block: int = 1,
        launcher: Launcher | None = None,
        init_blocks: int = 1,
        min_blocks: int = 0,
        max_blocks: int = 1,
        worker_init: str = "",
        cmd_timeout: float = 30,
        parallelism: float = 1,
    ) -> None:
        self.nodes_per_block = nodes_per_block
        self.launcher = SingleNodeLauncher() if launcher is None else launcher
        self.init_blocks = init_blocks
        self.min_blocks = min_blocks
        self.max_blocks = max_blocks
        self.worker_init = worker_init
        self.cmd_timeout = cmd_timeout
        self.parallelism = parallelism
        self.resources: dict[object, dict[str, object]] = {}
        self._own_jobs: LocalJobs | None = None
        self._check()

    def _check(self) -> None:
        owner = type(self).__name__
        check_launcher(self.launcher)
        check_count(owner, "nodes_per_block", self.nodes_per_block, 1)
        for name in ("init_blocks", "min_blocks", "max_blocks"):
            value: object = getattr(self, name)
            check_count(owner, name, value, 0)
        check_text(owner, "worker_init", self.worker_init)
        check_seconds(owner, "cmd_timeout", self.cmd_timeout)
        check_parallelism(owner, self.parallelism)

    @property
    def label(self) -> str:
        """Name of the kind of provider."""
        return "local"

    @property
    def status_polling_interval(self) -> int:
        """Seconds between two calls of `status`."""
        return _POLLING_S

    def build(self, context: ProviderContext) -> Provider:
        """The running half.

        Raises:
            ConfigurationError: An option, set since, is wrong.
        """
        self._check()
        for name in ("init_blocks", "min_blocks"):
            value: int = getattr(self, name)
            if value > self.max_blocks:
                _log.warning(
                    "provider local: %s=%d is more than max_blocks=%d, which holds",
                    name,
                    value,
                    self.max_blocks,
                )
        return LocalJobs(context.script_dir, self.worker_init, self.launcher, _GRACE_S)

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> str:
        """Start one job.

        Args:
            command: Shell text.
            tasks_per_node: Copies of it for each of `nodes_per_block`.
            job_name: Names its script in `script_dir`; a number is added to one that is taken.

        Returns:
            The job's id.

        Raises:
            ScriptPathError: `script_dir` is not set, or cannot be written.
            SubmitException: The name is no job name, or the job cannot be started.
        """
        if self._own_jobs is None:
            if self.script_dir is None:
                raise ScriptPathError(None, "provider.script_dir is not set; set it to a directory")
            directory = Path(self.script_dir).absolute()
            self._own_jobs = LocalJobs(directory, self.worker_init, self.launcher, _GRACE_S)
        request = JobRequest(
            command=command, name=job_name, nodes=self.nodes_per_block, tasks_per_node=tasks_per_node
        )
        job = self._own_jobs.submit(request)
        self.resources[job] = {"job_id": job, "status": JobStatus(JobState.RUNNING)}
        return job

    def status(self, job_ids: list[object]) -> list[JobStatus]:
        """What is known of these jobs, in their order; UNKNOWN for one that is not of this provider."""
        names = [JobId(str(job)) for job in job_ids]
        found: Mapping[JobId, JobStatus] = {}
        if self._own_jobs is not None:
            found = self._own_jobs.status(names)
        for job in found:
            self.resources[job]["status"] = found[job]
        return [
            found.get(name, JobStatus(JobState.UNKNOWN, "it is no job of this provider")) for name in names
        ]

    def cancel(self, job_ids: list[object]) -> list[bool]:
        """End these jobs; whether each has ended, in their order."""
        if self._own_jobs is not None:
            self._own_jobs.cancel([JobId(str(job)) for job in job_ids])
        return [status.terminal for status in self.status(job_ids)]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(nodes_per_block={self.nodes_per_block}, launcher={self.launcher!r}, "
            f"init_blocks={self.init_blocks}, min_blocks={self.min_blocks}, max_blocks={self.max_blocks}, "
            f"worker_init={self.worker_init!r}, cmd_timeout={self.cmd_timeout}, "
            f"parallelism={self.parallelism})"
        )
