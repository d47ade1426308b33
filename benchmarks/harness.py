"""What a benchmark says: measurements, their budgets, and the report of one benchmark."""

import enum
import gc
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


class Bound(enum.Enum):
    """On which side of its limit a figure has to stay."""

    AT_MOST = "at most"
    AT_LEAST = "at least"
    BELOW = "below"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A promise about one figure, in that figure's unit."""

    limit: float
    bound: Bound

    def ratio(self, measured: float) -> float:
        """Measured over target, turned round where more is better: at most 1 is good either way."""
        if self.bound is Bound.AT_LEAST:
            return self.limit / measured if measured > 0 else math.inf
        return measured / self.limit

    def is_met(self, measured: float) -> bool:
        if self.bound is Bound.AT_MOST:
            return measured <= self.limit
        if self.bound is Bound.BELOW:
            return measured < self.limit
        return measured >= self.limit


def at_most(limit: float) -> Budget:
    return Budget(limit=limit, bound=Bound.AT_MOST)


def at_least(limit: float) -> Budget:
    return Budget(limit=limit, bound=Bound.AT_LEAST)


def below(limit: float) -> Budget:
    return Budget(limit=limit, bound=Bound.BELOW)


class Verdict(enum.Enum):
    """What a figure comes to."""

    MET = "met"
    MISSED = "MISSED"
    SHOWN = "shown"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure."""

    name: str
    value: float
    unit: str
    budget: Budget | None = None
    """No budget: the figure is only shown."""
    samples: tuple[float, ...] = ()
    """Every sample that `value` was chosen from."""
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.budget is None:
            return Verdict.SHOWN
        return Verdict.MET if self.budget.is_met(self.value) else Verdict.MISSED

    @property
    def ratio(self) -> float | None:
        return None if self.budget is None else self.budget.ratio(self.value)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one benchmark found, or why it found nothing."""

    benchmark: str
    measurements: tuple[Measurement, ...] = ()
    error: str = ""
    """Not empty: the benchmark failed, crashed or ran out of time."""
    seconds: float = 0.0
    other_load: float = 0.0
    """Cores that other processes kept busy meanwhile."""

    @property
    def has_missed(self) -> bool:
        return any(found.verdict is Verdict.MISSED for found in self.measurements)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much to run."""

    quick: bool = False
    """A tenth of the tasks or less: for trying things out, not for figures."""
    repeat: int = 0
    """Samples per figure; 0 leaves it to the benchmark."""

    def rounds(self, default: int) -> int:
        return self.repeat or (min(default, 3) if self.quick else default)

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A name for the command line and the function behind it, as `module:function`."""

    name: str
    target: str
    summary: str
    limit_seconds: float = 300.0
    """The benchmark has failed when it takes longer."""


@dataclass
class Samples:
    """Samples of one figure, in the order taken."""

    values: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def scaled(self, function: Callable[[float], float]) -> "Samples":
        return Samples([function(value) for value in self.values])


def interleave(rounds: int, *subjects: Callable[[], float]) -> list[Samples]:
    """Sample the subjects in turn (A B A B), after one unmeasured turn, so that noise hits all of them."""
    taken = [Samples() for _ in subjects]
    for subject in subjects:
        subject()
    for _ in range(rounds):
        for subject, samples in zip(subjects, taken, strict=True):
            gc.collect()
            samples.values.append(subject())
    return taken


def smallest(
    name: str, samples: Samples, unit: str, *, budget: Budget | None = None, note: str = ""
) -> Measurement:
    """Best of several where less is better."""
    return Measurement(
        name=name, value=samples.least, unit=unit, budget=budget, samples=tuple(samples.values), note=note
    )


def largest(
    name: str, samples: Samples, unit: str, *, budget: Budget | None = None, note: str = ""
) -> Measurement:
    """Best of several where more is better."""
    return Measurement(
        name=name, value=samples.most, unit=unit, budget=budget, samples=tuple(samples.values), note=note
    )


def growth_exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Slope of the least-squares line through log(cost) over log(size): 1 is linear, 2 quadratic."""
    fit = statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs])
    return fit.slope
