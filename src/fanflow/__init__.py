"""Parallel programs as plain Python: decorate functions, call them, pass futures on."""

from typing import TYPE_CHECKING

from fanflow._version import __version__

if TYPE_CHECKING:
    from fanflow.apps.app import App
    from fanflow.apps.calls import AUTO_LOGNAME
    from fanflow.apps.decorators import bash_app, join_app, python_app
    from fanflow.apps.gathering import as_completed, gather, map, wait
    from fanflow.apps.pool import PoolExecutor
    from fanflow.config.options import Config
    from fanflow.executors.adapter import ExecutorAdapter
    from fanflow.executors.inline import InlineExecutor
    from fanflow.executors.threads import ThreadPoolExecutor
    from fanflow.loading import DataFlowKernel, DataFlowKernelLoader, clear, dfk, load, wait_for_current_tasks
    from fanflow.logs.outputs import set_file_logger, set_stream_logger
    from fanflow.model.files import File
    from fanflow.pilot.executor import HighThroughputExecutor
    from fanflow.runtime.data_futures import DataFuture
    from fanflow.runtime.futures import AppFuture

_WHERE = {
    "App": "fanflow.apps.app",
    "AUTO_LOGNAME": "fanflow.apps.calls",
    "AppFuture": "fanflow.runtime.futures",
    "Config": "fanflow.config.options",
    "DataFlowKernel": "fanflow.loading",
    "DataFlowKernelLoader": "fanflow.loading",
    "DataFuture": "fanflow.runtime.data_futures",
    "ExecutorAdapter": "fanflow.executors.adapter",
    "File": "fanflow.model.files",
    "HighThroughputExecutor": "fanflow.pilot.executor",
    "InlineExecutor": "fanflow.executors.inline",
    "PoolExecutor": "fanflow.apps.pool",
    "ThreadPoolExecutor": "fanflow.executors.threads",
    "as_completed": "fanflow.apps.gathering",
    "bash_app": "fanflow.apps.decorators",
    "clear": "fanflow.loading",
    "dfk": "fanflow.loading",
    "gather": "fanflow.apps.gathering",
    "join_app": "fanflow.apps.decorators",
    "load": "fanflow.loading",
    "map": "fanflow.apps.gathering",
    "python_app": "fanflow.apps.decorators",
    "set_file_logger": "fanflow.logs.outputs",
    "set_stream_logger": "fanflow.logs.outputs",
    "wait": "fanflow.apps.gathering",
    "wait_for_current_tasks": "fanflow.loading",
}

__all__ = [
    "AUTO_LOGNAME",
    "App",
    "AppFuture",
    "Config",
    "DataFlowKernel",
    "DataFlowKernelLoader",
    "DataFuture",
    "ExecutorAdapter",
    "File",
    "HighThroughputExecutor",
    "InlineExecutor",
    "PoolExecutor",
    "ThreadPoolExecutor",
    "__version__",
    "as_completed",
    "bash_app",
    "clear",
    "dfk",
    "gather",
    "join_app",
    "load",
    "map",
    "python_app",
    "set_file_logger",
    "set_stream_logger",
    "wait",
    "wait_for_current_tasks",
]


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'fanflow' has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
