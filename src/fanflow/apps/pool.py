"""A complete `concurrent.futures.Executor` on top of a kernel."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

from fanflow.apps.app import App, Labels, PythonApp, check_labels, checked_labels, name_of
from fanflow.apps.python_call import CoroutineCall, is_async
from fanflow.config.options import Config
from fanflow.core.task import AppSpec
from fanflow.errors import OptionTypeError
from fanflow.loading import DataFlowKernel
from fanflow.runtime.futures import AppFuture

P = ParamSpec("P")
R = TypeVar("R")


class _PoolSpec(AppSpec):
    """The calls of one function; it lives as long as one of them."""

    __slots__ = ("__weakref__",)


class PoolExecutor(concurrent.futures.Executor):
    """Runs calls as tasks of a kernel, under the interface of the standard library.

    Whatever takes a `concurrent.futures.Executor` can use it. Futures among the arguments are
    dependencies, as they are for apps.

    Args:
        config: Starts a kernel of its own, which ends with `shutdown`.
        dfk: Uses a kernel that is there, which goes on after `shutdown`.
        executors: Labels that may run the calls, or `all`.

    Raises:
        ValueError: Not exactly one of `config` and `dfk` was given, or there is no executor of a label.
        OptionTypeError: `executors` is neither a list of labels nor `all`.
    """

    def __init__(
        self, config: Config | None = None, dfk: DataFlowKernel | None = None, executors: Labels = "all"
    ) -> None:
        if (config is None) == (dfk is None):
            raise ValueError("PoolExecutor takes exactly one of config= and dfk=")
        self._labels = checked_labels("PoolExecutor", executors)
        self._executors: Labels = executors
        self._owns = dfk is None
        self._dfk = dfk if dfk is not None else DataFlowKernel(config)
        try:
            check_labels("PoolExecutor", self._labels or (), self._dfk.kernel)
        except ValueError:
            if self._owns:
                self._dfk.cleanup()
            raise
        # A call made with a lambda or a bound method must not keep it, and what it refers to, for ever.
        self._specs: WeakValueDictionary[object, _PoolSpec] = WeakValueDictionary()
        self._apps: dict[object, PythonApp[..., object]] = {}
        self._app_count = 0
        self._open: set[AppFuture[object]] = set()
        self._lock = threading.Lock()
        self._is_shut_down = False

    @property
    def app_count(self) -> int:
        """Functions called so far; one that was forgotten in between counts again."""
        return self._app_count

    def get_app(self, fn: Callable[P, R]) -> PythonApp[P, R]:
        """The app for a function, bound to this pool's kernel."""
        try:
            app = self._apps.get(fn)
        except TypeError:  # unhashable: made anew for every call
            return PythonApp(fn, self._dfk, self._executors)
        if app is None:
            app = self._apps[fn] = PythonApp(fn, self._dfk, self._executors)
            self._app_count += fn not in self._specs
        return cast("PythonApp[P, R]", app)

    def _spec(self, fn: Callable[..., object]) -> _PoolSpec:
        try:
            spec = self._specs.get(fn)
        except TypeError:  # unhashable: made anew for every call
            return self._made(fn)
        if spec is None:
            spec = self._specs[fn] = self._made(fn)
            self._app_count += fn not in self._apps
        return spec

    def _made(self, fn: Callable[..., object]) -> _PoolSpec:
        if isinstance(fn, App) or not callable(fn):
            raise OptionTypeError(
                "PoolExecutor.submit", "fn", cast(object, fn), "a plain function; an app is called itself"
            )
        name = name_of(fn)
        function = CoroutineCall(name, fn) if is_async(fn) else fn
        return _PoolSpec(name, function, executors=self._labels, key_function=fn)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AppFuture[R]:
        """Make one call a task.

        Raises:
            RuntimeError: `shutdown` has been called.
            OptionTypeError: `fn` is not a function, or it is an app.
        """
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
        future = self._dfk.kernel.submit(self._spec(fn), args, dict(kwargs) or None)
        with self._lock:
            self._open.add(future)
        future.add_done_callback(self._on_done)
        return cast("AppFuture[R]", future)

    def _on_done(self, future: concurrent.futures.Future[object]) -> None:
        with self._lock:
            self._open.discard(cast("AppFuture[object]", future))

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[object],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """Results of one call per tuple of items, in order.

        Args:
            fn: The function.
            iterables: Read in step until the shortest ends; at once, unless there is a `buffersize`.
            timeout: Seconds for all of it.
            chunksize: Accepted; calls travel in batches anyway.
            buffersize: Most calls that are submitted before their results are taken.

        Raises:
            OptionTypeError: `buffersize` is neither None nor an int.
            ValueError: It is less than 1.
        """
        if buffersize is None:
            return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize)
        if isinstance(buffersize, bool) or not isinstance(cast(object, buffersize), int):
            raise OptionTypeError("map", "buffersize", buffersize, "an int, or None")
        if buffersize < 1:
            raise ValueError(f"map(buffersize={buffersize}): buffersize must be at least 1, or None")
        ends_at = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        first = deque(self.submit(fn, *call) for call in itertools.islice(calls, buffersize))
        return self._results(fn, calls, first, ends_at)

    def _results(
        self,
        fn: Callable[..., R],
        calls: Iterator[tuple[object, ...]],
        futures: deque[AppFuture[R]],
        ends_at: float | None,
    ) -> Iterator[R]:
        try:
            while futures:
                # Only waited for: nothing here may keep the result while the caller works on it.
                futures[0].exception(None if ends_at is None else max(0.0, ends_at - time.monotonic()))
                futures.extend(self.submit(fn, *call) for call in itertools.islice(calls, 1))
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; end the kernel, if it is this pool's own, when the open ones have ended.

        Args:
            wait: Return only then.
            cancel_futures: Cancel what has not started.
        """
        with self._lock:
            first, self._is_shut_down = not self._is_shut_down, True
            open_now = list(self._open)
        if cancel_futures:
            for future in open_now:
                if not future.running():
                    future.cancel()
        if wait:
            concurrent.futures.wait(open_now)
            if self._owns:
                self._dfk.cleanup()
        elif first and self._owns:
            threading.Thread(target=self._end_later, args=(open_now,), name="fanflow-shutdown").start()

    def _end_later(self, open_now: list[AppFuture[object]]) -> None:
        concurrent.futures.wait(open_now)
        self._dfk.cleanup()
