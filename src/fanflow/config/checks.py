"""Says what is wrong with the options of a `Config`: all of it at once, each with value and fix."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor as StandardExecutor
from datetime import timedelta
from numbers import Integral, Real
from typing import NamedTuple, cast

from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.ids import INTERNAL_LABEL
from fanflow.logs.configs import LogConfig
from fanflow.spi.executor import ExecutorSpec
from fanflow.spi.resolver import DependencyResolver

EXIT_MODES = ("cleanup", "skip", "wait")
STRATEGIES = ("simple", "htex_auto_scale", "none")

NOT_YET: Mapping[str, str] = {
    "memoizer": "a memoization plug-in",
    "monitoring": "the monitoring database",
}
"""Options of the public contract whose feature is still to come: option -> feature."""

_LONGEST_SECONDS = timedelta.max.total_seconds()


class Problem(NamedTuple):
    """One thing that is wrong."""

    option: str
    """The option, or the path of a key in a file."""
    reason: str
    """What is wrong with the value and what to do, without the option's name."""
    is_type: bool = False
    """The value's type is wrong; `reason` then says what the option takes."""
    value: object = None
    is_sentence: bool = False
    """`reason` says it all, with option and value."""

    def text(self) -> str:
        """Value, reason and fix, for a list of problems."""
        if self.is_type:
            return f"takes {self.reason}, not {type(self.value).__name__} ({_shown(self.value)})"
        return self.reason


Check = Callable[[str, object], "Problem | None"]


def find_problems(options: Mapping[str, object]) -> list[Problem]:
    """What is wrong with these options of `Config`, in their order; every name must be an option."""
    found = (CHECKS[name](name, value) for name, value in options.items())
    return [problem for problem in found if problem is not None]


def to_error(owner: str, problems: Sequence[Problem]) -> ConfigurationError:
    """One error for all problems; an `OptionTypeError` if a wrong type is the only one."""
    if len(problems) > 1:
        lines = "\n".join(f"  {problem.option}: {problem.text()}" for problem in problems)
        return ConfigurationError(f"{owner} has {len(problems)} problems:\n{lines}")
    (problem,) = problems
    if problem.is_type:
        return OptionTypeError(owner, problem.option, problem.value, problem.reason)
    if problem.is_sentence:
        return ConfigurationError(problem.reason)
    return ConfigurationError(f"{owner}({problem.option}={_shown(problem.value)}): {problem.reason}")


def check_executors(value: object) -> tuple[tuple[ExecutorSpec, ...], list[Problem]]:
    """The executors of an option value, and what is wrong with them."""
    if value is None:
        return (), []
    expected = "a list of executors"
    if isinstance(value, ExecutorSpec) and not isinstance(value, type):
        hint = f"{expected} (put the one executor into a list: executors=[...])"
        return (), [Problem("executors", hint, is_type=True, value=value)]
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return (), [Problem("executors", expected, is_type=True, value=value)]
    specs: list[ExecutorSpec] = []
    problems: list[Problem] = []
    for index, item in enumerate(cast("Iterable[object]", value)):
        if isinstance(item, ExecutorSpec) and not isinstance(item, type):
            specs.append(item)
        else:
            problems.append(_not_an_executor(index, item))
    return tuple(specs), [*problems, *check_labels(specs)]


def check_labels(specs: Sequence[ExecutorSpec]) -> list[Problem]:
    """What is wrong with the labels of executors."""
    problems: list[Problem] = []
    seen: set[str] = set()
    reported: set[str] = set()
    for index, spec in enumerate(specs):
        problem = _check_label(f"executors[{index}].label", spec.label)
        if problem is not None:
            problems.append(problem)
        elif spec.label in seen and spec.label not in reported:
            reported.add(spec.label)
            text = f"Executors must have unique labels (label={spec.label!r})"
            problems.append(Problem("executors", text, is_sentence=True))
        else:
            seen.add(spec.label)
    return problems


def _not_an_executor(index: int, item: object) -> Problem:
    option = f"executors[{index}]"
    expected = "an executor (an object with `label` and `build(context)`)"
    if isinstance(item, type):
        expected = f"an executor object, not the class; write {item.__name__}(...)"
    elif isinstance(item, StandardExecutor):
        expected = "a fanflow executor; ExecutorAdapter makes one from any concurrent.futures.Executor"
    return Problem(option, expected, is_type=True, value=item)


def _check_label(option: str, label: object) -> Problem | None:
    if not isinstance(label, str):
        return Problem(option, "a str", is_type=True, value=label)
    if not label:
        return Problem(option, "is empty; give the executor a name such as 'threads'", value=label)
    if label == INTERNAL_LABEL:
        return Problem(option, "is the name of fanflow's own internal pool; use another one", value=label)
    bad = [character for character in label if character == "/" or not character.isprintable()]
    if bad or label in {".", ".."}:
        what = f"contains {bad[0]!r}" if bad else "is no file name"
        return Problem(
            option, f"{what}, but names a directory; use letters, digits, '-', '_' or '.'", value=label
        )
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _whole(minimum: int, *, or_none: bool = False) -> Check:
    expected = f"an int of at least {minimum}" + (", or None" if or_none else "")

    def check(option: str, value: object) -> Problem | None:
        if value is None and or_none:
            return None
        if isinstance(value, bool) or not isinstance(value, Integral):
            return Problem(option, expected, is_type=True, value=value)
        if int(value) < minimum:
            return Problem(option, f"must be {expected}", value=value)
        return None

    return check


def _seconds(option: str, value: object) -> Problem | None:
    expected = "a number of seconds above 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        return Problem(option, expected, is_type=True, value=value)
    if not 0 < float(value) < _LONGEST_SECONDS or not math.isfinite(value):
        return Problem(option, f"must be {expected} (strategy='none' turns scaling off)", value=value)
    return None


def _one_of(names: Sequence[str], *, or_none: bool = False) -> Check:
    listed = ", ".join(map(repr, names))

    def check(option: str, value: object) -> Problem | None:
        if value is None and or_none:
            return None
        if not isinstance(value, str):
            return Problem(option, f"one of {listed}", is_type=True, value=value)
        if value not in names:
            return Problem(
                option, f"there is no {value!r}; {suggest(value, names)}use one of {listed}", value=value
            )
        return None

    return check


def _instance(kind: type[object] | tuple[type[object], ...], expected: str) -> Check:
    def check(option: str, value: object) -> Problem | None:
        return None if isinstance(value, kind) else Problem(option, expected, is_type=True, value=value)

    return check


def _callable_or_none(option: str, value: object) -> Problem | None:
    if value is None or (callable(value) and not isinstance(value, str)):
        return None
    return Problem(option, "a function, or None", is_type=True, value=value)


def _run_dir(option: str, value: object) -> Problem | None:
    path = value
    if isinstance(value, os.PathLike):
        path = cast("object", cast("os.PathLike[str]", value).__fspath__())
    if not isinstance(path, str):
        return Problem(option, "a path (str or os.PathLike[str])", is_type=True, value=value)
    if not path or "\0" in path:
        return Problem(option, "is no usable path; name a directory, such as 'runinfo'", value=value)
    return None


def _usage_tracking(option: str, value: object) -> Problem | None:
    if not isinstance(value, Integral):
        return Problem(option, "an int from 0 to 3", is_type=True, value=value)
    if not 0 <= int(value) <= 3:
        return Problem(option, "levels are 0, 1, 2 and 3 (fanflow sends nothing at any)", value=value)
    return None


def _not_yet(option: str, value: object) -> Problem | None:
    if value is None:
        return None
    text = f"{NOT_YET[option]} is not available in this version of fanflow; remove the option"
    return Problem(option, f"{text} (CHANGELOG.md says what each version brings)", value=value)


CHECKS: Mapping[str, Check] = {
    "memoizer": _not_yet,
    "dependency_resolver": _instance((DependencyResolver, type(None)), "a DependencyResolver, or None"),
    "exit_mode": _one_of(EXIT_MODES),
    "garbage_collect": _instance(bool, "True or False"),
    "internal_tasks_max_threads": _whole(1),
    "retries": _whole(0),
    "retry_handler": _callable_or_none,
    "run_dir": _run_dir,
    "std_autopath": _callable_or_none,
    "strategy": _one_of(STRATEGIES, or_none=True),
    "strategy_period": _seconds,
    "max_idletime": _seconds,
    "monitoring": _not_yet,
    "usage_tracking": _usage_tracking,
    "project_name": _instance((str, type(None)), "a str, or None"),
    "initialize_logging": _instance((bool, LogConfig), "True, False or a LogConfig"),
    "max_pending": _whole(1, or_none=True),
}
"""Every option but `executors`, in the order of the signature."""

OPTION_NAMES = ("executors", *CHECKS)


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? ` for a name that is nearly a known one, otherwise nothing."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? " if near else ""
