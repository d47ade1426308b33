"""Puts a kernel together from a configuration, keeps the one that is loaded, and ends it with the script."""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

from fanflow.config.defaults import current_defaults
from fanflow.config.options import Config, freeze
from fanflow.core.task import AppSpec, CallOptions
from fanflow.errors import ConfigurationError, NoDataFlowKernelError, OptionTypeError, WaitInCallbackError
from fanflow.executors.inline import InlineExecutor, RunningInline
from fanflow.executors.threads import RunningThreads, ThreadPoolExecutor
from fanflow.ids import INTERNAL_LABEL, ExecutorLabel
from fanflow.logs import start_run_log
from fanflow.model.states import States
from fanflow.run_dirs import make_run_dir
from fanflow.runtime import collector, script_end
from fanflow.runtime.executor_life import add_executor, close_executors
from fanflow.runtime.futures import AppFuture
from fanflow.runtime.kernel import Kernel
from fanflow.runtime.records import default_std_autopath
from fanflow.runtime.settings import KernelSettings
from fanflow.runtime.summary import describe_counts
from fanflow.spi.executor import BuildContext, Executor, ExecutorSpec

_log = logging.getLogger("fanflow")

INLINE_VARIABLE = "FANFLOW_INLINE"
"""Set to 1, it makes every app run in the thread that calls it."""


class DataFlowKernel:
    """One running configuration: its tasks, its executors and its run directory.

    `load` makes one and keeps it as the default; further ones can be made directly and given to
    apps as `data_flow_kernel=`. As a context manager it ends as `Config.exit_mode` says.

    Args:
        config: What to run; None for the default.

    Raises:
        ConfigurationError: The configuration cannot be used, or an executor cannot start.
    """

    def __init__(self, config: Config | None = None) -> None:
        given = cast(object, config)
        if given is not None and not isinstance(given, Config):
            hint = "a Config; write Config(...), with brackets" if given is Config else "a Config, or None"
            raise OptionTypeError("load", "config", given, hint)
        self.config = config if config is not None else Config()
        settings = freeze(self.config, current_defaults())
        specs = _executor_specs(settings)
        self.run_id = str(uuid.uuid4())
        run_dir = make_run_dir(settings.run_dir)
        self.run_dir = str(run_dir)
        self._detach_logs: Callable[[], None] = start_run_log(settings, run_dir)
        try:
            self._context = _context(settings, run_dir, self.run_id)
            running = _build(specs, self._context, settings.internal_tasks_max_threads)
            self.kernel = Kernel(settings, running, run_dir, self.run_id)
            self.kernel.start()
        except BaseException:
            self._detach_logs()
            raise
        self.executors: dict[str, object] = {
            **{spec.label: spec for spec in specs},
            INTERNAL_LABEL: self.kernel.executors[INTERNAL_LABEL],
        }
        self.is_embedded = False
        self.cleanup_called = False
        self._end_lock = threading.Lock()
        _log.info("run %s: %s; executors: %s", self.run_dir, self.run_id, ", ".join(map(repr, specs)))
        if not settings.uses_default_executors:
            _tell_plans(specs)
        script_end.live.add(self)
        collector.ease()

    def submit(
        self,
        func: Callable[..., object],
        app_args: Sequence[object],
        executors: str | Sequence[str] = "all",
        cache: bool = False,
        ignore_for_cache: Sequence[str] | None = None,
        app_kwargs: Mapping[str, object] | None = None,
        join: bool = False,
    ) -> AppFuture[object]:
        """Make one call of a function a task, as apps do.

        Args:
            func: The function.
            app_args: Positional arguments; futures among them are dependencies.
            executors: Labels that may run it, or `all`.
            cache: Whether equal calls share one result.
            ignore_for_cache: Arguments that do not tell calls apart.
            app_kwargs: Keyword arguments.
            join: Whether the function returns futures whose results are the result.

        Raises:
            OptionTypeError: `executors` is neither a list nor `all`.
            ValueError: There is no executor of such a label.
            NoDataFlowKernelError: The kernel has been cleaned up.
        """
        if isinstance(executors, str) and executors != "all":
            raise OptionTypeError("submit", "executors", executors, "a list of labels, or 'all'")
        labels = None if executors == "all" else tuple(ExecutorLabel(label) for label in executors)
        for label in labels or ():
            if label not in self.kernel.executors:
                there = ", ".join(map(repr, self.kernel.labels))
                raise ValueError(f"requested invalid executor {label!r}; this kernel has {there}")
        app = AppSpec(
            getattr(func, "__name__", type(func).__name__),
            func,
            executors=(INTERNAL_LABEL,) if join else labels,
            joins=join,
            cache=cache,
            ignore_for_cache=ignore_for_cache or (),
        )
        kwargs = dict(app_kwargs or {})
        options = CallOptions()
        resources = kwargs.get("parsl_resource_specification")
        options.resources = cast("Mapping[str, object] | None", resources)
        return self.kernel.submit(app, tuple(app_args), kwargs or None, options)

    def add_executors(self, executors: Sequence[ExecutorSpec]) -> None:
        """Start further executors.

        Raises:
            ConfigurationError: A label is taken, or an executor cannot start.
        """
        for spec in executors:
            if spec.label in self.executors:
                raise ConfigurationError(f"Executors must have unique labels (label={spec.label!r})")
            add_executor(self.kernel, spec.build(self._context))
            self.executors[spec.label] = spec

    # -- life -----------------------------------------------------------------------------------

    def wait_for_current_tasks(self) -> None:
        """Wait until all tasks submitted before this call have ended, well or badly."""
        self.kernel.wait()

    def cleanup(self) -> None:
        """End the kernel: what has not started fails, what runs gets ten seconds. Idempotent.

        It does not wait for tasks; `wait_for_current_tasks` does.

        Raises:
            WaitInCallbackError: Called by a done-callback.
        """
        self.end(cancel=False)

    def end(self, *, cancel: bool) -> None:
        """`cleanup`, with the choice of ending open futures as cancelled."""
        if self.kernel.in_kernel_thread():
            raise WaitInCallbackError("the kernel to be cleaned up")
        self.cleanup_called = True
        _forget(self)
        with self._end_lock:
            try:
                self.kernel.close(cancel=cancel)
            finally:
                if self in script_end.live:
                    script_end.live.discard(self)
                    collector.restore()
                    _log.info("run %s ended; %s", self.run_dir, describe_counts(self.task_state_counts))
                    self._detach_logs()

    def __enter__(self) -> DataFlowKernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode = self.kernel.settings.exit_mode
        if mode == "skip":
            return
        if mode == "wait" and kind is None:
            try:
                script_end.wait_for_all(self.kernel)
            except KeyboardInterrupt:
                self.end(cancel=True)
                raise
        self.end(cancel=kind is not None and issubclass(kind, KeyboardInterrupt))

    # -- looking --------------------------------------------------------------------------------

    @property
    def tasks(self) -> dict[int, dict[str, object]]:
        """Tasks that have not ended, by number, as the records that existing programs know."""
        return {task.id: self.kernel.record_of(task) for task in list(self.kernel.core.tasks.values())}

    @property
    def task_count(self) -> int:
        """Tasks submitted so far."""
        return sum(self.task_state_counts.values())

    @property
    def task_state_counts(self) -> dict[States, int]:
        """Tasks by state, those that have ended included."""
        return dict(self.kernel.core.counts)

    def log_task_states(self) -> None:
        """Write the number of tasks by state to the log."""
        _log.info("%s", describe_counts(self.task_state_counts))

    def default_std_autopath(self, taskrecord: Mapping[str, object], kw: str) -> str:
        """The file that AUTO_LOGNAME stands for when `Config(std_autopath=None)`."""
        return default_std_autopath(Path(self.run_dir), taskrecord, kw)

    def __repr__(self) -> str:
        state = "closed" if self.kernel.is_closed else describe_counts(self.task_state_counts)
        return f"<DataFlowKernel {self.run_dir}; {state}>"


def _executor_specs(settings: KernelSettings) -> tuple[ExecutorSpec, ...]:
    if os.environ.get(INLINE_VARIABLE, "") not in ("", "0"):
        labels = [spec.label for spec in settings.executors] or ["inline"]
        return tuple(InlineExecutor(label) for label in labels)
    if not settings.uses_default_executors:
        if not settings.executors:
            raise ConfigurationError(
                "Config(executors=[]): there is nothing to run tasks on; name an executor"
            )
        return settings.executors
    if current_defaults().load_without_config == "threads":
        return (ThreadPoolExecutor(),)
    if not sys.platform.startswith("linux"):  # pragma: no cover - worker processes need Linux
        return (ThreadPoolExecutor(max_threads=os.cpu_count() or 1),)
    from fanflow.pilot.executor import HighThroughputExecutor  # programs that name others do not need it

    return (HighThroughputExecutor(),)


def _tell_plans(specs: Sequence[ExecutorSpec]) -> None:
    """What the first blocks will be: mistakes in their size show before they cost hours."""
    for spec in specs:
        plan = cast("object", getattr(spec, "plan", None))
        if isinstance(plan, str):
            print(f"fanflow: {spec.label}: {plan}", file=sys.stderr, flush=True)


def _context(settings: KernelSettings, run_dir: Path, run_id: str) -> BuildContext:
    return BuildContext(
        run_dir=run_dir,
        run_id=run_id,
        strategy=settings.strategy,
        strategy_period=settings.strategy_period,
        max_idletime=settings.max_idletime,
        heartbeat_period=settings.heartbeat_period,
        heartbeat_threshold=settings.heartbeat_threshold,
    )


def _build(
    specs: Sequence[ExecutorSpec], context: BuildContext, internal_threads: int
) -> dict[ExecutorLabel, Executor]:
    if all(isinstance(spec, InlineExecutor) for spec in specs):
        # Join bodies too: the whole program runs in the threads that call apps.
        inline = RunningInline(ExecutorLabel(specs[0].label))
        return {**{ExecutorLabel(spec.label): inline for spec in specs}, INTERNAL_LABEL: inline}
    running: dict[ExecutorLabel, Executor] = {}
    try:
        for spec in specs:
            running[ExecutorLabel(spec.label)] = spec.build(context)
    except BaseException:
        close_executors(running.values(), 1.0)
        raise
    running[INTERNAL_LABEL] = RunningThreads(
        INTERNAL_LABEL, internal_threads, "fanflow-internal", runs_tasks=False
    )
    return running


# -- the loaded kernel ---------------------------------------------------------------------------

_lock = threading.RLock()
_loaded: DataFlowKernel | None = None


def load(config: Config | None = None) -> DataFlowKernel:
    """Start a kernel and make it the default of this process.

    Args:
        config: What to run. None: the file that `FANFLOW_CONFIG` names, else the profile that
            `FANFLOW_PROFILE` names, else the default: one worker per core of this machine.

    Raises:
        ConfigurationError: One is loaded already, or the configuration cannot be used.
    """
    global _loaded
    with _lock:
        if _loaded is not None and not _loaded.kernel.is_orphan:
            raise ConfigurationError(
                f"Config has already been loaded: {_loaded!r} is active; "
                f"call its cleanup(), or fanflow.clear(), before you load another"
            )
        _loaded = DataFlowKernel(config if config is not None else _found_config())
        return _loaded


def _found_config() -> Config:
    from fanflow.config.sources import find_config

    found = find_config()
    _log.info("configuration: %s", found.source)
    return found.config


def dfk() -> DataFlowKernel:
    """The loaded kernel.

    Raises:
        NoDataFlowKernelError: None is loaded.
    """
    if _loaded is None:
        raise NoDataFlowKernelError("Must first load config")
    return _loaded


def clear() -> None:
    """Forget the loaded kernel, without ending it."""
    global _loaded
    with _lock:
        _loaded = None


def wait_for_current_tasks() -> None:
    """Wait until all tasks of the loaded kernel have ended.

    Raises:
        NoDataFlowKernelError: None is loaded.
    """
    dfk().wait_for_current_tasks()


class DataFlowKernelLoader:
    """The loaded kernel under the names that existing programs use."""

    load = staticmethod(load)
    dfk = staticmethod(dfk)
    clear = staticmethod(clear)
    wait_for_current_tasks = staticmethod(wait_for_current_tasks)


def kernel_for_call(app_name: str) -> Kernel:
    """The kernel for a call of an app that names none; starts the embedded default if none is loaded.

    Raises:
        NoDataFlowKernelError: None is loaded, and the defaults in force start none.
    """
    loaded = _loaded
    if loaded is not None:
        return loaded.kernel
    if not current_defaults().embedded_default:
        raise NoDataFlowKernelError("Must first load config")
    with _lock:
        if _loaded is None:
            load().is_embedded = True
            _log.info("app %r was called with nothing loaded: the embedded default was started", app_name)
        return dfk().kernel


def _forget(ended: DataFlowKernel) -> None:
    global _loaded
    with _lock:
        if _loaded is ended:
            _loaded = None
