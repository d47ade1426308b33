"""How a run is logged: the plug-ins that `Config(initialize_logging=...)` takes, and the default files."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fanflow.errors import ConfigurationError
from fanflow.logs import LOGGER_NAME
from fanflow.logs.outputs import DEFAULT_FORMAT, Detach, attach_file, set_file_logger, top_logger_name

RUN_LOG_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"
"""What `fanflow.log` in a run directory holds."""


class LogConfig(ABC):
    """A way to write the logs of every process of a run; given as `Config(initialize_logging=...)`."""

    @abstractmethod
    def initialize_logging(self, *, log_dir: str, log_name: str) -> Detach:
        """Begins to log in this process. Called once per load.

        Args:
            log_dir: Directory for the log; it exists.
            log_name: Name of the log without suffix, such as `fanflow`.

        Returns:
            A callable that ends it.
        """


class FileLogging(LogConfig):
    """Writes text to `{log_name}.log`.

    Args:
        format_string: As for `logging.Formatter`.
        level: The least level written.
    """

    def __init__(self, *, format_string: str = DEFAULT_FORMAT, level: int = logging.DEBUG) -> None:
        self.format_string, self.level = format_string, level

    def initialize_logging(self, *, log_dir: str, log_name: str) -> Detach:
        path = os.path.join(log_dir, f"{log_name}.log")
        return set_file_logger(
            path, name=top_logger_name(), level=self.level, format_string=self.format_string
        )

    def __repr__(self) -> str:
        return f"FileLogging(format_string={self.format_string!r}, level={self.level!r})"


class JSONLogging(LogConfig):
    """Writes `{log_name}.jsonlog`: one JSON object per line, with the extras of each record.

    Args:
        level: The least level written.
    """

    def __init__(self, *, level: int = logging.DEBUG) -> None:
        self.level = level

    def initialize_logging(self, *, log_dir: str, log_name: str) -> Detach:
        path = os.path.join(log_dir, f"{log_name}.jsonlog")
        return attach_file(path, top_logger_name(), self.level, _JSONFormatter())

    def __repr__(self) -> str:
        return f"JSONLogging(level={self.level!r})"


class NoopLogging(LogConfig):
    """Writes nothing."""

    def initialize_logging(self, *, log_dir: str, log_name: str) -> Detach:
        return _nothing

    def __repr__(self) -> str:
        return "NoopLogging()"


def _nothing() -> None: ...


class _JSONFormatter(logging.Formatter):
    """One JSON object per record; the keys are a public contract."""

    def format(self, record: logging.LogRecord) -> str:
        import json

        fields: dict[str, object] = {
            "created": record.created,
            "process": record.process,
            "processName": record.processName,
            "threadName": record.threadName,
            "thread": record.thread,
            "name": record.name,
            "lineno": record.lineno,
            "funcname": record.funcName,
            "levelname": record.levelname,
            "msg": str(record.msg),
            "formatted": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        extras: dict[str, object] = record.__dict__
        fields |= {key: value for key, value in extras.items() if key.startswith(("fanflow.", "parsl."))}
        return json.dumps(fields, default=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLog:
    """One log file that every run has unless the configuration says otherwise."""

    file: str
    """Name within the run directory."""
    level: int
    """The least level written."""
    format: str
    """As for `logging.Formatter`."""


class RunLogSettings(Protocol):
    """The part of a kernel's settings that says how its run is logged."""

    @property
    def initialize_logging(self) -> bool | LogConfig:
        """True for `run_logs`, False for nothing, or a plug-in."""
        ...

    @property
    def logger_name(self) -> str:
        """The logger whose records are written, and the log's name for a plug-in."""
        ...

    @property
    def run_logs(self) -> Sequence[RunLog]:
        """The files written when `initialize_logging` is True."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the configuration's reader has to tell the operator, once per load."""
        ...


def start_run_log(settings: RunLogSettings, run_dir: Path) -> Detach:
    """Begins the logs of one run.

    Args:
        settings: What to write.
        run_dir: The run's directory; it exists.

    Returns:
        A callable that ends them.

    Raises:
        ConfigurationError: A log cannot be written, or the plug-in failed.
    """
    detach = _start_outputs(settings, run_dir)
    logger = logging.getLogger(f"{LOGGER_NAME}.config")
    for warning in settings.warnings:
        logger.warning("%s", warning)
    return detach


def _start_outputs(settings: RunLogSettings, run_dir: Path) -> Detach:
    how = settings.initialize_logging
    if isinstance(how, LogConfig):
        return _start_plugin(how, str(run_dir), settings.logger_name)
    attached: list[Detach] = []

    def detach() -> None:
        while attached:
            attached.pop()()

    if how:
        try:
            for log in settings.run_logs:
                path = run_dir / log.file
                attached.append(set_file_logger(path, settings.logger_name, log.level, log.format))
        except BaseException:
            detach()
            raise
    return detach


def _start_plugin(plugin: LogConfig, log_dir: str, log_name: str) -> Detach:
    try:
        detach: object = plugin.initialize_logging(log_dir=log_dir, log_name=log_name)
    except Exception as error:
        raise ConfigurationError(
            f"Config(initialize_logging={plugin!r}): the plug-in raised {type(error).__name__}: {error}; "
            f"correct it, or use initialize_logging=True"
        ) from error
    if not callable(detach):
        raise ConfigurationError(
            f"Config(initialize_logging={plugin!r}): initialize_logging() returned {detach!r}; "
            f"it has to return a callable that ends the logging"
        )

    ends = [detach]

    def detach_once() -> None:
        while ends:
            ends.pop()()

    return detach_once
