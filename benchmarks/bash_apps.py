"""Bash apps per second."""

import concurrent.futures
import subprocess

from benchmarks.harness import Measurement, Settings, interleave, largest
from benchmarks.subject import THREADS, loaded, wall_seconds
from fanflow import bash_app


@bash_app
def true() -> str:
    return "true"


def run_apps(count: int) -> None:
    futures = [true() for _ in range(count)]
    for future in futures:
        if future.result() != 0:
            raise RuntimeError("`true` did not end with status 0")


def run_bare(pool: concurrent.futures.ThreadPoolExecutor, count: int) -> None:
    """What two threads and the standard library start in the same time."""
    futures = [pool.submit(subprocess.call, ["/bin/bash", "-c", "true"]) for _ in range(count)]
    for future in futures:
        future.result()


def bash(settings: Settings) -> list[Measurement]:
    count = settings.size(500, 100)
    with loaded(), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        ours, bare = interleave(
            settings.rounds(3),
            lambda: count / wall_seconds(lambda: run_apps(count)),
            lambda: count / wall_seconds(lambda: run_bare(pool, count)),
        )
    return [
        largest(f"{count} times `true`", ours, "apps/s"),
        largest("bare pool and subprocess.call", bare, "commands/s"),
    ]
