"""Which kernel the running code belongs to: join bodies call apps on the kernel that runs them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanflow.runtime.kernel import Kernel

JOINING_KERNEL: ContextVar[Kernel | None] = ContextVar("fanflow_joining_kernel", default=None)
"""The kernel whose join body is running in this context."""


def run_join_body(
    kernel: Kernel, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Call a join app's body so that the apps it calls become tasks of the same kernel."""
    token = JOINING_KERNEL.set(kernel)
    try:
        return function(*args, **kwargs)
    finally:
        JOINING_KERNEL.reset(token)
