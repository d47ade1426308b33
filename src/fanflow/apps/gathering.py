"""Many futures at once: map, wait, gather, as_completed. Any future of the standard library may take part."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, cast, overload

from fanflow.apps.app import App, PythonApp
from fanflow.errors import WaitInCallbackError
from fanflow.runtime.futures import AppFuture, outcome_of, until_done

R = TypeVar("R")


@overload
def map(function: App[..., R], /, *iterables: Iterable[object]) -> list[AppFuture[R]]: ...
@overload
def map(function: Callable[..., R], /, *iterables: Iterable[object]) -> list[AppFuture[R]]: ...
def map(function: App[..., R] | Callable[..., R], /, *iterables: Iterable[object]) -> list[AppFuture[R]]:
    """Call an app once per item; with several iterables, once per tuple of items.

    Args:
        function: An app, or a plain function that becomes a python app.
        iterables: Read in step until the shortest ends.

    Returns:
        One future per call, in order. For more items than fit in memory give a generator of calls to
        `as_completed` with a `limit`.

    Raises:
        TypeError: There is no iterable, or a call does not fit the function.
    """
    if not iterables:
        raise TypeError(f"map({function!r}) needs at least one iterable: there is nothing to call it with")
    app = cast("App[..., R]", function) if isinstance(function, App) else PythonApp[..., R](function)
    return [app(*items) for items in zip(*iterables, strict=False)]


class Waited(NamedTuple, Generic[R]):
    """What `wait` found."""

    done: set[Future[R]]
    not_done: set[Future[R]]


def wait(
    futures: Iterable[Future[R]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> Waited[R]:
    """As `concurrent.futures.wait`: the futures that are `done`, and those `not_done`.

    Args:
        futures: Any number, of any kernels.
        timeout: Seconds at most; None for no limit.
        return_when: `FIRST_COMPLETED`, `FIRST_EXCEPTION` or `ALL_COMPLETED`.

    Raises:
        WaitInCallbackError: Called by a done-callback, for a future that is not done.
    """
    wanted = set(futures)
    for future in wanted:
        _refuse_in_kernel_thread(future)
    return Waited(*concurrent.futures.wait(wanted, timeout, return_when))


def _refuse_in_kernel_thread(future: Future[R]) -> None:
    if isinstance(future, AppFuture) and not future.done() and future.kernel.in_kernel_thread():
        raise WaitInCallbackError(repr(future))


@dataclass(frozen=True, slots=True)
class Partial(Generic[R]):
    """What succeeded, and what did not."""

    results: list[R | None]
    """In the order of the futures; None in the places of `failures`."""
    failures: dict[int, BaseException]
    """Place -> error."""


class GatheredFuture(Future[R], Generic[R]):
    """The future of several futures; can be awaited, waited for, and passed to apps. Made by `gather`.

    Cancelling it stops the waiting, not the tasks.
    """

    def __init__(self, parts: Sequence[Future[object]]) -> None:
        super().__init__()
        self._parts = parts
        """For refusing to wait where that would block for ever; empty once it is done."""
        self.add_done_callback(lambda whole: setattr(whole, "_parts", ()))

    def result(self, timeout: float | None = None) -> R:
        """The results, or the first failure; see `AppFuture.result`."""
        self._may_wait()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The first failure, or None; see `AppFuture.exception`."""
        self._may_wait()
        return super().exception(timeout)

    def _may_wait(self) -> None:
        if not self.done():
            for part in self._parts:
                _refuse_in_kernel_thread(part)

    def __await__(self) -> Generator[object, None, R]:
        yield from until_done(self)
        return self.result()


class _Gathering(Generic[R]):
    """Counts ends; the last one, or the first failure, settles the whole."""

    def __init__(self, futures: list[Future[R]], *, partial: bool) -> None:
        self._futures = futures
        self._partial = partial
        self._left = len(futures)
        self._lock = threading.Lock()
        self.whole: GatheredFuture[object] = GatheredFuture(cast("list[Future[object]]", futures))
        if not futures:
            self._settle()
        for future in futures:
            future.add_done_callback(self._on_done)

    def _on_done(self, future: Future[R]) -> None:
        _, error = outcome_of(cast("Future[object]", future))
        if error is not None and not self._partial:
            with suppress(concurrent.futures.InvalidStateError):  # an earlier failure has settled it
                self.whole.set_exception(error)
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last and not self.whole.done():
            self._settle()

    def _settle(self) -> None:
        outcomes = [outcome_of(cast("Future[object]", future)) for future in self._futures]
        values = [value for value, _ in outcomes]
        failures = {place: error for place, (_, error) in enumerate(outcomes) if error is not None}
        with suppress(concurrent.futures.InvalidStateError):  # cancelled by its owner
            self.whole.set_result(
                Partial(cast("list[R | None]", values), failures) if self._partial else values
            )


@overload
def gather(*futures: Future[R]) -> GatheredFuture[list[R]]: ...
@overload
def gather(futures: Iterable[Future[R]], /) -> GatheredFuture[list[R]]: ...
@overload
def gather(*futures: Future[R], return_partial: bool) -> GatheredFuture[Partial[R]]: ...
@overload
def gather(futures: Iterable[Future[R]], /, *, return_partial: bool) -> GatheredFuture[Partial[R]]: ...
def gather(*futures: Future[R] | Iterable[Future[R]], return_partial: bool = False) -> object:
    """One future for the results of many.

    Args:
        futures: Several futures, or one iterable of them.
        return_partial: Give a `Partial` with results and failures instead of failing.

    Returns:
        A future of the list of results in order. Without `return_partial` it fails as soon as one
        of them does, with its error; the others go on.
    """
    listed: list[Future[R]] = []
    for item in futures:
        if isinstance(item, Future):
            listed.append(item)
        elif isinstance(cast(object, item), Iterable):
            listed.extend(item)
        else:
            raise TypeError(f"gather({item!r}): takes futures, or one iterable of them")
    return _Gathering(listed, partial=return_partial).whole


class as_completed(Generic[R]):  # noqa: N801 - reads as the function that it stands for
    """The futures in the order in which they end, for `for` and for `async for`.

    ```python
    calls = (simulate(seed) for seed in range(10_000_000))
    for future in fanflow.as_completed(calls, limit=1000):
        total += future.result()
    ```

    Args:
        futures: Read as they are needed, if there is a limit.
        timeout: Seconds for all of it; None for no limit.
        limit: Most futures that are open at once; None reads everything first.

    Raises:
        TimeoutError: From the iteration, when the time is over and some are not done.
        WaitInCallbackError: From the iteration, in a done-callback.
    """

    def __init__(
        self, futures: Iterable[Future[R]], timeout: float | None = None, *, limit: int | None = None
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"as_completed(limit={limit}): limit must be at least 1, or None")
        self._source = iter(futures)
        self._limit = limit
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        self._open: dict[int, Future[R]] = {}
        self._is_exhausted = False

    def _draw(self, on_done: Callable[[Future[R]], None]) -> None:
        while not self._is_exhausted and (self._limit is None or len(self._open) < self._limit):
            try:
                future = next(self._source)
            except StopIteration:
                self._is_exhausted = True
                return
            if id(future) not in self._open:
                self._open[id(future)] = future
                future.add_done_callback(on_done)

    def _left_s(self) -> float | None:
        return None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def _late(self) -> TimeoutError:
        return TimeoutError(f"{len(self._open)} futures are not done")

    def __iter__(self) -> Iterator[Future[R]]:
        done: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
        self._draw(done.put)
        while self._open:
            if done.empty():
                _refuse_in_kernel_thread(next(iter(self._open.values())))
            try:
                future = done.get(timeout=self._left_s())
            except queue.Empty:
                raise self._late() from None
            del self._open[id(future)]
            yield future
            del future
            self._draw(done.put)

    async def __aiter__(self) -> AsyncIterator[Future[R]]:
        loop = asyncio.get_running_loop()
        done: asyncio.Queue[Future[R]] = asyncio.Queue()

        def tell(future: Future[R]) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(done.put_nowait, future)

        self._draw(tell)
        while self._open:
            if done.empty():
                await asyncio.sleep(0)  # what has ended is told by the loop's next turn
            try:
                # Only an empty queue is worth a timer, and what is there is taken even if time is over.
                future = (
                    await asyncio.wait_for(done.get(), self._left_s()) if done.empty() else done.get_nowait()
                )
            except TimeoutError:
                raise self._late() from None
            del self._open[id(future)]
            yield future
            del future
            self._draw(tell)
