"""Makes a `Config` from plain data, such as a TOML table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import cast

from fanflow.config.checks import OPTION_NAMES, Problem, check_executors, find_problems, suggest
from fanflow.config.options import Config
from fanflow.config.registry import (
    EXECUTORS,
    LAUNCHERS,
    PROVIDERS,
    PluginFactory,
    PluginKind,
    import_object,
    plugin_factory,
)
from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.logs.configs import LogConfig
from fanflow.spi.executor import ExecutorSpec

_REFERENCE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_REFERENCE_OPTIONS = frozenset({"dependency_resolver", "initialize_logging", "retry_handler", "std_autopath"})
_NESTED = {"launcher": LAUNCHERS, "provider": PROVIDERS}
"""Options that a table of their own describes."""
_TEXT_TYPES = frozenset({"str", "Path", "PathLike", "Any", "object"})


def config_from_mapping(mapping: Mapping[str, object], source: str) -> Config:
    """A configuration from data.

    Keys are the options of `Config`. `executors` is a list of tables: `type` is a registered name, the
    other keys are options of that executor. Its `provider`, and the `launcher` of that, are tables too.
    What is not data, such as a function, is given as a string `module:attribute`.

    Args:
        mapping: The data.
        source: Where it is from, for messages.

    Raises:
        ConfigurationError: There are mistakes; the message lists all of them with the path of each key.
    """
    problems: list[Problem] = []
    options: dict[str, object] = {}
    specs: tuple[ExecutorSpec, ...] | None = None
    for key, value in mapping.items():
        if key == "executors":
            specs = _executors(value, problems)
        elif key not in OPTION_NAMES:
            hint = suggest(key, OPTION_NAMES)
            problems.append(Problem(key, f"is no option; {hint}options are {', '.join(OPTION_NAMES)}"))
        else:
            _add_option(options, key, value, problems)
    problems += find_problems(options)
    if problems:
        raise ConfigurationError(_listed(source, problems))
    config = Config(specs)
    for key, value in options.items():
        setattr(config, key, value)
    return config


def _listed(source: str, problems: Sequence[Problem]) -> str:
    lines = [f"{problem.option}: {problem.text()}" for problem in problems]
    if len(lines) == 1:
        return f"{source}: {lines[0]}"
    return "\n  ".join([f"{source} has {len(lines)} problems:", *lines])


def _add_option(options: dict[str, object], key: str, value: object, problems: list[Problem]) -> None:
    if key not in _REFERENCE_OPTIONS or not isinstance(value, str):
        options[key] = value
        return
    try:
        found = _resolve(value)
        is_class = isinstance(found, type) and issubclass(found, LogConfig)
        options[key] = cast("type[LogConfig]", found)() if is_class else found
    except Exception as error:  # noqa: BLE001 - importing runs the user's code
        problems.append(_bad_reference(key, value, error))


def _resolve(reference: str) -> object:
    if not _REFERENCE.fullmatch(reference):
        raise ValueError("it is not of the form 'module:attribute'")
    return import_object(reference)


def _bad_reference(key: str, value: str, error: Exception) -> Problem:
    return Problem(key, f"{value!r} names nothing that can be used ({type(error).__name__}: {error})")


def _executors(value: object, problems: list[Problem]) -> tuple[ExecutorSpec, ...]:
    if not isinstance(value, list):
        problems.append(Problem("executors", "a list of tables ([[executors]])", is_type=True, value=value))
        return ()
    specs: list[ExecutorSpec] = []
    for index, table in enumerate(cast("list[object]", value)):
        path = f"executors[{index}]"
        if not isinstance(table, dict):
            problems.append(Problem(path, "a table with a `type`", is_type=True, value=table))
            continue
        spec = _executor(path, cast("dict[str, object]", table), problems)
        if spec is not None:
            specs.append(spec)
    problems += check_executors(specs)[1]
    return tuple(specs)


def _executor(path: str, table: dict[str, object], problems: list[Problem]) -> ExecutorSpec | None:
    spec = _plugin(EXECUTORS, path, table, problems)
    if spec is None or isinstance(spec, ExecutorSpec):
        return spec
    problems.append(Problem(path, f"type {table['type']!r} made {spec!r}, which is no executor"))
    return None


def _plugin(kind: PluginKind, path: str, table: dict[str, object], problems: list[Problem]) -> object:
    """What a table with a `type` describes; None if there is a problem."""
    name = table.get("type")
    if not isinstance(name, str):
        article = "an" if kind.noun[0] in "aeiou" else "a"
        reason = f"the name of {article} {kind.noun} type"
        problems.append(Problem(f"{path}.type", reason, is_type=True, value=name))
        return None
    try:
        factory = plugin_factory(kind, name)
    except ConfigurationError as error:
        problems.append(Problem(f"{path}.type", str(error)))
        return None
    before = len(problems)
    options = _plugin_options(path, f"{kind.noun} type {name!r}", factory, table, problems)
    if len(problems) > before:
        return None
    try:
        return factory(**options)
    except OptionTypeError as error:
        problems.append(Problem(f"{path}.{error.option}", str(error)))
    except ConfigurationError as error:
        problems.append(Problem(path, str(error)))
    except Exception as error:  # noqa: BLE001 - may be another package's code
        problems.append(Problem(path, f"type {name!r} raised {type(error).__name__}: {error}"))
    return None


def _plugin_options(
    path: str, owner: str, factory: PluginFactory, table: dict[str, object], problems: list[Problem]
) -> dict[str, object]:
    """The keyword arguments for the factory; what does not fit its signature becomes a problem."""
    parameters = dict(inspect.signature(factory).parameters)
    kinds = {parameter.kind for parameter in parameters.values()}
    named = {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    }
    options: dict[str, object] = {}
    for key, value in table.items():
        if key == "type":
            continue
        if key not in named and inspect.Parameter.VAR_KEYWORD not in kinds:
            hint = suggest(key, named)
            reason = f"is no option of {owner}; {hint}options are {', '.join(named)}"
            problems.append(Problem(f"{path}.{key}", reason))
            continue
        if key in _NESTED and isinstance(value, dict):
            options[key] = _plugin(_NESTED[key], f"{path}.{key}", cast("dict[str, object]", value), problems)
            continue
        options[key] = value
        if isinstance(value, str) and _REFERENCE.fullmatch(value) and key in named and _is_object(named[key]):
            try:
                options[key] = import_object(value)
            except Exception as error:  # noqa: BLE001 - importing runs the user's code
                problems.append(_bad_reference(f"{path}.{key}", value, error))
    for key, parameter in named.items():
        if parameter.default is parameter.empty and key not in table:
            problems.append(Problem(f"{path}.{key}", f"is missing; {owner} needs it"))
    return options


def _is_object(parameter: inspect.Parameter) -> bool:
    """Whether a parameter takes something that TOML has no value for, going by its annotation."""
    if parameter.annotation is parameter.empty:
        return False
    words = set(re.findall(r"\w+", str(cast("object", parameter.annotation))))
    return "Callable" in words or not words & _TEXT_TYPES
