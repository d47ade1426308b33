"""Lists the packages of a module path, a few at a time. One caller."""

from __future__ import annotations

import time
from importlib.metadata import Distribution, distributions
from typing import Final

_SLICE_S: Final = 0.005
"""For one turn of a loop that has others to serve: a cold file system takes seconds for all."""


class PackageReader:
    """Names and versions of what is installed.

    Args:
        path: Directories, as in `sys.path`.
    """

    def __init__(self, path: list[str]) -> None:
        self._found: dict[str, object] = {}
        self._source = iter(distributions(path=path))

    def advance(self) -> dict[str, object] | None:
        """Read on for some milliseconds; the packages when there are no more."""
        deadline = time.monotonic() + _SLICE_S
        for distribution in self._source:
            name = _name_of(distribution)
            if name:
                self._found.setdefault(name, distribution.version)
            if time.monotonic() >= deadline:
                return None
        return self._found


def _name_of(distribution: Distribution) -> str:
    """Empty for what is left of a package that was removed by halves."""
    metadata = distribution.metadata
    return metadata["Name"] if "Name" in metadata and "Version" in metadata else ""
