"""Finds executor types by name: ours and those of other packages take the same path, entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

from fanflow.config.checks import suggest
from fanflow.errors import ConfigurationError
from fanflow.spi.executor import ExecutorSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fanflow.executors"
"""The entry-point group. A name stands for a class or factory that returns an `ExecutorSpec`."""

ExecutorFactory = Callable[..., ExecutorSpec]

BUILTIN_EXECUTORS = {
    "adapter": "fanflow.executors.adapter:ExecutorAdapter",
    "inline": "fanflow.executors.inline:InlineExecutor",
    "threads": "fanflow.executors.threads:ThreadPoolExecutor",
}
"""Used where fanflow runs from a source tree that is not installed and so has no entry points."""


def executor_names() -> list[str]:
    """Every known executor type, sorted."""
    return sorted(_targets())


def executor_factory(name: str) -> ExecutorFactory:
    """The class or factory registered for an executor type.

    Raises:
        ConfigurationError: No package offers this name, two do, or its module fails to import.
    """
    targets = _targets()
    found = targets.get(name)
    if found is None:
        raise ConfigurationError(
            f"there is no executor type {name!r}; "
            f"{suggest(name, targets)}known types are {', '.join(sorted(targets))}"
        )
    if len(found) > 1:
        offers = " and ".join(f"{value} (of {owner})" for value, owner in sorted(found.items()))
        raise ConfigurationError(
            f"executor type {name!r} is offered twice: {offers}; uninstall one of the packages"
        )
    ((value, owner),) = found.items()
    try:
        factory = import_object(value)
    except Exception as error:
        raise ConfigurationError(
            f"executor type {name!r} is offered by {owner} as {value}, which cannot be imported "
            f"({type(error).__name__}: {error}); install what it needs, or use another type"
        ) from error
    if not callable(factory):
        raise ConfigurationError(
            f"executor type {name!r} is offered by {owner} as {value}, which is no class or function"
        )
    return cast("ExecutorFactory", factory)


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


def _targets() -> dict[str, dict[str, str]]:
    """Name -> what is offered for it (`module:attribute` -> the package that offers it)."""
    from importlib.metadata import entry_points

    targets: dict[str, dict[str, str]] = {
        name: {value: "fanflow"} for name, value in BUILTIN_EXECUTORS.items()
    }
    for point in entry_points(group=GROUP):
        targets.setdefault(point.name, {}).setdefault(point.value, _owner(point))
    return targets


def _owner(point: EntryPoint) -> str:
    return f"package {point.dist.name}" if point.dist is not None else "an unnamed package"
