"""One task with thousands of dependencies."""

import concurrent.futures
from collections.abc import Callable

from benchmarks.harness import (
    Measurement,
    Samples,
    Settings,
    at_most,
    below,
    growth_exponent,
    interleave,
    smallest,
)
from benchmarks.subject import count_arguments, count_inputs, loaded, step, wall_seconds

MOST_SECONDS = 0.5
MOST_EXPONENT = 1.25
"""1 is linear. Caches and the collector add a little; a quadratic part shows at once."""
WIDTH = 4_000
WIDTHS = (1_000, 2_000, 4_000, 8_000)
WAIT_SECONDS = 60.0

Join = Callable[[list["concurrent.futures.Future[int]"]], "concurrent.futures.Future[int]"]


def as_inputs(futures: "list[concurrent.futures.Future[int]]") -> "concurrent.futures.Future[int]":
    return count_inputs(inputs=futures)


def as_arguments(futures: "list[concurrent.futures.Future[int]]") -> "concurrent.futures.Future[int]":
    return count_arguments(*futures)


def run_tasks(width: int, join: Join) -> float:
    """Seconds for `width` tasks and the one that takes them all."""
    return wall_seconds(lambda: check(width, join([step(0) for _ in range(width)])))


def run_foreign(width: int, join: Join) -> float:
    """Seconds for the one alone: its dependencies are resolved here, one after the other."""
    futures: list[concurrent.futures.Future[int]] = [concurrent.futures.Future() for _ in range(width)]

    def resolve() -> None:
        last = join(futures)
        for future in futures:
            future.set_result(0)
        check(width, last)

    return wall_seconds(resolve)


def check(width: int, last: "concurrent.futures.Future[int]") -> None:
    found = last.result(WAIT_SECONDS)
    if found != width:
        raise RuntimeError(f"a task with {width} dependencies got {found}")


def fan_in(settings: Settings) -> list[Measurement]:
    rounds = settings.rounds(7)
    with loaded():
        inputs, arguments = interleave(
            rounds, lambda: run_tasks(WIDTH, as_inputs), lambda: run_tasks(WIDTH, as_arguments)
        )
        tasks = interleave(rounds, *(lambda width=width: run_tasks(width, as_inputs) for width in WIDTHS))
        foreign = interleave(rounds, *(lambda width=width: run_foreign(width, as_inputs) for width in WIDTHS))
    return [
        smallest(f"{WIDTH:,} in inputs=", inputs, "s", budget=below(MOST_SECONDS)),
        smallest(f"{WIDTH:,} as arguments", arguments, "s", budget=below(MOST_SECONDS)),
        growth("growth from 1,000 to 8,000", tasks),
        growth("growth, foreign futures", foreign),
        smallest("8,000 foreign futures", foreign[-1], "s"),
    ]


def growth(name: str, taken: list[Samples]) -> Measurement:
    """The exponent of the best times: 1 is linear, 2 quadratic."""
    best = [samples.least for samples in taken]
    listed = ", ".join(
        f"{width:,}: {seconds * 1e3:.1f} ms" for width, seconds in zip(WIDTHS, best, strict=True)
    )
    return Measurement(
        name=name,
        value=growth_exponent(WIDTHS, best),
        unit="(exponent)",
        budget=at_most(MOST_EXPONENT),
        note=listed,
    )
