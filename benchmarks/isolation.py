"""Runs benchmarks and probes in fresh processes, in a directory and an environment of their own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from benchmarks.harness import Benchmark, Measurement, Report, Settings

CHECKOUT = Path(__file__).resolve().parent.parent
PROBE_SECONDS = 240.0
PEERS_VARIABLE = "FANFLOW_PEERS_PYTHON"


class ChildError(Exception):
    """A fresh process ended without a result; the message holds the end of what it said."""


def environment() -> dict[str, str]:
    """This environment without what would configure fanflow; the checkout's sources come first."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FANFLOW_") or name == PEERS_VARIABLE
    }
    kept["PYTHONFAULTHANDLER"] = "1"  # a crash says where
    kept["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT / "src"), str(CHECKOUT)])
    return kept


def run_child(target: str, settings: str, sizes: Sequence[int], limit_seconds: float) -> bytes:
    """Returns the JSON that the target's result was written as.

    Raises:
        ChildError: It failed, crashed or ran longer than the limit.
    """
    with tempfile.TemporaryDirectory(prefix="fanflow-bench-") as place:
        output = Path(place) / "result.json"
        argv = [sys.executable, "-m", "benchmarks.child", target, str(output), settings, *map(str, sizes)]
        status, said = run_bounded(argv, place, limit_seconds)
        if status != 0 or not output.exists():
            raise ChildError(f"{describe_end(status, limit_seconds)}{said}")
        return output.read_bytes()


def run_bounded(
    argv: Sequence[str], place: str, limit_seconds: float, variables: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Exit status (none: out of time) and the end of the output; nothing of its group survives then."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            argv,
            cwd=place,
            env=environment() if variables is None else variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = child.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if status is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - 2_000))
        return status, without_places(output.read().decode(errors="replace").strip())


def without_places(text: str) -> str:
    """What is said may be published; where this checkout and this Python live is nobody's business."""
    for place in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix), Path.home()):
        if len(place.parts) > 1:
            text = text.replace(f"{place}{os.sep}", "")
    return text


def describe_end(status: int | None, limit_seconds: float) -> str:
    if status is None:
        return f"took longer than {limit_seconds:.0f} s: "
    if status < 0:
        return f"died of {signal.Signals(-status).name}: "
    return f"ended with status {status}: "


def probe(target: str, *sizes: int, limit_seconds: float = PROBE_SECONDS) -> list[float]:
    """Calls a function of integers in a fresh process and returns its figures."""
    return msgspec.json.decode(run_child(target, "probe", sizes, limit_seconds), type=list[float])


def run_benchmark(benchmark: Benchmark, settings: Settings) -> Report:
    """Never raises for the benchmark: a failure is part of the report."""
    load, began = OtherLoad(), time.monotonic()
    try:
        answer = run_child(
            benchmark.target, msgspec.json.encode(settings).decode(), (), benchmark.limit_seconds
        )
    except ChildError as failed:
        return Report(
            benchmark=benchmark.name,
            error=str(failed),
            seconds=time.monotonic() - began,
            other_load=load.cores(),
        )
    return Report(
        benchmark=benchmark.name,
        measurements=msgspec.json.decode(answer, type=tuple[Measurement, ...]),
        seconds=time.monotonic() - began,
        other_load=load.cores(),
    )


class OtherLoad:
    """What processes that are not ours take of the machine, so that a reader can judge a figure."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), busy_seconds(), own_seconds()

    def cores(self) -> float:
        passed = time.monotonic() - self._began
        others = (busy_seconds() - self._busy) - (own_seconds() - self._own)
        return max(0.0, others / passed) if passed > 0 else 0.0


def busy_seconds() -> float:
    """CPU seconds of the whole machine since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


def own_seconds() -> float:
    """CPU seconds of this process and of all its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
