"""Logging: importing this makes the logger `fanflow` silent until its user asks; the rest loads on use."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.logs.configs import (
        RUN_LOG_FORMAT,
        FileLogging,
        JSONLogging,
        LogConfig,
        NoopLogging,
        RunLog,
        start_run_log,
    )
    from fanflow.logs.outputs import (
        DEFAULT_FORMAT,
        STREAM_FORMAT,
        Detach,
        place_under,
        set_file_logger,
        set_stream_logger,
    )

__all__ = [
    "DEFAULT_FORMAT",
    "LOGGER_NAME",
    "RUN_LOG_FORMAT",
    "STREAM_FORMAT",
    "Detach",
    "FileLogging",
    "JSONLogging",
    "LogConfig",
    "NoopLogging",
    "RunLog",
    "place_under",
    "set_file_logger",
    "set_stream_logger",
    "start_run_log",
]

LOGGER_NAME = "fanflow"
"""The logger above all of ours."""

_OF_OUTPUTS = {
    "DEFAULT_FORMAT", "STREAM_FORMAT", "Detach", "place_under", "set_file_logger", "set_stream_logger",
}  # fmt: skip

# Without a handler, warnings of a library go to standard error.
logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module = importlib.import_module(
        "fanflow.logs.outputs" if name in _OF_OUTPUTS else "fanflow.logs.configs"
    )
    value: object = getattr(module, name)
    globals()[name] = value
    return value
