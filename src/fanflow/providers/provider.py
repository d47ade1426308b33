"""The provider of the public contract, which users subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod

from fanflow.model.jobs import JobStatus
from fanflow.providers.adapted import AdaptedJobs
from fanflow.spi.provider import Provider, ProviderContext


class ExecutionProvider(ABC):
    """Obtains batch jobs, by methods that existing programs call and override.

    Attributes:
        nodes_per_block: Nodes of each job.
        init_blocks: Jobs asked for at start.
        min_blocks: Jobs kept even when idle.
        max_blocks: Jobs never exceeded.
        parallelism: How much of the waiting work new jobs are asked for: 1 all, 0 as few jobs as possible.
        script_dir: Directory for job scripts; an executor sets it.
        resources: Job id -> what is known of the job.
    """

    nodes_per_block: int = 1
    init_blocks: int = 1
    min_blocks: int = 0
    max_blocks: int = 1
    parallelism: float = 1
    script_dir: str | None = None
    _cores_per_node: int | None = None
    _mem_per_node: float | None = None

    @abstractmethod
    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> object:
        """Ask for one job; its id, or something false if there is none."""

    @abstractmethod
    def status(self, job_ids: list[object]) -> list[JobStatus]:
        """What is known of these jobs, in their order."""

    @abstractmethod
    def cancel(self, job_ids: list[object]) -> list[bool]:
        """End these jobs; whether that was possible, in their order."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name of the kind of provider."""

    @property
    @abstractmethod
    def status_polling_interval(self) -> int:
        """Seconds between two calls of `status`."""

    @property
    def cores_per_node(self) -> int | None:
        """Cores that a job gets on each node; None if that is not known. An executor may set it."""
        return self._cores_per_node

    @cores_per_node.setter
    def cores_per_node(self, value: int | None) -> None:
        self._cores_per_node = value

    @property
    def mem_per_node(self) -> float | None:
        """GB that a job gets on each node; None if that is not known. An executor may set it."""
        return self._mem_per_node

    @mem_per_node.setter
    def mem_per_node(self, value: float | None) -> None:
        self._mem_per_node = value

    def build(self, context: ProviderContext) -> Provider:
        """The running half: calls the methods above."""
        return AdaptedJobs(self, context)
