"""`Config`: the options of a run, settable until `load` takes a frozen snapshot of them."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from fanflow.config.checks import (
    CHECKS,
    OPTION_NAMES,
    Problem,
    check_executors,
    check_labels,
    find_problems,
    suggest,
    to_error,
)
from fanflow.config.defaults import Defaults
from fanflow.logs.configs import LogConfig
from fanflow.runtime.settings import ExitMode, KernelSettings, RetryHandler, StdAutopath
from fanflow.spi.executor import ExecutorSpec, Strategy
from fanflow.spi.resolver import DependencyResolver


class Config:
    """How a script's tasks are run.

    Options are attributes of the same names. They can be set until the configuration is loaded;
    `load` takes a snapshot, so one object can be loaded again, and changes after a load have no
    effect on what runs.

    Args:
        executors: Where tasks run, each with a label of its own. None: the default executor.
        memoizer: Not available yet; None.
        dependency_resolver: How arguments are searched for futures. None: inside the standard containers.
        exit_mode: What leaving `with load(config):` does: `cleanup` at once, `skip` (nothing), or `wait`
            for the tasks first.
        garbage_collect: Forget a task when it has ended.
        internal_tasks_max_threads: Threads for join bodies and lifted operations.
        retries: What failures of one task may cost before it fails.
        retry_handler: (exception, task record) -> what this failure costs. None: 1.
        run_dir: Directory in which each run makes a numbered directory of its own.
        std_autopath: (task record, "stdout" or "stderr") -> the file that AUTO_LOGNAME stands for.
            None: `task_logs/` in the run directory.
        strategy: How executors with blocks are scaled: `simple`, `htex_auto_scale` or `none`.
        strategy_period: Seconds between two looks at the load.
        max_idletime: Seconds that a block may be idle before it is given back.
        monitoring: Not available yet; None.
        usage_tracking: 0 to 3. Accepted for existing programs; fanflow sends nothing.
        project_name: A name for usage tracking.
        initialize_logging: True: `fanflow.log` in the run directory; False: no log; or a `LogConfig`.
        max_pending: Most tasks that may be open at once; a caller of one more waits. None: no limit.

    Raises:
        OptionTypeError: One option has a value of a wrong type.
        ConfigurationError: Something else is wrong; the message lists every problem.
    """

    memoizer: object
    dependency_resolver: DependencyResolver | None
    exit_mode: ExitMode
    garbage_collect: bool
    internal_tasks_max_threads: int
    retries: int
    retry_handler: RetryHandler | None
    run_dir: str | os.PathLike[str]
    std_autopath: StdAutopath | None
    strategy: Strategy | None
    strategy_period: float
    max_idletime: float
    monitoring: object
    usage_tracking: int
    project_name: str | None
    initialize_logging: bool | LogConfig
    max_pending: int | None

    def __init__(  # noqa: PLR0913, PLR0917 - the signature of the public contract
        self,
        executors: Iterable[ExecutorSpec] | None = None,
        memoizer: object = None,
        dependency_resolver: DependencyResolver | None = None,
        exit_mode: ExitMode = "cleanup",
        garbage_collect: bool = True,
        internal_tasks_max_threads: int = 10,
        retries: int = 0,
        retry_handler: RetryHandler | None = None,
        run_dir: str | os.PathLike[str] = "runinfo",
        std_autopath: StdAutopath | None = None,
        strategy: Strategy | None = "simple",
        strategy_period: float = 5,
        max_idletime: float = 120.0,
        monitoring: object = None,
        usage_tracking: int = 0,
        project_name: str | None = None,
        initialize_logging: bool | LogConfig = True,
        *,
        max_pending: int | None = None,
    ) -> None:
        given: dict[str, object] = dict(locals())
        options = {name: given[name] for name in CHECKS}
        specs, problems = check_executors(executors)
        problems += find_problems(options)
        if problems:
            raise to_error("Config", problems)
        self._executors: tuple[ExecutorSpec, ...] = specs
        self._uses_default_executors = executors is None
        self.__dict__.update(options)
        if strategy is None:
            message = "Config(strategy=None) is deprecated; write strategy='none'"
            warnings.warn(message, DeprecationWarning, stacklevel=2)

    @property
    def executors(self) -> tuple[ExecutorSpec, ...]:
        """The executors, in the order given; empty where the default executor is meant."""
        return self._executors

    @executors.setter
    def executors(self, executors: Iterable[ExecutorSpec] | None) -> None:
        specs, problems = check_executors(executors)
        if problems:
            raise to_error("Config", problems)
        self._executors = specs
        self._uses_default_executors = executors is None

    @property
    def uses_default_executors(self) -> bool:
        """Whether no executors were given; an empty list was."""
        return self._uses_default_executors

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name not in OPTION_NAMES and not hasattr(type(self), name):
            hint = suggest(name, OPTION_NAMES)
            raise AttributeError(
                f"Config has no option {name!r}; {hint}options are {', '.join(OPTION_NAMES)}"
            )
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        defaults = _signature_defaults()
        lines: list[str] = []
        if not self._uses_default_executors:
            items = "".join(f"    {_indented(repr(spec))},\n" for spec in self._executors)
            lines.append(f"executors=[\n{items}]" if items else "executors=[]")
        options = self._options()
        lines += [f"{name}={value!r}" for name, value in options.items() if value != defaults[name]]
        body = "".join(f"    {_indented(line)},\n" for line in lines)
        return f"{type(self).__name__}(\n{body})" if body else f"{type(self).__name__}()"

    def problems(self) -> list[Problem]:
        """What is wrong with the options as they are now; a label may have changed, too."""
        return [*check_labels(self._executors), *find_problems(self._options())]

    def validate_usage_tracking(self, level: int) -> None:
        """Checks a level of usage tracking.

        Raises:
            ConfigurationError: It is not an int from 0 to 3.
        """
        problems = find_problems({"usage_tracking": level})
        if problems:
            raise to_error("Config", problems)

    def get_usage_information(self) -> dict[str, object]:
        """What usage tracking would say of this configuration; nothing is sent."""
        return {
            "executors_len": len(self._executors),
            "dependency_resolver": self.dependency_resolver is not None,
        }

    def _options(self) -> dict[str, object]:
        values: dict[str, object] = self.__dict__
        return {name: values[name] for name in CHECKS}


def _signature_defaults() -> dict[str, object]:
    parameters = inspect.signature(Config).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def freeze(config: Config, defaults: Defaults) -> KernelSettings:
    """A snapshot of a configuration, checked again since its attributes may have been set.

    Args:
        config: What the user wants.
        defaults: What holds where a configuration can say nothing.

    Raises:
        ConfigurationError: Something is wrong; the message lists every problem.
    """
    problems = config.problems()
    if problems:
        raise to_error("Config", problems)
    return KernelSettings(
        executors=config.executors,
        uses_default_executors=config.uses_default_executors,
        dependency_resolver=config.dependency_resolver,
        exit_mode=config.exit_mode,
        garbage_collect=config.garbage_collect,
        internal_tasks_max_threads=int(config.internal_tasks_max_threads),
        max_pending=None if config.max_pending is None else int(config.max_pending),
        retries=int(config.retries),
        retry_handler=config.retry_handler,
        run_dir=Path(os.path.abspath(os.path.expanduser(config.run_dir))),
        std_autopath=config.std_autopath,
        strategy=config.strategy or "none",
        strategy_period=timedelta(seconds=float(config.strategy_period)),
        max_idletime=timedelta(seconds=float(config.max_idletime)),
        usage_tracking=int(config.usage_tracking),
        project_name=config.project_name,
        initialize_logging=config.initialize_logging,
        deep_dependencies=defaults.deep_dependencies,
        lift_attributes=defaults.lift_attributes,
        errors_in_future=defaults.errors_in_future,
        rerun_lost=defaults.rerun_lost,
        crash_limit=defaults.crash_limit,
        heartbeat_period=defaults.heartbeat_period,
        heartbeat_threshold=defaults.heartbeat_threshold,
        waits_at_exit=defaults.waits_at_exit,
        logger_name=defaults.logger_name,
        run_logs=defaults.run_logs,
        warnings=_warnings(config),
    )


def _warnings(config: Config) -> tuple[str, ...]:
    if not config.usage_tracking:
        return ()
    return (f"usage_tracking={config.usage_tracking} has no effect: fanflow sends nothing",)
