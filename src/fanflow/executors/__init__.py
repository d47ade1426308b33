"""What runs attempts: threads, the caller's own thread, and any pool of `concurrent.futures`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.executors.adapter import ExecutorAdapter
    from fanflow.executors.inline import InlineExecutor
    from fanflow.executors.threads import ThreadPoolExecutor
    from fanflow.pilot.executor import HighThroughputExecutor

__all__ = ["ExecutorAdapter", "HighThroughputExecutor", "InlineExecutor", "ThreadPoolExecutor"]

_WHERE = {
    "ExecutorAdapter": "fanflow.executors.adapter",
    "HighThroughputExecutor": "fanflow.pilot.executor",
    "InlineExecutor": "fanflow.executors.inline",
    "ThreadPoolExecutor": "fanflow.executors.threads",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value
