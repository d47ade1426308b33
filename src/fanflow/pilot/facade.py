"""What users and libraries ask of an executor with blocks while it runs. Any thread."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Self, TypeVar, cast

from fanflow.errors import BadStateException, ConfigurationError, ExecutorError
from fanflow.model.jobs import JobStatus
from fanflow.pilot.blocks import Blocks
from fanflow.pilot.parcels import check_resources
from fanflow.pilot.running import Engine
from fanflow.pilot.standalone import Driver, EngineFuture
from fanflow.spi.executor import BuildContext

T = TypeVar("T")
_SHUTDOWN_S = 10.0


class PilotFacade:
    """The methods of the public executor that delegate to its running half.

    A kernel starts and ends the running half itself. Libraries that need no kernel call `start`,
    `submit` and `shutdown`. Copies and pickles have the options alone, and no running half.
    """

    label: str
    run_dir: str = "."
    """Where logs, scripts and keys go, in a directory of this executor's label. A kernel sets it to its run
    directory. Left alone, `start` makes a numbered one under `runinfo`, as kernels do."""
    run_id: str | None = None
    """Unique name of the latest run."""
    _used: tuple[str | None, str | None] = (None, None)
    """What the latest run has set `run_dir` and `run_id` to."""
    _engine: Engine | None = None
    """The latest running half."""
    _blocks: Blocks | None = None
    """Its blocks."""
    _driver: Driver | None = None
    """What drives it, without a kernel."""

    def __getstate__(self) -> dict[str, object]:
        running = {"_engine", "_blocks", "_driver"}
        return {name: value for name, value in self.__dict__.items() if name not in running}

    @abstractmethod
    def build(self, context: BuildContext) -> Engine:
        """Make a running half."""

    @abstractmethod
    def _standalone_context(self) -> BuildContext: ...

    # -- without a kernel -------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to run without a kernel; blocks follow with `scale_out_facade` or the first `submit`.

        Logs go into `run_dir`, if that was set, else into a new numbered directory under `runinfo`.

        Raises:
            ConfigurationError: An option is wrong, or it runs already.
        """
        if self._driver is not None:
            raise ConfigurationError(f"executor {self.label!r} has been started already; shut it down first")
        if self._engine is not None and not self._engine.is_closed:
            raise ConfigurationError(f"executor {self.label!r} is run by a kernel, which has started it")
        engine = self.build(self._standalone_context())
        self._blocks_now().waits_for_orders = True
        self._driver = Driver(engine)

    def submit(
        self,
        func: Callable[..., object],
        resource_specification: Mapping[str, object] | None,
        *args: object,
        **kwargs: object,
    ) -> EngineFuture:
        """Run one call, without a kernel.

        Args:
            func: What to call.
            resource_specification: `priority` (an int; the lower, the earlier) and `memory` (MB).
            *args: Arguments of the call.
            **kwargs: Arguments of the call.

        Raises:
            InvalidResourceSpecification: It has other keys, or values of wrong types.
            ExecutorError: The executor has not been started with `start`, or has failed.
        """
        driver = self._driving()
        self.validate_resource_spec(resource_specification or {})
        return driver.submit(func, args, kwargs, resource_specification)

    def submit_payload(self, context: Mapping[str, object], buffer: bytes) -> EngineFuture:
        """Run a call that another library has packed: `f(buffer, *a, **k)`.

        Args:
            context: `task_executor` with `f`, the dotted name of the function that runs the buffer, and its
                further arguments `a` and `k`; `resource_spec`.
            buffer: The packed call.

        Raises:
            ExecutorError: The executor has not been started with `start`, or has failed.
            KeyError: The context names no function.
        """
        executor = cast("Mapping[str, object]", context["task_executor"])
        args = cast("Sequence[object]", executor.get("a", ()))
        kwargs = cast("Mapping[str, object]", executor.get("k", {}))
        spec = cast("Mapping[str, object] | None", context.get("resource_spec"))
        return self.submit(run_payload, spec, executor["f"], buffer, tuple(args), dict(kwargs))

    def shutdown(self, timeout: float = _SHUTDOWN_S) -> None:
        """End what `start` began; calls without an outcome end with an error. Idempotent.

        A kernel ends what it has started: then this does nothing.

        Args:
            timeout: Seconds that this may take, and some more if processes do not answer.

        Raises:
            WaitInCallbackError: Called by a done-callback.
        """
        driver = self._driver
        if driver is not None:
            driver.close(timeout)
            if self._driver is driver:
                self._driver = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def _driving(self) -> Driver:
        driver = self._driver
        if self._engine is None:
            raise ExecutorError(self, "it is not running: start() it")
        if self._engine.is_closed:
            raise ExecutorError(self, "it has ended: start() it again")
        if driver is None:
            raise ExecutorError(self, "it is run by a kernel: call an app")
        self._check_usable()
        return driver

    def _check_usable(self) -> None:
        failure = self.engine.failure
        if failure is not None:
            raise BadStateException(self, failure)

    # -- looking ----------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The running half.

        Raises:
            ExecutorError: There is none.
        """
        if self._engine is None:
            raise ExecutorError(self, "it is not running: load() a configuration with it, or start() it")
        return self._engine

    def _blocks_now(self) -> Blocks:
        blocks = self._blocks
        if blocks is None:
            raise ExecutorError(self, "it is not running: load() a configuration with it, or start() it")
        return blocks

    def connected_managers(self) -> list[dict[str, object]]:
        """Facts of every manager that is connected, such as `manager`, `block_id`, `tasks`, `active`."""
        return self.engine.ask("managers")

    def connected_managers_packages(self) -> dict[str, dict[str, str]]:
        """The packages that each manager's Python has: manager -> package -> version."""
        return {
            str(facts["manager"]): cast("dict[str, str]", facts["packages"])
            for facts in self.engine.ask("packages")
        }

    def connected_blocks(self) -> list[str]:
        """Every block of which a manager has ever connected, in that order."""
        return list(self._blocks_now().connected)

    def outstanding(self) -> int:
        """Calls without an outcome."""
        return self.engine.outstanding

    def status(self) -> dict[str, JobStatus]:
        """What is known of each block's job, ended ones included."""
        return self._blocks_now().statuses()

    @property
    def status_facade(self) -> dict[str, JobStatus]:
        """The same as `status()`."""
        return self.status()

    def poll_facade(self) -> None:
        """Look at the jobs of blocks now, instead of when the provider's interval is over."""
        engine, blocks = self.engine, self._blocks_now()
        engine.mailbox.post(blocks.look)

    @property
    def blocks_to_job_id(self) -> dict[str, str]:
        """The job of each block that has, or had, one."""
        return self._blocks_now().jobs()

    @property
    def job_ids_to_block(self) -> dict[str, str]:
        """The block of each job."""
        return {job: block for block, job in self.blocks_to_job_id.items()}

    @property
    def workers_per_node(self) -> int:
        """Workers that a node is expected to have."""
        return self._blocks_now().workers_per_node

    @property
    def bad_state_is_set(self) -> bool:
        """Whether it has given up."""
        return self._engine is not None and self._engine.failure is not None

    @property
    def executor_exception(self) -> BaseException | None:
        """Why it has given up."""
        return None if self._engine is None else self._engine.failure

    @property
    def plan(self) -> str:
        """Its first blocks in words, such as `2 blocks x 1 node x 2 workers, 0 cores idle`."""
        return self._blocks_now().sentence()

    def monitor_resources(self) -> bool:
        """Whether its workers can be watched."""
        return True

    # -- scaling ----------------------------------------------------------------------------------

    def initialize_scaling(self) -> list[str]:
        """Obtain the first blocks, as many as the provider's `init_blocks`. Returns their ids."""
        return self._in_kernel("first blocks", lambda blocks: blocks.scale_out(blocks.initial))

    def scale_out_facade(self, n: int) -> list[str]:
        """Obtain so many more blocks. Returns their ids; what becomes of them shows in `status()`.

        Raises:
            ExecutorError: It does not run, or has failed.
        """
        return self._in_kernel(f"{n} more blocks", lambda blocks: blocks.scale_out(n))

    def scale_out(self, blocks: int = 1) -> list[str]:
        """The same as `scale_out_facade`."""
        return self.scale_out_facade(blocks)

    def scale_in(self, blocks: int, max_idletime: float | None = None) -> list[str]:
        """Give blocks back, those that were idle longest first. What runs on them is finished before.

        Args:
            blocks: How many at most.
            max_idletime: Seconds; only those that are empty and have been idle for longer.

        Returns:
            Their ids.

        Raises:
            ExecutorError: It does not run, or has failed.
        """
        engine, own = self.engine, self._blocks_now()
        self._check_usable()

        def begin(answer: Future[list[str]]) -> None:
            own.scale_in(blocks, max_idletime, answer.set_result)

        return engine.mailbox.ask(f"{blocks} blocks fewer of executor {self.label!r}", begin)

    def scale_in_facade(self, n: int, max_idletime: float | None = None) -> list[str]:
        """The same as `scale_in`."""
        return self.scale_in(n, max_idletime)

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        """Give up: everything open ends with this error, and so does all that comes. Blocks are cancelled."""
        engine = self.engine
        engine.mailbox.post(lambda: engine.fail(exception))

    def _in_kernel(self, what: str, do: Callable[[Blocks], T]) -> T:
        engine, blocks = self.engine, self._blocks_now()
        self._check_usable()

        def begin(answer: Future[T]) -> None:
            answer.set_result(do(blocks))

        return engine.mailbox.ask(f"{what} of executor {self.label!r}", begin)

    def validate_resource_spec(self, resource_specification: Mapping[str, object]) -> None:
        """Check what a call wants of this executor.

        Raises:
            InvalidResourceSpecification: It has keys or values that this executor does not know.
        """
        check_resources(resource_specification)


def run_payload(name: object, buffer: bytes, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    """On a worker: import a function by its dotted name and let it run the buffer."""
    module, _, attribute = str(name).rpartition(".")
    function: Callable[..., object] = getattr(importlib.import_module(module), attribute)
    return function(buffer, *args, **kwargs)
