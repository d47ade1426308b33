"""When an executor gives up because its blocks fail: policies over the statuses of all blocks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from fanflow.errors import FanflowError
from fanflow.model.jobs import JobState, JobStatus

_FAILED: Final = frozenset({JobState.FAILED, JobState.MISSING})

BlockErrorHandler = Callable[[Mapping[str, JobStatus], bool], None]
"""Takes the statuses of all blocks, by name, and whether one of them has ever worked."""


class Executor(Protocol):
    """The public half of an executor, as far as a handler needs it."""

    @property
    def provider(self) -> Provider: ...

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        """Give up."""
        ...


class Provider(Protocol):
    """As far as a handler needs it."""

    @property
    def init_blocks(self) -> int: ...


class TooManyJobFailuresError(FanflowError):
    """So many blocks have failed that more would most likely fail too; the text says how each ended."""


def noop_error_handler(executor: Executor, status: Mapping[str, JobStatus], threshold: int = 3) -> None:
    """Never give up."""


def simple_error_handler(executor: Executor, status: Mapping[str, JobStatus], threshold: int = 3) -> None:
    """Give up when as many blocks as there were at first have failed, and no other is there.

    Args:
        executor: Whose blocks they are; its provider's `init_blocks` is how many, and at least one.
        status: Of all blocks, by name.
        threshold: Not used.
    """
    least = max(1, executor.provider.init_blocks)
    if len(status) >= least and all(one.state in _FAILED for one in status.values()):
        executor.set_bad_state_and_fail_all(to_error(status))


def windowed_error_handler(executor: Executor, status: Mapping[str, JobStatus], threshold: int = 3) -> None:
    """Give up when the latest blocks have all failed.

    Args:
        executor: Whose blocks they are.
        status: Of all blocks, by name.
        threshold: How many of the latest.
    """
    latest = list(status.items())[-threshold:]
    if len(latest) >= threshold and all(one.state in _FAILED for _, one in latest):
        executor.set_bad_state_and_fail_all(to_error(dict(latest)))


def to_error(status: Mapping[str, JobStatus]) -> TooManyJobFailuresError:
    """What these blocks ended with."""
    count = "1 block has failed" if len(status) == 1 else f"{len(status)} blocks have failed"
    parts = [count, *(_told(name, one) for name, one in status.items())]
    return TooManyJobFailuresError("\n".join(parts))


def _told(name: str, status: JobStatus) -> str:
    lines: list[str] = [f"block {name}: {status.status_name}"]
    if status.message is not None:
        lines.append(f"  message: {status.message}")
    if status.exit_code is not None:
        lines.append(f"  exit code: {status.exit_code}")
    for stream, text in (("stdout", status.stdout_summary), ("stderr", status.stderr_summary)):
        if text and text.strip():
            lines.append(f"  {stream}: {text.strip()}")
    return "\n".join(lines)


def handler_for(
    executor: Executor, option: bool | Callable[[Executor, Mapping[str, JobStatus]], None]
) -> BlockErrorHandler:
    """What the option `block_error_handler` means: True, False, or a function that sees every end of a block.

    True is `simple_error_handler`, as long as no block has ever worked: a node that dies in the middle of a
    long run is no reason to give up.
    """
    if not isinstance(option, bool):
        return lambda status, has_worked: option(executor, status)
    handlers: Sequence[Callable[[Executor, Mapping[str, JobStatus]], None]] = (
        noop_error_handler,
        simple_error_handler,
    )
    return lambda status, has_worked: None if has_worked else handlers[option](executor, status)
