"""What starts a command on the nodes of a job: shell text around it."""

from typing import TYPE_CHECKING

from fanflow.lazy_names import lazy_names

if TYPE_CHECKING:
    from fanflow.launchers.launcher import Launcher
    from fanflow.launchers.simple import SimpleLauncher, WrappedLauncher
    from fanflow.launchers.single_node import SingleNodeLauncher

__all__ = ["Launcher", "SimpleLauncher", "SingleNodeLauncher", "WrappedLauncher"]

_WHERE = {
    "Launcher": "fanflow.launchers.launcher",
    "SimpleLauncher": "fanflow.launchers.simple",
    "SingleNodeLauncher": "fanflow.launchers.single_node",
    "WrappedLauncher": "fanflow.launchers.simple",
}

__getattr__ = lazy_names(__name__, _WHERE)
