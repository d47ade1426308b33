"""Measures Parsl itself; a script of its own, for an interpreter that may not have fanflow."""

import gc
import json
import sys
import time

import parsl
from parsl import Config, ThreadPoolExecutor, python_app

COUNT = 2_000
ROUNDS = 3


@python_app
def noop() -> None:
    pass


def sample() -> tuple[float, float]:
    """CPU in µs per task, and tasks per second."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    futures = [noop() for _ in range(COUNT)]
    for future in futures:
        future.result()
    return (time.process_time() - cpu) / COUNT * 1e6, COUNT / (time.perf_counter() - wall)


def figures(*, logs: bool) -> list[tuple[float, float]]:
    config = Config(executors=[ThreadPoolExecutor(max_threads=2)], initialize_logging=logs)
    with parsl.load(config):
        sample()
        return [sample() for _ in range(ROUNDS)]


def main() -> int:
    if not parsl.load.__module__.startswith("parsl."):
        print(f"this parsl is an alias, from {parsl.load.__module__}", file=sys.stderr)
        return 1
    loud, quiet = figures(logs=True), figures(logs=False)
    found = {
        "version": parsl.__version__,
        "cpu_us": [cpu for cpu, _ in loud],
        "rate": [rate for _, rate in loud],
        "quiet_cpu_us": [cpu for cpu, _ in quiet],
        "quiet_rate": [rate for _, rate in quiet],
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
