"""Which cores the workers of one node are bound to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fanflow.errors import ConfigurationError

Cores = tuple[int, ...]

AFFINITIES: Final = ("none", "block", "block-reverse", "alternating")
"""Values of `cpu_affinity` beside lists."""

_LIST: Final = "list:"
_EXAMPLE: Final = "such as 'list:0-3:4-7,12' for two workers"
_MOST_CORES: Final = 1 << 16


def check_affinity(affinity: object) -> None:
    """See whether `cpu_affinity` can be understood.

    Raises:
        ConfigurationError: It cannot.
    """
    if isinstance(affinity, str) and affinity.startswith(_LIST):
        parse_core_lists(affinity)
    elif affinity not in AFFINITIES:
        known = ", ".join(repr(name) for name in AFFINITIES)
        raise ConfigurationError(
            f"cpu_affinity={affinity!r}: must be one of {known}, or lists of cores, {_EXAMPLE}"
        )


def parse_core_lists(affinity: str) -> list[Cores]:
    """The cores of each worker, as `list:` names them.

    Raises:
        ConfigurationError: It makes no sense.
    """
    return [_parse_cores(text, affinity) for text in affinity.removeprefix(_LIST).split(":")]


def _parse_cores(text: str, affinity: str) -> Cores:
    cores: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise ConfigurationError(
                f"cpu_affinity={affinity!r}: {part!r} is neither a core nor a range of cores, {_EXAMPLE}"
            )
        low, high = int(first), int(last)
        if low > high or high >= _MOST_CORES:
            raise ConfigurationError(
                f"cpu_affinity={affinity!r}: {part!r} is not a range of cores, {_EXAMPLE}"
            )
        cores.extend(core for core in range(low, high + 1) if core not in cores)
    return tuple(cores)


def assign_cores(affinity: str, workers: int, cores: Cores) -> list[Cores]:
    """The cores of each worker; an empty tuple stands for all of them.

    Where workers outnumber the cores, they share them as evenly as possible.

    Args:
        affinity: Checked before.
        workers: At least one.
        cores: That can be used, at least one.

    Raises:
        ConfigurationError: It names too few workers' cores, or cores that are not there.
    """
    if affinity.startswith(_LIST):
        return _assign_listed(affinity, workers, cores)
    assign = _ASSIGNMENTS.get(affinity)
    return [assign(number, workers, cores) if assign else () for number in range(workers)]


def _assign_listed(affinity: str, workers: int, cores: Cores) -> list[Cores]:
    lists = parse_core_lists(affinity)
    if len(lists) < workers:
        raise ConfigurationError(
            f"cpu_affinity={affinity!r}: it names cores for {len(lists)} workers, "
            f"but this node has {workers}; name cores for all, or set max_workers_per_node={len(lists)}"
        )
    missing = sorted({core for listed in lists[:workers] for core in listed} - set(cores))
    if missing:
        raise ConfigurationError(
            f"cpu_affinity={affinity!r}: cores {_shown(missing)} cannot be used on this node, "
            f"which has {_shown(cores)}"
        )
    return lists[:workers]


def _shown(cores: Sequence[int]) -> str:
    text = ", ".join(str(core) for core in cores[:20])
    return text if len(cores) <= 20 else f"{text}, ... ({len(cores)} in all)"


def _block(number: int, workers: int, cores: Cores) -> Cores:
    share = len(cores) // workers
    if share:
        return cores[number * share : (number + 1) * share]
    return (cores[number * len(cores) // workers],)


def _block_reverse(number: int, workers: int, cores: Cores) -> Cores:
    return _block(workers - number - 1, workers, cores)


def _alternating(number: int, workers: int, cores: Cores) -> Cores:
    return cores[number::workers] or (cores[number % len(cores)],)


_ASSIGNMENTS: Final[Mapping[str, Callable[[int, int, Cores], Cores]]] = {
    "block": _block,
    "block-reverse": _block_reverse,
    "alternating": _alternating,
}
