"""The manager process of one node: what it is started with, and how it begins."""

from __future__ import annotations

import os
import sys

import msgspec

from fanflow.pilot.access import Access
from fanflow.pilot.zygote import fork_zygote


class ManagerConfig(msgspec.Struct, kw_only=True):
    """What a manager is started with."""

    access: Access
    """How it reaches the interchange."""
    block: str
    slots: int
    """Workers."""
    log_directory: str
    """For `manager.log` and `worker_N.log`; made if it does not exist."""
    uid: str = ""
    """Twelve hexadecimal digits; empty: chosen here."""
    prefetch: int = 0
    """Attempts to hold beyond one for each slot; 0: adaptive."""
    parent: int = -1
    """A descriptor; when its other end is closed, the manager ends. -1: none."""
    directory: str = ""
    """The workers' working directory; empty: this process's."""
    path: list[str] | None = None
    """The workers' `sys.path`; None: this process's."""
    argv: list[str] | None = None
    environment: dict[str, str] = {}
    """Variables for the workers, on top of this process's."""


decode_config = msgspec.msgpack.Decoder(ManagerConfig).decode
encode_config = msgspec.msgpack.Encoder().encode


def main(config: ManagerConfig) -> None:
    """Be a manager until the interchange wants no more of it. The process has one thread, no zmq context.

    Raises:
        SystemExit: With the status of this process, if it is not 0.
    """
    os.makedirs(config.log_directory, mode=0o700, exist_ok=True)
    control, pid = fork_zygote()
    from fanflow.pilot.manager_loop import run  # after the fork: the zygote needs none of it

    status = run(config, control, pid)
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    # The one argument is a file with the configuration as JSON.
    with open(sys.argv[1], "rb") as file:
        main(msgspec.json.decode(file.read(), type=ManagerConfig))
