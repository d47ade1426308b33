"""The root of the errors of providers and launchers, and what is said of a launcher that is none."""

from __future__ import annotations

from fanflow.errors import FanflowError


class ExecutionProviderException(FanflowError):  # noqa: N818 - contract name
    """A provider or its launcher cannot do what was asked."""


class BadLauncher(ExecutionProviderException, TypeError):  # noqa: N818 - contract name
    """What was given as a launcher is none."""

    def __init__(self, launcher: object) -> None:
        self.launcher = repr(launcher)
        hint = f"; write {launcher.__name__}(...)" if isinstance(launcher, type) else ""
        super().__init__(f"Bad launcher provided: {self.launcher}, expecting a Launcher object{hint}")
