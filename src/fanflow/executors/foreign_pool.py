"""A pool of somebody else's making: how it is made, replaced, judged and ended."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable
from typing import Protocol, cast

from fanflow.errors import OptionTypeError

PoolFactory = Callable[[], concurrent.futures.Executor]


class _Killable(Protocol):
    def kill(self) -> None: ...


class ForeignPool:
    """One pool at a time. Only the thread that feeds it calls it, except for the constructor.

    Args:
        make: A factory, whose pools are ours: replaced when they break, ended at `end`. Or a pool,
            which stays its maker's.

    Raises:
        OptionTypeError: The factory made something that is no pool.
        Exception: Whatever the factory raises.
    """

    def __init__(self, make: PoolFactory | concurrent.futures.Executor) -> None:
        self._factory = None if isinstance(make, concurrent.futures.Executor) else make
        self._pool = make if isinstance(make, concurrent.futures.Executor) else _made_by(make)
        self.generation = 0
        """Counts replacements: what breaks in an earlier pool does not concern this one."""

    @property
    def is_ours(self) -> bool:
        """Whether it was made by a factory."""
        return self._factory is not None

    @property
    def in_process(self) -> bool:
        """Whether it is known to run calls in threads of this process, so that nothing need be pickled."""
        interpreters = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # is one by name only
        return isinstance(self._pool, concurrent.futures.ThreadPoolExecutor) and not isinstance(
            self._pool, interpreters
        )

    @property
    def workers(self) -> int | None:
        """How many calls it runs at one time, where it says so."""
        workers: object = getattr(self._pool, "_max_workers", None)
        return workers if isinstance(workers, int) and workers > 0 else None

    def submit(self, function: Callable[..., object], *args: object) -> concurrent.futures.Future[object]:
        """Hand a call to the pool.

        Raises:
            Exception: Whatever the pool raises.
        """
        return self._pool.submit(function, *args)

    def replace(self) -> None:
        """Put a new pool in place of a broken one of ours.

        Raises:
            Exception: Whatever the factory raises.
        """
        assert self._factory is not None, "a pool that was given cannot be replaced"
        self._shut_down(wait=False)
        self._pool = _made_by(self._factory)
        self.generation += 1

    def end(self, *, kill: bool) -> None:
        """End a pool of ours; leave one that was given alone.

        Args:
            kill: Do not wait, and kill its processes. Otherwise everything in it has ended.
        """
        if not self.is_ours:
            return
        processes = self._processes() if kill else []
        self._shut_down(wait=not kill)
        for process in processes:
            with contextlib.suppress(OSError, ValueError):  # it has ended, or has been closed
                process.kill()

    def _processes(self) -> list[_Killable]:
        # Before Python 3.14 no pool has a public way; shutdown() forgets them, so they are read before.
        processes: object = getattr(self._pool, "_processes", None)
        if not isinstance(processes, dict):
            return []
        return list(cast("dict[int, _Killable]", processes).values())

    def _shut_down(self, *, wait: bool) -> None:
        try:
            self._pool.shutdown(wait=wait, cancel_futures=True)
        except TypeError:  # pools older than `cancel_futures`
            self._pool.shutdown(wait=wait)


def _made_by(factory: Callable[[], object]) -> concurrent.futures.Executor:
    made = factory()
    if not isinstance(made, concurrent.futures.Executor):
        raise OptionTypeError("ExecutorAdapter", "make", made, "a factory of a concurrent.futures.Executor")
    return made
