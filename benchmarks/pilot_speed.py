"""No-op tasks on the pilot engine: CPU and tasks per second, beside the limit and other systems."""

import gc

from benchmarks.clocks import TreeClock, descendants
from benchmarks.engine import Cost, both_loaded, engine_loaded, noop, noop_over_tcp
from benchmarks.harness import Measurement, Samples, Settings, at_least, at_most, largest, smallest
from benchmarks.isolation import probe
from benchmarks.peers import PoolFigures, run_pools

MOST_CLIENT_US = 25.0
MOST_OTHERS_US = 25.0
LEAST_RATE = 30_000.0
LEAST_OF_LIMIT = 1 / 3
ALLOWED_ENCRYPTED = 1.5
"""CPU of a task over encrypted TCP, over that of one over Unix sockets."""
ALLOWED_SLOWDOWN = 1.15
"""CPU of one task among 200,000, over that of one among 10,000."""


class Turn:
    """The engine and the limit at one size, measured one after the other so that noise hits both."""

    def __init__(self, count: int, clock: TreeClock) -> None:
        gc.collect()
        self.ours = Cost(count, clock)
        self.limit, self.limit_client_us, self.limit_others_us = probe("benchmarks.limit:figures", count)


class Turns:
    """Several turns at one size."""

    def __init__(self, count: int, rounds: int, clock: TreeClock) -> None:
        self.count = count
        self.turns = [Turn(count, clock) for _ in range(rounds)]
        self.rate = Samples([turn.ours.rate for turn in self.turns])
        self.client_us = Samples([turn.ours.client_us for turn in self.turns])
        self.others_us = Samples([turn.ours.others_us for turn in self.turns])
        self.all_us = Samples([turn.ours.client_us + turn.ours.others_us for turn in self.turns])
        self.limit = Samples([turn.limit for turn in self.turns])

    def costs(self) -> list[Measurement]:
        return [
            smallest(
                f"{self.count:,} tasks: client", self.client_us, "µs/task", budget=at_most(MOST_CLIENT_US)
            ),
            smallest(
                f"{self.count:,} tasks: interchange, manager and workers",
                self.others_us,
                "µs/task",
                budget=at_most(MOST_OTHERS_US),
            ),
        ]

    def rates(self) -> list[Measurement]:
        return [
            largest(f"{self.count:,} tasks", self.rate, "tasks/s", budget=at_least(LEAST_RATE)),
            Measurement(
                name=f"{self.count:,} tasks, over the limit",
                value=self.rate.most / self.limit.most,
                unit="x",
                budget=at_least(LEAST_OF_LIMIT),
                samples=tuple(turn.ours.rate / turn.limit for turn in self.turns),
                note="the figure is best against best, the spread that of the pairs",
            ),
            largest(f"limit, {self.count:,} calls", self.limit, "calls/s"),
        ]

    def limits(self) -> list[Measurement]:
        client = Samples([turn.limit_client_us for turn in self.turns])
        others = Samples([turn.limit_others_us for turn in self.turns])
        return [
            smallest(f"limit, {self.count:,} calls: client", client, "µs/call"),
            smallest(f"limit, {self.count:,} calls: relay, manager and workers", others, "µs/call"),
        ]


def speed(settings: Settings) -> list[Measurement]:
    with engine_loaded():
        clock = TreeClock(descendants())
        few = Turns(settings.size(10_000, 2_000), settings.rounds(9), clock)
        many = Turns(settings.size(200_000, 20_000), settings.rounds(5), clock)
    return [
        *few.costs(),
        *many.costs(),
        *few.rates(),
        *many.rates(),
        slowdown(few, many),
        *few.limits(),
    ]


def slowdown(few: Turns, many: Turns) -> Measurement:
    """By CPU: other load lengthens a long run and leaves some short ones alone."""
    return Measurement(
        name=f"a task among {many.count:,}, CPU of all processes",
        value=many.all_us.least / few.all_us.least,
        unit="x",
        budget=at_most(ALLOWED_SLOWDOWN),
        samples=tuple(long / few.all_us.median for long in many.all_us.values),
        note=f"over that of one among {few.count:,}, best against best",
    )


# ------------------------------------------------------------------------------------- encryption


def encrypted(settings: Settings) -> list[Measurement]:
    """The same tasks on an engine over TCP with CurveZMQ and on one over Unix sockets, in turn."""
    count = settings.size(10_000, 2_000)
    unix: list[Cost] = []
    tcp: list[Cost] = []
    with both_loaded():
        clock = TreeClock(descendants())
        for _ in range(settings.rounds(9)):
            gc.collect()
            unix.append(Cost(count, clock, noop))
            tcp.append(Cost(count, clock, noop_over_tcp))
    ours, theirs = (Samples([cost.client_us + cost.others_us for cost in costs]) for costs in (tcp, unix))
    return [
        Measurement(
            name=f"{count:,} tasks over TCP: CPU over that of Unix sockets",
            value=ours.least / theirs.least,
            unit="x",
            budget=at_most(ALLOWED_ENCRYPTED),
            samples=tuple(mine / other for mine, other in zip(ours.values, theirs.values, strict=True)),
            note="the figure is best against best, the spread that of the pairs",
        ),
        smallest("over TCP: client", Samples([cost.client_us for cost in tcp]), "µs/task"),
        smallest(
            "over TCP: interchange, manager and workers",
            Samples([cost.others_us for cost in tcp]),
            "µs/task",
        ),
        largest("over TCP", Samples([cost.rate for cost in tcp]), "tasks/s"),
        largest("over Unix sockets", Samples([cost.rate for cost in unix]), "tasks/s"),
    ]


# ------------------------------------------------------------------------------------------ others


def beside_others(settings: Settings) -> list[Measurement]:
    """The same tasks on other systems with two workers, and on ours in between."""
    found: list[Measurement] = []
    with engine_loaded():
        clock = TreeClock(descendants())
        for pool in run_pools(settings.size(2_000, 500), settings.rounds(3)):
            found += beside(pool, Cost(settings.size(10_000, 2_000), clock))
    return found


def beside(pool: PoolFigures, ours: Cost) -> list[Measurement]:
    if pool.error:
        return [Measurement(name=f"{pool.name}: tasks", value=0, unit="tasks/s", note=pool.error)]
    rate = Samples(pool.rate)
    both = Samples([client + others for client, others in zip(pool.client_us, pool.others_us, strict=True)])
    return [
        largest(pool.name, rate, "tasks/s", note=f"version {pool.version}"),
        smallest(f"{pool.name}: client", Samples(pool.client_us), "µs/task"),
        smallest(f"{pool.name}: its other processes", Samples(pool.others_us), "µs/task"),
        Measurement(name=f"fanflow over {pool.name}: tasks/s", value=ours.rate / rate.most, unit="x"),
        Measurement(
            name=f"{pool.name} over fanflow: CPU",
            value=both.least / (ours.client_us + ours.others_us),
            unit="x",
        ),
    ]
