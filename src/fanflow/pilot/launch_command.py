"""The shell command that starts the manager of one node. Pure text."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fanflow.errors import ConfigurationError
from fanflow.pilot.options import PilotOptions

POOL_PROGRAM: Final = "process_worker_pool.py"
"""What the launch commands of existing programs start."""

_MODULE: Final = "fanflow.pilot.manager"


def default_command(config: Path) -> str:
    """Start a manager from its configuration file with the Python that runs here.

    Args:
        config: The file; the same path must lead to it on the node.
    """
    return shlex.join([sys.executable, "-m", _MODULE, str(config)])


def launch_command(options: PilotOptions, config: Path, block: str, nodes: int, log_directory: Path) -> str:
    """The command of one block: the default one, or the user's `launch_cmd` with its places filled.

    Existing programs double the braces of `{{block_id}}` and `{{nodes_per_block}}`, since these used to be
    filled in later than the others; both ways are right.

    In a `launch_cmd` the word `process_worker_pool.py` becomes our command. The options that follow it are
    passed on; what they say is in the configuration already, and the manager passes over them.

    Raises:
        ConfigurationError: `launch_cmd` has a place that nobody fills, or does not start the worker pool.
    """
    command = default_command(config)
    if options.launch_cmd is None:
        return command
    try:
        text = options.launch_cmd.format_map(_places(options, block, nodes, config.parent, log_directory))
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"HighThroughputExecutor(launch_cmd={options.launch_cmd!r}) cannot be filled in "
            f"({type(error).__name__}: {error}); its places are "
            f"{', '.join('{' + name + '}' for name in _NAMES)}"
        ) from None
    text = text.replace("{block_id}", block).replace("{nodes_per_block}", str(nodes))
    if POOL_PROGRAM not in text:
        raise ConfigurationError(
            f"HighThroughputExecutor(launch_cmd={options.launch_cmd!r}) does not start {POOL_PROGRAM}; "
            f"write what comes before it, such as 'nice {POOL_PROGRAM} ...'"
        )
    return text.replace(POOL_PROGRAM, command, 1)


_NAMES: Final = (
    "debug", "max_workers_per_node", "addresses", "prefetch_capacity", "cores_per_worker", "mem_per_worker",
    "poll_period", "worker_port", "cert_dir", "logdir", "logconf", "block_id", "heartbeat_period",
    "address_probe_timeout_string", "heartbeat_threshold", "drain_period", "cpu_affinity", "enable_mpi_mode",
    "mpi_launcher", "accelerators", "nodes_per_block", "task_port", "result_port",
)  # fmt: skip


def _places(
    options: PilotOptions, block: str, nodes: int, directory: Path, log_directory: Path
) -> Mapping[str, object]:
    places: dict[str, object] = dict.fromkeys(_NAMES, "")
    places.update(
        debug="--debug" if options.worker_debug else "",
        prefetch_capacity=options.prefetch,
        cores_per_worker=options.workers.cores_per_worker,
        mem_per_worker=options.workers.mem_per_worker,
        cert_dir=directory,
        logdir=log_directory,
        block_id=block,
        nodes_per_block=nodes,
        cpu_affinity=options.workers.cpu_affinity,
        accelerators=" ".join(options.workers.accelerators()),
    )
    return places
