"""What `import fanflow` costs a fresh interpreter."""

import subprocess
import sys
import time

from benchmarks.harness import Measurement, Settings, below, interleave
from benchmarks.isolation import environment

MOST_MILLISECONDS = 100.0
MOST_MODULES = 10
LISTING = (
    "import sys, fanflow;"
    "print(sum(1 for name in sys.modules if name.partition('.')[0] == 'fanflow'), len(sys.modules))"
)


def start_milliseconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL, env=environment())
    return (time.perf_counter() - began) * 1e3


def modules() -> tuple[int, int]:
    """Modules of fanflow, and modules in all, after the import."""
    answer = subprocess.run(
        [sys.executable, "-c", LISTING], check=True, capture_output=True, text=True, env=environment()
    )
    ours, whole = map(int, answer.stdout.split())
    return ours, whole


def import_time(settings: Settings) -> list[Measurement]:
    """Medians, since a start of an interpreter has no best that a user would see."""
    bare, ours = interleave(
        settings.rounds(10),
        lambda: start_milliseconds("pass"),
        lambda: start_milliseconds("import fanflow"),
    )
    fanflow_modules, all_modules = modules()
    return [
        Measurement(
            name="import fanflow",
            value=max(0.0, ours.median - bare.median),
            unit="ms",
            budget=below(MOST_MILLISECONDS),
            samples=tuple(mine - none for mine, none in zip(ours.values, bare.values, strict=True)),
            note=f"difference of medians; the bare interpreter took {bare.median:.0f} ms",
        ),
        Measurement(
            name="modules of fanflow loaded",
            value=fanflow_modules,
            unit="modules",
            budget=below(MOST_MODULES),
        ),
        Measurement(name="modules loaded in all", value=all_modules, unit="modules"),
    ]
