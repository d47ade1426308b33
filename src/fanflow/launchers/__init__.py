"""What starts a command on the nodes of a job: shell text around it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.launchers.launcher import Launcher
    from fanflow.launchers.simple import SimpleLauncher, WrappedLauncher
    from fanflow.launchers.single_node import SingleNodeLauncher

__all__ = ["Launcher", "SimpleLauncher", "SingleNodeLauncher", "WrappedLauncher"]

_WHERE = {
    "Launcher": "launcher",
    "SimpleLauncher": "simple",
    "SingleNodeLauncher": "single_node",
    "WrappedLauncher": "simple",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
