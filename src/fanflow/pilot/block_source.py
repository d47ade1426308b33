"""Where an executor's blocks come from, and what they are to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fanflow.pilot.access import Access
from fanflow.pilot.block_errors import BlockErrorHandler
from fanflow.pilot.block_jobs import BlockJobs, job_name
from fanflow.pilot.launch_command import launch_command
from fanflow.pilot.manager import ManagerConfig, encode_config, write_config
from fanflow.pilot.options import PilotOptions
from fanflow.pilot.worker_plan import NodePlan
from fanflow.providers.local import LocalProvider
from fanflow.spi.executor import BuildContext
from fanflow.spi.provider import JobRequest, ProviderSpec

if TYPE_CHECKING:
    from fanflow.pilot.blocks import Blocks
    from fanflow.pilot.running import Engine

_GRACE_S: Final = 20.0
"""For tasks on a node that a batch system takes back: it sends SIGTERM about 30 s before it kills."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSource:
    """Where blocks come from, and what they are."""

    options: PilotOptions
    provider: ProviderSpec
    context: BuildContext
    plan: NodePlan | None
    """Of each node; None: only the node can tell."""
    copies: int
    """Managers of a block that are forked here; 0: a provider's job starts them."""
    jobs: Callable[[Engine, Blocks], BlockJobs]
    on_trouble: BlockErrorHandler
    """Told the statuses of all blocks when one has ended."""
    directory: str
    """The workers' working directory."""
    path: Sequence[str]
    """Their `sys.path`."""
    argv: Sequence[str]

    @property
    def workers_per_node(self) -> int:
        """Workers that a node is expected to have."""
        return self.plan.workers if self.plan is not None else 1

    @property
    def slots_per_block(self) -> int:
        """Workers that a block is expected to have."""
        return self.workers_per_node * max(1, self.copies or self.provider.nodes_per_block)

    def sentence(self) -> str:
        """Such as `2 blocks x 1 node x 2 workers, 0 cores idle`."""
        blocks = min(self.provider.init_blocks, self.provider.max_blocks)
        nodes = max(1, self.copies or self.provider.nodes_per_block)
        node = self.plan.sentence() if self.plan is not None else "as many workers as fit"
        return f"{blocks} block{'s' * (blocks != 1)} x {nodes} node{'s' * (nodes != 1)} x {node}"

    def request(self, name: str, access: Access) -> tuple[JobRequest, list[bytes]]:
        """What the job of a block is to run, and the same as configurations of managers to fork.

        Args:
            name: The block's.
            access: Its managers' way to the interchange.

        Raises:
            OSError: The configuration cannot be written.
        """
        options, nodes = self.options, self.provider.nodes_per_block
        config, command = self._config(name, access), ""
        if not self.copies:
            directory = self.context.run_dir / options.label / f"block-{name}"
            os.makedirs(directory, mode=0o700, exist_ok=True)
            command = launch_command(options, _write(directory, config), name, nodes, options.log_root)
        request = JobRequest(command=command, name=job_name(options.label, name), nodes=nodes)
        return request, [encode_config(config)] * self.copies

    def _config(self, name: str, access: Access) -> ManagerConfig:
        options = self.options
        return ManagerConfig(
            access=access,
            block=name,
            options=options.workers,
            log_directory=str(options.log_root),
            prefetch=options.prefetch,
            max_message=options.max_message,
            drain_s=options.drain_period.total_seconds() if options.drain_period is not None else 0.0,
            grace_s=0.0 if isinstance(self.provider, LocalProvider) else _GRACE_S,
            directory=self.directory,
            path=list(self.path),
            argv=list(self.argv),
        )


def _write(directory: Path, config: ManagerConfig) -> Path:
    """Files of earlier executors in the same directory stay as they are: somebody may still read them."""
    number = 1
    while True:
        path = directory / ("manager.json" if number == 1 else f"manager-{number}.json")
        try:
            write_config(str(path), config)
        except FileExistsError:
            number += 1
        else:
            return path
