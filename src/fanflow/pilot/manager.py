"""The manager process of one node: what it is started with, and how it begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from fanflow.errors import FanflowError
from fanflow.pilot.access import Access
from fanflow.pilot.wire import MAX_PAYLOAD_BYTES
from fanflow.pilot.worker_plan import WorkerOptions
from fanflow.pilot.zygote import fork_zygote

_USAGE: Final = "usage: python -m fanflow.pilot.manager CONFIG [--block ID]"


class ManagerConfig(msgspec.Struct, kw_only=True):
    """What a manager is started with."""

    access: Access
    """How it reaches the interchange."""
    block: str = ""
    """May be given on the command line instead, where each block has the same file."""
    slots: int = 0
    """Workers; 0: planned on the node, from `options`."""
    options: WorkerOptions = WorkerOptions()
    log_directory: str
    """In it, `block-ID/UID/` is made, for `manager.log` and `worker_N.log`."""
    uid: str = ""
    """Twelve hexadecimal digits; empty: chosen here."""
    max_message: int = MAX_PAYLOAD_BYTES
    """Bytes of one result, when pickled."""
    prefetch: int = 0
    """Attempts to hold beyond one for each slot; 0: adaptive."""
    drain_s: float = 0.0
    """Seconds after the start from which it takes no new attempts, and ends when it has none; 0: never."""
    lasts_s: float = 0.0
    """Seconds after the start at which the block ends, if that is known, else 0.

    An attempt whose walltime does not fit into the rest is not started; it goes back, and the manager drains.
    """
    grace_s: float = 0.0
    """Seconds in which what runs may finish when SIGTERM comes, as batch systems send it before they kill."""
    polls_memory: bool = False
    """Enforce memory limits by looking at the processes, even if control groups could do it."""
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


def write_config(path: str, config: ManagerConfig) -> None:
    """Make the file that a batch job passes to its managers; only its owner can read it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(config))


def read_config(arguments: Sequence[str]) -> ManagerConfig:
    """The configuration that the command line names.

    Options of Parsl's worker pool, which a `launch_cmd` may pass on, are passed over: the configuration says
    the same.

    Raises:
        SystemExit: With the reason, if there is none.
    """
    if not arguments or arguments[0].startswith("-") or arguments[-1] == "--block":
        raise SystemExit(_USAGE)
    path, *others = arguments
    try:
        with open(path, "rb") as file:
            config = msgspec.json.decode(file.read(), type=ManagerConfig)
    except OSError as error:
        raise SystemExit(
            f"fanflow manager: cannot read its configuration {path}: {error.strerror}; "
            f"the run that wrote it must see the same file system"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, FanflowError) as error:
        raise SystemExit(f"fanflow manager: {path} is not a configuration of a manager: {error}") from None
    if "--block" in others:
        config.block = others[others.index("--block") + 1]
    return config


def main(config: ManagerConfig) -> None:
    """Be a manager until the interchange wants no more of it. The process has one thread, no zmq context.

    Raises:
        SystemExit: With the status of this process, if it is not 0.
    """
    control, pid = fork_zygote()
    from fanflow.pilot.manager_loop import run  # after the fork: the zygote needs none of it

    status = run(config, control, pid)
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main(read_config(sys.argv[1:]))
