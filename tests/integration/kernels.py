"""Small kernels, and apps that wait until a test lets them go on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import fanflow
from fanflow.executors.threads import ThreadPoolExecutor

PATIENCE_S = 20.0
"""Nothing that a test waits for takes longer."""


@contextmanager
def loaded(threads: int = 2, **options: object) -> Iterator[fanflow.DataFlowKernel]:
    """A loaded kernel with one thread pool, cleaned up at the end."""
    executors = options.pop("executors", [ThreadPoolExecutor("threads", max_threads=threads)])
    kernel = fanflow.load(fanflow.Config(executors=executors, **options))  # type: ignore[arg-type]
    try:
        yield kernel
    finally:
        kernel.cleanup()


class Door:
    """Tasks say that they have come, and wait until it is opened. It opens at the end of a `with` block."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._arrived = threading.Semaphore(0)

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open()

    def open(self) -> None:
        self._opened.set()

    def pass_through(self, value: object = None) -> object:
        self._arrived.release()
        assert self._opened.wait(PATIENCE_S), "nobody opened the door"
        return value

    def wait_for(self, tasks: int) -> None:
        """Until so many more tasks stand at the door."""
        for _ in range(tasks):
            assert self._arrived.acquire(timeout=PATIENCE_S), "a task did not come to the door"
