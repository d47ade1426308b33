"""What every launcher of the public contract is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.launchers.errors import BadLauncher
from fanflow.spi.launcher import Launcher as LauncherSeam


class Launcher(ABC):
    """Starts a command on every node of a job: turns it into shell text that does.

    Args:
        debug: Let the text say what it starts and how that ends, in the job's output.
    """

    def __init__(self, debug: bool = True) -> None:
        self.debug = debug

    @abstractmethod
    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "", /
    ) -> str:
        """Shell text for bash that runs `command` where it is wanted, and ends with its exit status."""

    def __repr__(self) -> str:
        options: dict[str, object] = vars(self)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def check_launcher(value: object) -> LauncherSeam:
    """The value itself: a `Launcher`, or any callable that takes its place.

    Raises:
        BadLauncher: It is something else, or the class instead of an object.
    """
    if isinstance(value, type) or not callable(value):
        raise BadLauncher(value)
    return cast("LauncherSeam", value)


def check_copies(owner: str, tasks_per_node: int, nodes_per_block: int) -> int:
    """How many copies there are to be on all nodes.

    Raises:
        OptionTypeError: One of the numbers is no int.
        ConfigurationError: One of them is less than 1.
    """
    for name, value in (("tasks_per_node", tasks_per_node), ("nodes_per_block", nodes_per_block)):
        given = cast("object", value)
        if not isinstance(given, int) or isinstance(given, bool):
            raise OptionTypeError(owner, name, given, "an int")
        if value < 1:
            raise ConfigurationError(f"{owner}({name}={value}): must be at least 1")
    return tasks_per_node * nodes_per_block
