"""Small kernels, and the small apps that several tests call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fanflow
from fanflow import File, python_app
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


def two_threads(label: str = "threads", **options: object) -> fanflow.Config:
    """One pool of two threads, and whatever else."""
    return fanflow.Config(executors=[fanflow.ThreadPoolExecutor(label)], **options)  # type: ignore[arg-type]


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


@python_app
def give(value: object) -> object:
    return value


@python_app
def same(value: object, *others: object) -> object:
    return value


@python_app
def waiting(released: threading.Event, *others: object) -> str:
    released.wait(30)
    return "waited"


@python_app
def failing(text: str) -> None:
    raise ValueError(text)


@python_app
def every(**kwargs: object) -> dict[str, object]:
    return kwargs


@python_app
def none_of_them(number: int = 1) -> int:
    return number


@python_app
def paths(inputs: list[object] | None = None, outputs: list[object] | None = None) -> list[list[str]]:
    return [[str(item) for item in inputs or ()], [str(item) for item in outputs or ()]]


@python_app
def written(text: str, outputs: list[File] | None = None) -> str:
    for file in outputs or ():
        Path(file).write_text(text)
    return text
