"""Finds parts by the names of their types, as entry points: ours and those of other packages alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from fanflow.config.checks import suggest
from fanflow.errors import ConfigurationError
from fanflow.spi.executor import ExecutorSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ExecutorFactory = Callable[..., ExecutorSpec]
PluginFactory = Callable[..., object]


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginKind:
    """A kind of part that other packages can add to."""

    noun: str
    """What one is called in messages."""
    group: str
    """The entry-point group. A name stands for a class or factory."""
    builtin: Mapping[str, str]
    """Used where fanflow runs from a source tree that is not installed and so has no entry points."""


BUILTIN_EXECUTORS = {
    "adapter": "fanflow.executors.adapter:ExecutorAdapter",
    "htex": "fanflow.pilot.executor:HighThroughputExecutor",
    "inline": "fanflow.executors.inline:InlineExecutor",
    "threads": "fanflow.executors.threads:ThreadPoolExecutor",
}
BUILTIN_PROVIDERS = {"local": "fanflow.providers.local:LocalProvider"}
BUILTIN_LAUNCHERS = {
    "simple": "fanflow.launchers.simple:SimpleLauncher",
    "single_node": "fanflow.launchers.single_node:SingleNodeLauncher",
    "wrapped": "fanflow.launchers.simple:WrappedLauncher",
}

EXECUTORS = PluginKind(noun="executor", group="fanflow.executors", builtin=BUILTIN_EXECUTORS)
PROVIDERS = PluginKind(noun="provider", group="fanflow.providers", builtin=BUILTIN_PROVIDERS)
LAUNCHERS = PluginKind(noun="launcher", group="fanflow.launchers", builtin=BUILTIN_LAUNCHERS)


def executor_names() -> list[str]:
    """Every known executor type, sorted."""
    return plugin_names(EXECUTORS)


def executor_factory(name: str) -> ExecutorFactory:
    """The class or factory registered for an executor type.

    Raises:
        ConfigurationError: No package offers this name, two do, or its module fails to import.
    """
    return cast("ExecutorFactory", plugin_factory(EXECUTORS, name))


def plugin_names(kind: PluginKind) -> list[str]:
    """Every known type of a kind, sorted."""
    return sorted(_targets(kind))


def plugin_factory(kind: PluginKind, name: str) -> PluginFactory:
    """The class or factory registered for a type.

    Raises:
        ConfigurationError: No package offers this name, two do, or its module fails to import.
    """
    targets = _targets(kind)
    found = targets.get(name)
    if found is None:
        raise ConfigurationError(
            f"there is no {kind.noun} type {name!r}; "
            f"{suggest(name, targets)}known types are {', '.join(sorted(targets))}"
        )
    if len(found) > 1:
        offers = " and ".join(f"{value} (of {owner})" for value, owner in sorted(found.items()))
        raise ConfigurationError(
            f"{kind.noun} type {name!r} is offered twice: {offers}; uninstall one of the packages"
        )
    ((value, owner),) = found.items()
    try:
        factory = import_object(value)
    except Exception as error:
        raise ConfigurationError(
            f"{kind.noun} type {name!r} is offered by {owner} as {value}, which cannot be imported "
            f"({type(error).__name__}: {error}); install what it needs, or use another type"
        ) from error
    if not callable(factory):
        raise ConfigurationError(
            f"{kind.noun} type {name!r} is offered by {owner} as {value}, which is no class or function"
        )
    return factory


def import_object(reference: str) -> object:
    """What `module:attribute` names; the attribute may be dotted.

    Raises:
        ImportError: There is no such module.
        AttributeError: The module has no such attribute.
    """
    module, _, attributes = reference.partition(":")
    found: object = import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


def _targets(kind: PluginKind) -> dict[str, dict[str, str]]:
    """Name -> what is offered for it (`module:attribute` -> the package that offers it)."""
    from importlib.metadata import entry_points

    targets: dict[str, dict[str, str]] = {name: {value: "fanflow"} for name, value in kind.builtin.items()}
    for point in entry_points(group=kind.group):
        targets.setdefault(point.name, {}).setdefault(point.value, _owner(point))
    return targets


def _owner(point: EntryPoint) -> str:
    return f"package {point.dist.name}" if point.dist is not None else "an unnamed package"
