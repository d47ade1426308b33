"""How long a kernel takes to start and to end."""

import time

import fanflow
from benchmarks.harness import Measurement, Samples, Settings, smallest
from benchmarks.isolation import probe
from benchmarks.subject import THREADS, noop, run_kept
from fanflow import Config, ThreadPoolExecutor

TASKS = 1_000


def life(settings: Settings) -> list[Measurement]:
    """Fresh processes: the first kernel of a process is the one that users wait for."""
    runs = [probe("benchmarks.life:one_life") for _ in range(settings.rounds(5))]
    first, shutdown, second = (Samples(list(column)) for column in zip(*runs, strict=True))
    return [
        smallest("load to first result", first, "ms"),
        smallest(f"cleanup after {TASKS:,} tasks", shutdown, "ms"),
        smallest("load to first result, second kernel", second, "ms"),
    ]


def one_life() -> list[float]:
    """Milliseconds from load to the first result, of cleanup, and of a second load."""
    first = load_to_result()
    run_kept(TASKS)
    shutdown = clean_up()
    second = load_to_result()
    clean_up()
    return [first, shutdown, second]


def load_to_result() -> float:
    began = time.perf_counter()
    fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=THREADS)]))
    noop().result()
    return (time.perf_counter() - began) * 1e3


def clean_up() -> float:
    kernel = fanflow.dfk()
    began = time.perf_counter()
    kernel.cleanup()
    fanflow.clear()
    return (time.perf_counter() - began) * 1e3
