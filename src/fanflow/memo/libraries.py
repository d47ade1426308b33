"""Types of other packages, known once the process has imported them; nothing is imported from here."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

from fanflow.memo.containers import Builder
from fanflow.memo.encoding import record, text, type_name

Rule = Callable[[type, types.ModuleType], Builder | None]


def library_builder(kind: type) -> Builder | None:
    """How values of a class of some other package are encoded, or None."""
    for name, rule in _RULES.items():
        module = sys.modules.get(name)
        if module is not None:
            builder = rule(kind, module)
            if builder is not None:
                return builder
    return None


def is_kind(kind: type, module: types.ModuleType, *names: str) -> bool:
    """Whether a class is one of those, or derives from one. A module may be half imported."""
    bases = [getattr(module, name, None) for name in names]
    return issubclass(kind, tuple(base for base in bases if isinstance(base, type)))


def _deferred(module: str) -> Rule:
    """The rule of a module of ours that is loaded when the package it is for has been."""

    def rule(kind: type, package: types.ModuleType) -> Builder | None:
        find = cast(Rule, import_module(f"fanflow.memo.{module}").find_builder)
        return find(kind, package)

    return rule


def _zone_rule(kind: type, zoneinfo: types.ModuleType) -> Builder | None:
    if kind is not getattr(zoneinfo, "ZoneInfo", None):
        return None

    def build(value: object, _: bool) -> bytes:
        key = getattr(value, "key", None)
        if not isinstance(key, str):
            raise TypeError("a ZoneInfo without a key, made from a file, cannot be told from others")
        return b"@zone;" + text(key)

    return build


def _pydantic_rule(kind: type, pydantic: types.ModuleType) -> Builder | None:
    if not is_kind(kind, pydantic, "BaseModel"):
        return None
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__fields__", {})
    names = [*cast("Mapping[str, object]", fields), "__pydantic_extra__", "__pydantic_private__"]
    header = b"@model;" + type_name(kind)
    return lambda value, _: record(header, value, names)


def _app_rule(kind: type, apps: types.ModuleType) -> Builder | None:
    # What runs, when another app calls it, is its function.
    if not is_kind(kind, apps, "App"):
        return None
    header = b"@app;" + type_name(kind)
    return lambda value, _: record(header, value, ("func",))


def _logger_rule(kind: type, logging: types.ModuleType) -> Builder | None:
    if not is_kind(kind, logging, "Logger"):
        return None
    return lambda value, _: b"@logger;" + text(str(getattr(value, "name", "")))


_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "numpy": _deferred("numpy_values"),
        "pandas": _deferred("pandas_values"),
        "pyarrow": _deferred("arrow_values"),
        "torch": _deferred("torch_values"),
        "pydantic": _pydantic_rule,
        "zoneinfo": _zone_rule,
        "logging": _logger_rule,
        "fanflow.apps.app": _app_rule,
    }
)
"""Name of the module that has to be there, and what it knows."""
