"""Apps: functions whose calls become tasks."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Generic, Literal, ParamSpec, TypeVar, cast, overload

from fanflow.apps.bash_command import BashCall
from fanflow.apps.binding import SPECIAL_KEYWORDS, Binder
from fanflow.apps.calls import CallPlan
from fanflow.apps.python_call import CoroutineCall, PythonCall, is_async
from fanflow.codec.worker_flag import current_worker, in_worker
from fanflow.core.task import AppSpec
from fanflow.errors import NestedAppError, OptionTypeError
from fanflow.ids import INTERNAL_LABEL, ExecutorLabel
from fanflow.loading import kernel_for_call
from fanflow.runtime.context import JOINING_KERNEL
from fanflow.runtime.futures import AppFuture

if TYPE_CHECKING:
    from fanflow.loading import DataFlowKernel
    from fanflow.runtime.kernel import Kernel

P = ParamSpec("P")
R = TypeVar("R")

Names = list[str] | tuple[str, ...]
"""Not any sequence: a string is a sequence of strings too."""

Labels = Names | Literal["all"]

LOOP_GRACE_S = 0.5
"""Seconds that an `async def` app has to end by itself, before its executor ends it."""


class App(Generic[P, R]):
    """A function that runs elsewhere: calling it returns a future at once.

    Made by `python_app`, `bash_app` and `join_app`. Wherever the function takes a value, a call may
    pass a future of that value; the task starts when all its futures are done.

    Attributes:
        func: The function itself.
        data_flow_kernel: The kernel for all its calls; None: the one loaded at the time of a call.
        executors: Labels of the executors that may run it, or `all`.
        cache: Whether equal calls share one result.
        ignore_for_cache: Arguments that do not tell calls apart.
    """

    kind = "python_app"

    def __init__(
        self,
        func: Callable[..., object],
        data_flow_kernel: DataFlowKernel | None = None,
        executors: Labels = "all",
        cache: bool = False,
        ignore_for_cache: Names | None = None,
    ) -> None:
        if isinstance(func, App) or not callable(func):
            raise OptionTypeError(self.kind, "function", cast(object, func), "a plain function")
        functools.update_wrapper(self, func)
        self.__name__ = name_of(func)
        self.__qualname__ = str(getattr(func, "__qualname__", self.__name__))
        self.func = func
        self.data_flow_kernel = data_flow_kernel
        self.executors = executors
        self.cache = cache
        self.ignore_for_cache = ignore_for_cache
        labels = checked_labels(self.kind, executors)
        _check_options(self.kind, data_flow_kernel, cache, ignore_for_cache)
        self._binder = Binder(func, self.__name__)
        self._defaults = {name: value for name, value in self._binder.defaults.items() if value is not None}
        self.kwargs: Mapping[str, object] = self._defaults
        self._plain, self._special = self._specs(labels)
        self._known_to: Kernel | None = None

    def _specs(self, labels: tuple[ExecutorLabel, ...] | None) -> tuple[AppSpec, AppSpec]:
        """The app for calls without, and with, special keywords."""
        function = CoroutineCall(self.__name__, self.func) if is_async(self.func) else self.func
        dropped = frozenset(name for name in SPECIAL_KEYWORDS if not self._binder.takes(name))
        checked = PythonCall(self.__name__, function, dropped)
        return self._spec(function, labels), self._spec(checked, labels)

    def _spec(self, function: Callable[..., object], labels: tuple[ExecutorLabel, ...] | None) -> AppSpec:
        return AppSpec(
            self.__name__,
            function,
            executors=labels,
            cache=self.cache,
            ignore_for_cache=self.ignore_for_cache or (),
            key_function=self.func,
        )

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> AppFuture[R]: ...
    @overload  # any argument may be a future, and there are the special keywords; ParamSpec cannot say so
    def __call__(self, /, *args: object, **kwargs: object) -> AppFuture[R]: ...

    def __call__(self, /, *args: object, **kwargs: object) -> AppFuture[R]:
        """Make one call a task.

        Raises:
            TypeError: The arguments do not fit the function, or a special keyword's value is wrong.
            ValueError: The kernel has no executor of a label that this app names.
            NoDataFlowKernelError: Its kernel has been cleaned up.
            NestedAppError: Called by code that is running as a task.
        """
        if current_worker() is not None or in_worker():
            raise NestedAppError(self.__name__)
        kernel = self._kernel()
        try:
            self._binder.check(args, kwargs)
            if self._plain.executors is not None and kernel is not self._known_to:
                check_labels(f"app {self.__name__!r}", self._plain.executors, kernel)
                self._known_to = kernel
            if not self._defaults and (not kwargs or SPECIAL_KEYWORDS.isdisjoint(kwargs)):
                named = kwargs or None
                # Not cast(): on the hot path its call costs more than the look-ups around it.
                return kernel.submit(self._plain, args, named)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
            return self._submit_special(kernel, args, kwargs)
        except (TypeError, ValueError) as error:
            if not kernel.settings.errors_in_future:
                raise
            return cast("AppFuture[R]", kernel.submit_failed(self._plain, error))

    def _submit_special(
        self, kernel: Kernel, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> AppFuture[R]:
        # A default that is also given by position is the function's own business.
        for name in self._defaults.keys() - kwargs.keys() - self._binder.given(len(args)):
            kwargs[name] = self._defaults[name]
        plan = CallPlan(self.__name__, kernel, kwargs)
        plan.options.walltime = self._enforced(plan.options.walltime)
        future = kernel.submit(self._special, args, kwargs, plan.options, plan.finish)
        return cast("AppFuture[R]", future)

    def _kernel(self) -> Kernel:
        if self.data_flow_kernel is not None:
            return self.data_flow_kernel.kernel
        joining = JOINING_KERNEL.get()
        if joining is not None:
            return joining
        return kernel_for_call(self.__name__)

    def _enforced(self, walltime: float | None) -> float | None:
        """The walltime that the executor has to see to."""
        if walltime is not None and isinstance(self._plain.function, CoroutineCall):
            return walltime + LOOP_GRACE_S
        return walltime

    def __reduce__(self) -> tuple[object, ...]:
        # By name if it can be imported, as functions are; the running half never travels.
        if self.__module__ != "__main__" and _found(self.__module__, self.__qualname__) is self:
            return (_import, (self.__module__, self.__qualname__))
        return (_remake, (type(self), self.func, self.executors, self.cache, self.ignore_for_cache))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.__module__}.{self.__name__}>"


class PythonApp(App[P, R]):
    """A Python function as an app."""


class BashApp(App[P, R]):
    """A function that returns a command; the app runs it, and its result is the exit status 0."""

    kind = "bash_app"

    def _specs(self, labels: tuple[ExecutorLabel, ...] | None) -> tuple[AppSpec, AppSpec]:
        if is_async(self.func):
            raise OptionTypeError(self.kind, "function", self.func, "a plain function, without async")
        spec = AppSpec(
            self.__name__,
            BashCall(self.__name__, self.func),
            executors=labels,
            runs_command=True,
            cache=self.cache,
            ignore_for_cache=self.ignore_for_cache or (),
            key_function=self.func,
        )
        return spec, spec

    def _enforced(self, walltime: float | None) -> float | None:
        return None  # the command's own: its processes can be killed


class JoinApp(App[P, R]):
    """A function that calls apps and returns their futures; its result is theirs."""

    kind = "join_app"

    def _specs(self, labels: tuple[ExecutorLabel, ...] | None) -> tuple[AppSpec, AppSpec]:
        plain, special = super()._specs((INTERNAL_LABEL,))
        plain.joins = special.joins = True
        return plain, special


def name_of(function: Callable[..., object]) -> str:
    """What a function's tasks are called."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _found(module: str, qualname: str) -> object:
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _import(module: str, qualname: str) -> object:
    import_module(module)
    return _found(module, qualname)


def _remake(
    cls: type[App[..., object]],
    func: Callable[..., object],
    executors: Labels,
    cache: bool,
    ignore_for_cache: Names | None,
) -> App[..., object]:
    return cls(func, None, executors, cache, ignore_for_cache)


def _check_options(kind: str, data_flow_kernel: object, cache: object, ignore_for_cache: object) -> None:
    if data_flow_kernel is not None:
        from fanflow.loading import DataFlowKernel

        if not isinstance(data_flow_kernel, DataFlowKernel):
            raise OptionTypeError(kind, "data_flow_kernel", data_flow_kernel, "a DataFlowKernel")
    if not isinstance(cache, bool):
        raise OptionTypeError(kind, "cache", cache, "True or False")
    if ignore_for_cache is not None and not _is_names(ignore_for_cache):
        raise OptionTypeError(kind, "ignore_for_cache", ignore_for_cache, "a list of argument names")


def checked_labels(owner: str, executors: object) -> tuple[ExecutorLabel, ...] | None:
    """The labels of an option `executors`; None for all.

    Raises:
        OptionTypeError: It is neither a list of strings nor `all`.
    """
    if isinstance(executors, str) and executors == "all":
        return None
    if not _is_names(executors) or not executors:
        hint = f" (did you mean executors=[{executors!r}]?)" if isinstance(executors, str) else ""
        raise OptionTypeError(owner, "executors", executors, f"a list of labels, or 'all'{hint}")
    return tuple(ExecutorLabel(label) for label in cast("Sequence[str]", executors))


def check_labels(who: str, labels: Sequence[ExecutorLabel], kernel: Kernel) -> None:
    """Whether a kernel has the executors.

    Raises:
        ValueError: It has not; the message lists those that it has.
    """
    for label in labels:
        if label not in kernel.executors:
            there = ", ".join(repr(str(one)) for one in kernel.labels)
            raise ValueError(
                f"{who} requested invalid executor {str(label)!r}; the loaded configuration has {there}"
            )


def _is_names(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and all(isinstance(item, str) for item in cast("Sequence[object]", value))
    )
