"""Large arrays to and from workers of the pilot engine, and bash apps on them."""

import numpy as np
import numpy.typing as npt

from benchmarks.bash_apps import run_apps
from benchmarks.engine import engine_loaded
from benchmarks.harness import Measurement, Settings, at_least, interleave, largest
from benchmarks.subject import wall_seconds
from fanflow import python_app

ARRAY_BYTES = 100_000_000
LEAST_GB_PER_S = 0.3
LEAST_APPS_PER_S = 600.0
GIGA = 1e9


@python_app
def size_of(array: "npt.NDArray[np.float64]") -> int:
    return int(array.nbytes)


@python_app
def make(count: int) -> "npt.NDArray[np.float64]":
    return np.zeros(count)


def arrays(settings: Settings) -> list[Measurement]:
    """Seconds of the whole task, pickling and unpickling included."""
    count = settings.size(ARRAY_BYTES, ARRAY_BYTES // 10) // 8
    array = np.random.default_rng(0).random(count)

    def as_argument() -> float:
        def run() -> None:
            if size_of(array).result() != array.nbytes:
                raise RuntimeError("the worker was given another array")

        return array.nbytes / GIGA / wall_seconds(run)

    def as_result() -> float:
        def run() -> None:
            if make(count).result().nbytes != array.nbytes:
                raise RuntimeError("the worker made another array")

        return array.nbytes / GIGA / wall_seconds(run)

    with engine_loaded():
        argument, result = interleave(settings.rounds(7), as_argument, as_result)
    name = f"array of {array.nbytes // 1_000_000} MB"
    return [
        largest(f"{name} as argument", argument, "GB/s", budget=at_least(LEAST_GB_PER_S)),
        largest(f"{name} as result", result, "GB/s", budget=at_least(LEAST_GB_PER_S)),
    ]


def bash(settings: Settings) -> list[Measurement]:
    count = settings.size(500, 100)
    with engine_loaded():
        (rate,) = interleave(settings.rounds(7), lambda: count / wall_seconds(lambda: run_apps(count)))
    return [largest(f"{count} times `true`", rate, "apps/s", budget=at_least(LEAST_APPS_PER_S))]
