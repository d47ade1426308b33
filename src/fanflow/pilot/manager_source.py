"""The seam between an engine and whatever starts its managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fanflow.pilot.client import ManagerNews

if TYPE_CHECKING:
    from fanflow.pilot.running import Engine


class ManagerSource(Protocol):
    """Where an engine's managers come from. Kernel thread only."""

    @property
    def planned(self) -> int:
        """Workers that there will be soon; placement counts on them."""
        ...

    def begin(self, engine: Engine) -> None:
        """Managers can be started."""
        ...

    def managers_changed(self, header: ManagerNews) -> None:
        """A manager has joined, has left or was refused."""
        ...

    def submitted(self) -> None:
        """Attempts have come while no manager is connected."""
        ...

    def describe(self) -> str:
        """Why no worker is connected, in words. Any thread."""
        ...

    def abandon(self) -> None:
        """The engine has failed: whatever runs is not wanted any more."""
        ...

    def end(self) -> None:
        """The engine ends, and all managers with it. Idempotent."""
        ...

    def join(self, seconds: float) -> None:
        """Wait so long until what `end` began is done. Not the kernel thread."""
        ...
