"""Makes any `concurrent.futures.Executor` an executor of fanflow."""

from __future__ import annotations

import concurrent.futures

from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.executors.fed_pool import FedPool
from fanflow.executors.foreign_pool import ForeignPool, PoolFactory
from fanflow.ids import ExecutorLabel
from fanflow.spi.executor import BuildContext, Executor


class ExecutorAdapter:
    """Runs apps in a pool of the standard library, loky, Dask, mpi4py, ipyparallel and the like.

    ```python
    ExecutorAdapter(lambda: ProcessPoolExecutor(8, mp_context=get_context("forkserver")), label="pool")
    ```

    A factory is called at every load; its pool is closed with the kernel, and replaced when it breaks:
    what was in it is reported as lost, and the kernel decides what runs again. A task that was in two
    broken pools runs alone the next time, so that a task that kills its workers does not take others along
    for ever. A pool that is given stays yours: it is not shut down, and when it breaks the executor has
    failed.

    At most four attempts per worker (and at least 16) are in the pool at one time. The others wait here,
    where they can still be cancelled.

    What a foreign pool cannot do: stop a running attempt. `cancel` ends only what has not started. A
    walltime ends the attempt for its user, with `AppTimeout`, while the function goes on and keeps its
    worker busy until it returns; its late result is dropped. In threads the walltime counts from the start
    of the function. Otherwise it counts from the hand-over to the pool, and an attempt with a walltime is
    handed over only when a worker should be free, so `capacity` must be right.

    On Linux before Python 3.14, `ProcessPoolExecutor` forks by default. The kernel's process has threads, and
    the child of such a fork can hang: give the pool `mp_context=get_context("forkserver")` or `"spawn"`.
    Threads of the standard pool are not daemons: one that never returns keeps the interpreter from exiting.

    Attributes and arguments are the same; they are read at load.

    Args:
        make: A function without parameters that makes the pool, or a pool.
        label: The executor's name in the configuration.
        serialize: Whether calls and results are pickled here, which is what process and network pools
            need (functions of `__main__`, closures and odd exceptions survive). None: not for
            `ThreadPoolExecutor`, else yes. False is for pools whose calls run in this process only.
        capacity: Attempts that the pool runs at one time. None: what the pool says, else 1, which keeps
            a large pool idle; Dask's and MPI's pools need the number.
    """

    def __init__(
        self,
        make: PoolFactory | concurrent.futures.Executor,
        *,
        label: str = "adapter",
        serialize: bool | None = None,
        capacity: int | None = None,
    ) -> None:
        self.make = make
        self.label = label
        self.serialize = serialize
        self.capacity = capacity

    def build(self, context: BuildContext) -> Executor:
        """Make the pool, and the half that runs.

        Raises:
            OptionTypeError: An option has a wrong type, or the factory made something that is no pool.
            ConfigurationError: `capacity` is below 1, or the factory raised.
        """
        self._check()
        try:
            pool = ForeignPool(self.make)
        except OptionTypeError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"ExecutorAdapter(label={self.label!r}): its factory {self.make!r} raised "
                f"{type(error).__name__}: {error}"
            ) from error
        serialize = not pool.in_process if self.serialize is None else self.serialize
        capacity = (pool.workers or 1) if self.capacity is None else self.capacity
        return FedPool(ExecutorLabel(self.label), pool, serialize=serialize, capacity=capacity)

    def _check(self) -> None:
        owner = "ExecutorAdapter"
        if not _makes_or_is_pool(self.make):
            raise OptionTypeError(owner, "make", self.make, "a concurrent.futures.Executor or what makes one")
        if type(self.label) is not str or not self.label:
            raise OptionTypeError(owner, "label", self.label, "a string that is not empty")
        if self.serialize is not None and type(self.serialize) is not bool:
            raise OptionTypeError(owner, "serialize", self.serialize, "True, False or None")
        if self.capacity is None:
            return
        if type(self.capacity) is not int:
            raise OptionTypeError(owner, "capacity", self.capacity, "a whole number or None")
        if self.capacity < 1:
            raise ConfigurationError(f"{owner}(capacity={self.capacity}): capacity must be at least 1")

    def __repr__(self) -> str:
        return (
            f"ExecutorAdapter({self.make!r}, label={self.label!r}, serialize={self.serialize}, "
            f"capacity={self.capacity})"
        )


def _makes_or_is_pool(make: object) -> bool:
    return callable(make) or isinstance(make, concurrent.futures.Executor)
