"""The fresh process in which a benchmark or a probe runs: `python -m benchmarks.child TARGET OUTPUT ...`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from benchmarks.harness import Measurement, Settings

BenchmarkFunction = Callable[[Settings], list[Measurement]]
ProbeFunction = Callable[..., list[float]]


def look_up(target: str) -> object:
    module, _, name = target.partition(":")
    found: object = getattr(importlib.import_module(module), name)
    return found


def main(target: str, output: str, settings: str, *sizes: str) -> None:
    """Runs a benchmark (settings as JSON) or, with settings `probe`, a function of integers."""
    if settings == "probe":
        probe = cast("ProbeFunction", look_up(target))
        Path(output).write_bytes(msgspec.json.encode(probe(*map(int, sizes))))
    else:
        benchmark = cast("BenchmarkFunction", look_up(target))
        Path(output).write_bytes(msgspec.json.encode(benchmark(msgspec.json.decode(settings, type=Settings))))


if __name__ == "__main__":
    main(*sys.argv[1:])
