"""Runs other systems beside fanflow, if this interpreter or the one in FANFLOW_PEERS_PYTHON has them."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.engine_peer import ANSWER, POOLS
from benchmarks.isolation import CHECKOUT, PEERS_VARIABLE, describe_end, run_bounded

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


@dataclass(frozen=True, kw_only=True)
class PoolFigures:
    """No-op tasks, submitted one by one, on another system with two worker processes."""

    name: str
    version: str = ""
    rate: list[float] = field(default_factory=list)
    client_us: list[float] = field(default_factory=list)
    others_us: list[float] = field(default_factory=list)
    error: str = ""
    """Not empty: it is there, and could not be measured."""


def has_module(python: str, module: str) -> bool:
    """Whether that interpreter can import it."""
    asked = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", asked], check=False, stdin=subprocess.DEVNULL).returncode == 0


def run_pools(count: int, rounds: int) -> Iterator[PoolFigures]:
    """One after the other: the standard library's always, the others where they are installed."""
    named = os.environ.get(PEERS_VARIABLE) or sys.executable
    for name, (distribution, _) in POOLS.items():
        python = named if distribution else sys.executable
        if not distribution or has_module(python, distribution):
            yield run_pool(python, name, count, rounds)


def run_pool(python: str, name: str, count: int, rounds: int) -> PoolFigures:
    programs = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", os.defpath)])  # Parsl's own
    environment = {
        **os.environ,
        "PATH": programs,
        "PYTHONPATH": str(CHECKOUT),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    argv = [python, "-m", "benchmarks.engine_peer", name, str(count), str(rounds)]
    with tempfile.TemporaryDirectory(prefix="fanflow-bench-") as place:
        status, said = run_bounded(argv, place, LIMIT_SECONDS, environment)
    answers = [line for line in said.splitlines() if line.startswith(ANSWER)]
    if status != 0 or not answers:
        return PoolFigures(name=name, error=f"{describe_end(status, LIMIT_SECONDS)}{said[-200:]}")
    return msgspec.json.decode(answers[-1].removeprefix(ANSWER), type=PoolFigures)
