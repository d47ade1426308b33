"""`import fanflow` is quick and small, and what it offers is documented."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import fanflow

ROOT = Path(__file__).resolve().parents[2]
BUDGET_SECONDS = 0.1
RUNS = 5

PROBE = """
import json, sys, time
import threading
started = time.perf_counter()
import fanflow
seconds = time.perf_counter() - started
modules = sorted(name for name in sys.modules if name.partition(".")[0] == "fanflow")
print(json.dumps({"seconds": seconds, "modules": modules, "threads": threading.active_count()}))
"""


def probe() -> tuple[float, list[str], int]:
    """Imports fanflow in a fresh interpreter: seconds, its modules loaded, threads running."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    found = json.loads(done.stdout)
    return found["seconds"], found["modules"], found["threads"]


def test_import_is_quick_and_loads_few_modules() -> None:
    probes = [probe() for _ in range(RUNS)]

    assert min(seconds for seconds, _, _ in probes) < BUDGET_SECONDS
    _, modules, threads = probes[0]
    assert len(modules) < 10, modules
    assert threads == 1


def test_every_public_name_exists_and_is_documented() -> None:
    undocumented: list[str] = []
    for name in fanflow.__all__:
        thing = getattr(fanflow, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        if not inspect.getdoc(thing):
            undocumented.append(name)
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            is_public = inspect.isroutine(value) and not method.startswith("_")
            if is_public and not inspect.getdoc(getattr(thing, method)):
                undocumented.append(f"{name}.{method}")

    assert undocumented == []
