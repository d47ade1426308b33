"""A complete `concurrent.futures.Executor` on top of a kernel."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar, cast

from fanflow.apps.app import Labels, PythonApp
from fanflow.apps.python_call import CoroutineCall
from fanflow.config.options import Config
from fanflow.core.task import AppSpec
from fanflow.ids import ExecutorLabel
from fanflow.load import DataFlowKernel
from fanflow.runtime.futures import AppFuture

P = ParamSpec("P")
R = TypeVar("R")


class PoolExecutor(concurrent.futures.Executor):
    """Runs calls as tasks of a kernel, under the interface of the standard library.

    Whatever takes a `concurrent.futures.Executor` can use it. Futures among the arguments are
    dependencies, as they are for apps.

    Args:
        config: Starts a kernel of its own, which ends with `shutdown`.
        dfk: Uses a kernel that is there, which goes on after `shutdown`.
        executors: Labels that may run the calls, or `all`.

    Raises:
        ValueError: Not exactly one of `config` and `dfk` was given.
    """

    def __init__(
        self, config: Config | None = None, dfk: DataFlowKernel | None = None, executors: Labels = "all"
    ) -> None:
        if (config is None) == (dfk is None):
            raise ValueError("PoolExecutor takes exactly one of config= and dfk=")
        self._owns = dfk is None
        self._dfk = dfk if dfk is not None else DataFlowKernel(config)
        self._labels = None if executors == "all" else tuple(ExecutorLabel(label) for label in executors)
        self._executors = executors
        self._apps: dict[object, AppSpec] = {}
        self._public_apps: dict[object, PythonApp[..., object]] = {}
        self._open: set[AppFuture[object]] = set()
        self._lock = threading.Lock()
        self._is_shut_down = False

    @property
    def app_count(self) -> int:
        """Different functions called so far."""
        return len(self._apps)

    def get_app(self, fn: Callable[P, R]) -> PythonApp[P, R]:
        """The app for a function, bound to this pool's kernel."""
        app = self._public_apps.get(fn)
        if app is None:
            app = self._public_apps[fn] = PythonApp(fn, self._dfk, self._executors)
        return cast("PythonApp[P, R]", app)

    def _spec(self, fn: Callable[..., object]) -> AppSpec:
        try:
            spec = self._apps.get(fn)
        except TypeError:  # unhashable: made anew for every call
            return self._made(fn)
        if spec is None:
            spec = self._apps[fn] = self._made(fn)
        return spec

    def _made(self, fn: Callable[..., object]) -> AppSpec:
        import inspect

        name = getattr(fn, "__name__", type(fn).__name__)
        function = CoroutineCall(fn) if inspect.iscoroutinefunction(fn) else fn
        return AppSpec(name, function, executors=self._labels, key_function=fn)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AppFuture[R]:
        """Make one call a task.

        Raises:
            RuntimeError: `shutdown` has been called.
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
        """
        if buffersize is None:
            return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize)
        if buffersize < 1:
            raise ValueError(f"map(buffersize={buffersize}): buffersize must be at least 1, or None")
        return self._buffered(fn, zip(*iterables, strict=False), timeout, buffersize)

    def _buffered(
        self, fn: Callable[..., R], calls: Iterator[tuple[object, ...]], timeout: float | None, size: int
    ) -> Iterator[R]:
        import time

        ends_at = None if timeout is None else time.monotonic() + timeout
        futures = deque(self.submit(fn, *call) for call in itertools.islice(calls, size))
        try:
            while futures:
                left = None if ends_at is None else max(0.0, ends_at - time.monotonic())
                value = futures.popleft().result(left)
                futures.extend(self.submit(fn, *call) for call in itertools.islice(calls, 1))
                yield value
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
