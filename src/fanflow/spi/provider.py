"""The seam between an executor's blocks and whatever obtains batch jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fanflow.ids import JobId
from fanflow.model.jobs import JobStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """One job to be obtained."""

    command: str
    """Shell text that starts the manager of one node; the provider's launcher spreads it."""
    name: str
    """Unique within the run; letters, digits and `._+-` only."""
    nodes: int = 1
    """Nodes of the job."""
    tasks_per_node: int = 1
    """Copies of the command on each node."""


class Provider(Protocol):
    """Obtains batch jobs. Called from one internal thread; every method may block, for a bounded time.

    What fails as a whole raises an `ExecutionProviderException` with the scheduler's own words; a
    failure is never answered by doing the same thing again, which could make a job twice.
    """

    @property
    def label(self) -> str:
        """Name of the kind of provider, for messages."""
        ...

    @property
    def status_polling_interval(self) -> float:
        """Seconds between two calls of `status` that do not overload what it asks."""
        ...

    def submit(self, request: JobRequest) -> JobId:
        """Ask for one job. The id is new among those of this provider.

        Raises:
            ExecutionProviderException: There is no job.
        """
        ...

    def status(self, jobs: Sequence[JobId]) -> Mapping[JobId, JobStatus]:
        """What is known of these, in one request for all.

        A job that is not listed any more is left out, or UNKNOWN or MISSING: never COMPLETED.

        Raises:
            ExecutionProviderException: Nothing is known this time.
        """
        ...

    def cancel(self, jobs: Sequence[JobId]) -> None:
        """End these jobs; one that has ended or is not known is no error.

        Raises:
            ExecutionProviderException: Some may still run.
        """
        ...


class ProviderContext(Protocol):
    """What an executor gives a provider's specification when it is started."""

    @property
    def script_dir(self) -> Path:
        """Directory for job scripts and their output, absolute; it may have to be made."""
        ...


@runtime_checkable
class ProviderSpec(Protocol):
    """The public, settable half of a provider: data until `build`."""

    nodes_per_block: int
    init_blocks: int
    min_blocks: int
    max_blocks: int
    parallelism: float

    @property
    def label(self) -> str:
        """Name of the kind of provider, for messages."""
        ...

    @property
    def cores_per_node(self) -> int | None:
        """Cores that a job gets on each node; None if that is not known."""
        ...

    @property
    def mem_per_node(self) -> float | None:
        """GB that a job gets on each node; None if that is not known."""
        ...

    def build(self, context: ProviderContext) -> Provider:
        """Make a running half; called once per start, so that a config can be used twice.

        Raises:
            ConfigurationError: An option is wrong; the message names it.
        """
        ...
