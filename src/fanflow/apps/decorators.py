"""The decorators: bare, with options, or as plain calls on existing functions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, overload

from fanflow.apps.app import App, BashApp, JoinApp, Labels, Names, PythonApp

if TYPE_CHECKING:
    from fanflow.loading import DataFlowKernel

P = ParamSpec("P")
R = TypeVar("R")


class _PythonDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[object, object, R]], /) -> App[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> App[P, R]: ...


class _BashDecorator(Protocol):
    def __call__(self, function: Callable[P, str | list[str]], /) -> App[P, int]: ...


class _JoinDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Future[R]], /) -> App[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Sequence[Future[R]]], /) -> App[P, list[R]]: ...


@overload
def python_app(
    function: Callable[P, Coroutine[object, object, R]],
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> App[P, R]: ...
@overload
def python_app(
    function: Callable[P, R],
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> App[P, R]: ...
@overload
def python_app(
    function: None = None,
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> _PythonDecorator: ...
def python_app(
    function: Callable[..., object] | None = None,
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> object:
    """Make a Python function an app: each call becomes a task and returns its future.

    An `async def` function runs in an event loop of its own per attempt.

    Args:
        function: The function; left out where the decorator takes options.
        data_flow_kernel: The kernel for all calls. None: the one loaded at the time of a call.
        cache: Whether equal calls share one result.
        executors: Labels of the executors that may run it, or `all`.
        ignore_for_cache: Names of arguments that do not tell calls apart.

    Raises:
        OptionTypeError: An option has a value of a wrong type.
    """

    def decorate(function: Callable[..., object]) -> App[..., object]:
        return PythonApp(function, data_flow_kernel, executors, cache, ignore_for_cache)

    return decorate if function is None else decorate(function)


@overload
def bash_app(
    function: Callable[P, str | list[str]],
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> App[P, int]: ...
@overload
def bash_app(
    function: None = None,
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> _BashDecorator: ...
def bash_app(
    function: Callable[..., object] | None = None,
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    executors: Labels = "all",
    ignore_for_cache: Names | None = None,
) -> object:
    """Make a function that returns a command an app that runs it.

    A returned `str` is a line for `/bin/bash`; a `list[str]` is a program and its arguments, run
    without a shell. The future's result is 0. Options are those of `python_app`; what a call may
    pass beside the function's arguments is listed in `docs/guide/apps.md`.

    Raises:
        OptionTypeError: An option has a value of a wrong type.
    """

    def decorate(function: Callable[..., object]) -> App[..., object]:
        return BashApp(function, data_flow_kernel, executors, cache, ignore_for_cache)

    return decorate if function is None else decorate(function)


@overload
def join_app(
    function: Callable[P, Future[R]],
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    ignore_for_cache: Names | None = None,
) -> App[P, R]: ...
@overload
def join_app(
    function: Callable[P, Sequence[Future[R]]],
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    ignore_for_cache: Names | None = None,
) -> App[P, list[R]]: ...
@overload
def join_app(
    function: None = None,
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    ignore_for_cache: Names | None = None,
) -> _JoinDecorator: ...
def join_app(
    function: Callable[..., object] | None = None,
    data_flow_kernel: DataFlowKernel | None = None,
    cache: bool = False,
    ignore_for_cache: Names | None = None,
) -> object:
    """Make a function that calls apps an app itself: its result is that of the futures it returns.

    The body runs in the submitting process, not on a worker, and holds no worker while it waits. It
    returns one future, or a list of futures, whose list of results is the result.

    Raises:
        OptionTypeError: An option has a value of a wrong type.
    """

    def decorate(function: Callable[..., object]) -> App[..., object]:
        return JoinApp(function, data_flow_kernel, "all", cache, ignore_for_cache)

    return decorate if function is None else decorate(function)
