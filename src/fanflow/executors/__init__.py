"""What runs attempts: threads, the caller's own thread, and any pool of `concurrent.futures`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.executors.adapter import ExecutorAdapter
    from fanflow.executors.inline import InlineExecutor
    from fanflow.executors.threads import ThreadPoolExecutor

__all__ = ["ExecutorAdapter", "InlineExecutor", "ThreadPoolExecutor"]

_WHERE = {"ExecutorAdapter": "adapter", "InlineExecutor": "inline", "ThreadPoolExecutor": "threads"}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
