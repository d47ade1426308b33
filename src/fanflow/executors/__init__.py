"""What runs attempts: threads, the caller's own thread, and any pool of `concurrent.futures`."""

from typing import TYPE_CHECKING

from fanflow.lazy_names import lazy_names

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

__getattr__ = lazy_names(__name__, _WHERE)
