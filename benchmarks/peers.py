"""Runs Parsl beside fanflow, if this interpreter or the one in FANFLOW_PEERS_PYTHON has it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.isolation import PEERS_VARIABLE

SCRIPT = Path(__file__).with_name("parsl_peer.py")
LIMIT_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class ParslFigures:
    """The same no-op tasks on Parsl's threads executor, with its default logging and without."""

    version: str
    cpu_us: list[float]
    rate: list[float]
    quiet_cpu_us: list[float]
    quiet_rate: list[float]


def interpreter() -> str | None:
    named = os.environ.get(PEERS_VARIABLE)
    if named:
        return named
    return sys.executable if importlib.util.find_spec("parsl") else None


def run_parsl() -> ParslFigures | None:
    """None where there is no Parsl.

    Raises:
        subprocess.CalledProcessError: The named interpreter cannot run it.
    """
    python = interpreter()
    if python is None:
        return None
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="fanflow-bench-") as place:
        answer = subprocess.run(
            [python, str(SCRIPT)],
            cwd=place,
            env=outside,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=LIMIT_SECONDS,
            check=True,
        )
    return msgspec.json.decode(answer.stdout.splitlines()[-1], type=ParslFigures)
