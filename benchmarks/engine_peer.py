"""Measures another system's pool of two processes: `python -m benchmarks.engine_peer NAME COUNT ROUNDS`.

Runs under an interpreter that need not have fanflow; psutil, which Parsl and Dask bring, is all it needs.
"""

import concurrent.futures
import contextlib
import gc
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.clocks import TreeClock, descendants

WORKERS = 2
MICRO = 1e6
ANSWER = "figures: "
"""Begins the line with the figures; libraries write lines of their own."""
Run = Callable[[int], None]
"""Runs so many no-op tasks, submitted one by one, and waits for all results."""


def noop() -> None:
    pass


def run_futures(submit: Callable[[Callable[[], None]], Any], count: int) -> None:
    futures = [submit(noop) for _ in range(count)]
    for future in futures:
        future.result()


@contextmanager
def process_pool() -> Generator[Run]:
    with concurrent.futures.ProcessPoolExecutor(WORKERS) as pool:
        yield lambda count: run_futures(pool.submit, count)


@contextmanager
def loky() -> Generator[Run]:
    pool: Any = importlib.import_module("loky").ProcessPoolExecutor(WORKERS)
    yield lambda count: run_futures(pool.submit, count)
    pool.shutdown()


@contextmanager
def mpi4py() -> Generator[Run]:
    pool: Any = importlib.import_module("mpi4py.futures").MPIPoolExecutor(WORKERS)
    yield lambda count: run_futures(pool.submit, count)
    pool.shutdown()


@contextmanager
def dask() -> Generator[Run]:
    distributed: Any = importlib.import_module("distributed")
    options = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield lambda count: run_futures(lambda function: client.submit(function, pure=False), count)


@contextmanager
def ray() -> Generator[Run]:
    library: Any = importlib.import_module("ray")
    library.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    remote = library.remote(noop)
    yield lambda count: library.get([remote.remote() for _ in range(count)])
    library.shutdown()


@contextmanager
def parsl() -> Generator[Run]:
    library: Any = importlib.import_module("parsl")
    provider = library.providers.LocalProvider(init_blocks=1, max_blocks=1)
    executor = library.HighThroughputExecutor(
        address="127.0.0.1", max_workers_per_node=WORKERS, provider=provider, encrypted=False
    )
    app = library.python_app(noop)
    with library.load(library.Config(executors=[executor], strategy="none")):
        yield lambda count: run_futures(lambda function: app(), count)


POOLS: dict[str, tuple[str, Callable[[], contextlib.AbstractContextManager[Run]]]] = {
    "ProcessPoolExecutor": ("", process_pool),
    "loky": ("loky", loky),
    "mpi4py.futures": ("mpi4py", mpi4py),
    "Dask": ("distributed", dask),
    "Ray": ("ray", ray),
    "Parsl HTEX": ("parsl", parsl),
}
"""By the name that tables show: the distribution, empty for the standard library, and how it runs."""


def sample(run: Run, count: int, clock: TreeClock) -> tuple[float, float, float]:
    """Tasks per second, and CPU per task in µs: of this process, and of the others."""
    gc.collect()
    own, others, wall = clock.own(), clock.others(), time.perf_counter()
    run(count)
    wall = time.perf_counter() - wall
    return count / wall, (clock.own() - own) / count * MICRO, (clock.others() - others) / count * MICRO


def main(argv: Sequence[str]) -> int:
    name, count, rounds = argv[0], int(argv[1]), int(argv[2])
    distribution, loaded = POOLS[name]
    version = importlib.metadata.version(distribution) if distribution else sys.version.split()[0]
    with loaded() as run:
        run(max(WORKERS, count // 10))
        clock = TreeClock(descendants())
        found = [sample(run, count, clock) for _ in range(rounds)]
    rate, client_us, others_us = (list(column) for column in zip(*found, strict=True))
    answer = {"name": name, "version": version, "rate": rate, "client_us": client_us, "others_us": others_us}
    print(f"{ANSWER}{json.dumps(answer)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
