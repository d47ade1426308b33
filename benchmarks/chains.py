"""Chains: each task takes the future of the one before."""

import concurrent.futures
import gc
import time

from benchmarks.harness import (
    Measurement,
    Samples,
    Settings,
    at_least,
    at_most,
    below,
    interleave,
    largest,
    smallest,
)
from benchmarks.subject import fails_after, loaded, step, wall_seconds
from fanflow.errors import DependencyError

LEAST_LINKS_PER_SECOND = 5_000.0
MOST_SECONDS_TO_FAIL = 10.0
LONGEST_TEXT = 4_000
"""Characters of the last failure's message; 100,000 links in full would take millions."""
WAIT_SECONDS = 120.0


def extend(first: "concurrent.futures.Future[int]", links: int) -> "concurrent.futures.Future[int]":
    last = first
    for _ in range(links):
        last = step(last)
    return last


def run_chain(links: int) -> None:
    found = extend(step(0), links - 1).result(WAIT_SECONDS)
    if found != links:
        raise RuntimeError(f"a chain of {links} links ended with {found}")


def run_waiting_chain(links: int) -> float:
    """Seconds from the moment the root may start, with all links waiting."""
    gate: concurrent.futures.Future[int] = concurrent.futures.Future()
    last = extend(step(gate), links - 1)
    step(0).result(WAIT_SECONDS)  # calls are taken in order: now all links wait
    began = time.perf_counter()
    gate.set_result(0)
    if last.result(WAIT_SECONDS) != links:
        raise RuntimeError(f"a chain of {links} links ended with {last.result()}")
    return time.perf_counter() - began


def chain(settings: Settings) -> list[Measurement]:
    links = 1_000
    with loaded():
        called, waiting = interleave(
            settings.rounds(15),
            lambda: wall_seconds(lambda: run_chain(links)),
            lambda: run_waiting_chain(links),
        )
    rate = called.scaled(lambda seconds: links / seconds)
    return [
        largest(f"{links:,} links", rate, "links/s", budget=at_least(LEAST_LINKS_PER_SECOND)),
        largest(
            "all links called before the first runs",
            waiting.scaled(lambda seconds: links / seconds),
            "links/s",
        ),
    ]


def deep_chain(settings: Settings) -> list[Measurement]:
    """A recursion error, or a crash while the chain is taken down, fails the benchmark."""
    links = settings.size(100_000, 10_000)
    rounds = settings.rounds(2)
    with loaded():
        whole = Samples([wall_seconds(lambda: run_chain(links)) for _ in range(rounds)])
        released = Samples([run_waiting_chain(links) for _ in range(rounds)])
        failures = [Failure.of(links) for _ in range(rounds)]
        dropped = Samples([drop_seconds(links) for _ in range(rounds)])
    return [
        largest(f"{links:,} links", whole.scaled(lambda seconds: links / seconds), "links/s"),
        largest(
            "all called before the first runs", released.scaled(lambda seconds: links / seconds), "links/s"
        ),
        smallest(
            "the root fails: until the last future raises",
            Samples([failure.seconds for failure in failures]),
            "s",
            budget=below(MOST_SECONDS_TO_FAIL),
        ),
        smallest(
            "length of that failure's text",
            Samples([float(failure.text_length) for failure in failures]),
            "characters",
            budget=at_most(LONGEST_TEXT),
        ),
        smallest("making that text", Samples([failure.text_seconds * 1e3 for failure in failures]), "ms"),
        smallest("dropping a failed chain's futures", dropped, "s"),
    ]


class Failure:
    """What the last future of a chain whose root fails says, and how fast."""

    def __init__(self, error: DependencyError, seconds: float) -> None:
        self.seconds = seconds
        began = time.perf_counter()
        self.text_length = len(str(error))
        self.text_seconds = time.perf_counter() - began

    @classmethod
    def of(cls, links: int) -> "Failure":
        began = time.perf_counter()
        gate: concurrent.futures.Future[int] = concurrent.futures.Future()
        last = extend(fails_after(gate), links - 1)
        gate.set_result(0)  # not before all links wait: the failure has the whole way to go
        error = last.exception(WAIT_SECONDS)
        seconds = time.perf_counter() - began
        if not isinstance(error, DependencyError):
            raise RuntimeError(f"the last future of a failed chain holds {error!r}")
        return cls(error, seconds)


def drop_seconds(links: int) -> float:
    """Takes a failed chain down from its tail, where each error leads to the one before."""
    gate: concurrent.futures.Future[int] = concurrent.futures.Future()
    held = [fails_after(gate)]
    for _ in range(links - 1):
        held.append(step(held[-1]))
    gate.set_result(0)
    held[-1].exception(WAIT_SECONDS)
    last = held.pop()
    held.clear()

    def drop() -> None:
        nonlocal last
        del last
        gc.collect()

    return wall_seconds(drop)
