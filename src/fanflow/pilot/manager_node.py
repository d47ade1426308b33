"""What a manager is on its node: the plan for its workers, its log directory, its registration."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import sys
import time
from collections.abc import Sequence

from fanflow._version import __version__
from fanflow.errors import FanflowError
from fanflow.pilot import wire
from fanflow.pilot.manager import ManagerConfig
from fanflow.pilot.node_facts import look_at_node, total_bytes
from fanflow.pilot.worker_plan import NodePlan, plan_workers
from fanflow.pilot.zygote import WorkerPlan


class Node:
    """Made once, at the start of a manager. A node that cannot be used says why in `trouble`.

    Args:
        config: Of the manager.
    """

    def __init__(self, config: ManagerConfig) -> None:
        self.config = config
        self.host = socket.gethostname()
        self.uid = config.uid or os.urandom(6).hex()
        self.started = time.time()
        self.trouble = ""
        """Why no worker can run here; empty if they can."""
        root = os.path.abspath(config.log_directory)
        self.logs = os.path.join(root, f"block-{config.block}", self.uid)
        self.plan = NodePlan(places=(), idle_cores=0)
        try:
            make_private(self.logs)
            self.plan = plan_workers(config.options, look_at_node(), config.slots)
        except OSError as error:
            self.trouble = f"it cannot make its log directory {self.logs}: {error.strerror}"
        except FanflowError as error:
            self.trouble = str(error)

    def registration(self, holds: Sequence[int], *, is_draining: bool = False) -> wire.Register:
        """How it presents itself.

        Args:
            holds: Attempts that it has.
            is_draining: Whether it takes no more.
        """
        config = self.config
        return wire.Register(
            version=wire.VERSION,
            uid=self.uid,
            block=config.block,
            host=self.host,
            pid=os.getpid(),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            fanflow=__version__,
            cloudpickle=importlib.metadata.version("cloudpickle"),
            slots=self.plan.workers,
            prefetch=config.prefetch,
            holds=holds,
            trouble=self.trouble,
            is_draining=is_draining,
            node=wire.NodeDescription(
                python=platform.python_version(),
                os=platform.system(),
                cpu_count=os.cpu_count() or 0,
                total_memory=total_bytes(),
                directory=config.directory or os.getcwd(),
                started=self.started,
                drains=self.started + config.drain_s if config.drain_s else 0.0,
                plan=self.plan.sentence(),
            ),
        )

    def worker_plan(self, number: int) -> WorkerPlan:
        """How the worker of a place is to be born."""
        config, place = self.config, self.plan.places[number]
        environment = {
            "PARSL_WORKER_RANK": str(number),
            "PARSL_WORKER_COUNT": str(self.plan.workers),
            "PARSL_WORKER_POOL_ID": self.uid,
            "PARSL_WORKER_BLOCK_ID": config.block,
        }
        return WorkerPlan(
            number,
            os.path.join(self.logs, f"worker_{number}.log"),
            config.directory or os.getcwd(),
            list(sys.path) if config.path is None else config.path,
            list(sys.argv) if config.argv is None else config.argv,
            {**config.environment, **environment, **place.environment},
            list(place.cores),
            config.max_message,
        )


def make_private(directory: str) -> None:
    """Make a directory and those that it is in, all for their owner only; others' may be there already."""
    if not os.path.isdir(directory):
        parent = os.path.dirname(directory)
        if parent != directory:
            make_private(parent)
        try:
            os.mkdir(directory, mode=0o700)
        except FileExistsError:  # another manager of this block was faster, or it is a file
            if not os.path.isdir(directory):
                raise
