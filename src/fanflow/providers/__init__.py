"""What obtains batch jobs: today, processes of this machine, and whatever a user's own provider obtains."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.providers.local import LocalProvider
    from fanflow.providers.provider import ExecutionProvider

__all__ = ["ExecutionProvider", "LocalProvider"]

_WHERE = {"ExecutionProvider": "provider", "LocalProvider": "local"}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
