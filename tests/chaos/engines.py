"""Engines to be troubled, and waves of tasks on them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import fanflow
from fanflow import Config, DataFlowKernel, HighThroughputExecutor, python_app
from fanflow.ids import ExecutorLabel
from fanflow.pilot.running import Engine
from fanflow.pilot.transport import TcpSettings, TcpTransport
from fanflow.providers.local import LocalProvider
from fanflow.spi.executor import BuildContext, Executor
from tests.chaos import ledger
from tests.chaos.checker import Outcome
from tests.integration.engines import OneBlock
from tests.leaks import wait_until

work = python_app(ledger.work)
fail = python_app(ledger.fail)


class Planted:
    """Specification of an engine with a fault of its own.

    Args:
        engine: Its class.
    """

    label = "pilot"

    def __init__(self, engine: type[Engine]) -> None:
        self._engine = engine

    def build(self, context: BuildContext) -> Executor:
        return self._engine(ExecutorLabel(self.label), "a-run", OneBlock(context.run_dir / "manager"))


class OverTcp:
    """Specification of an engine whose managers connect as from other hosts: encrypted, over TCP.

    Args:
        managers: How many.
        slots: Workers of each.
    """

    label = "pilot"

    def __init__(self, managers: int, slots: int) -> None:
        self._managers, self._slots = managers, slots

    def build(self, context: BuildContext) -> Executor:
        blocks = OneBlock(context.run_dir / "managers", self._managers, self._slots)
        settings = TcpSettings(key_directory=str(context.run_dir / "keys"), is_local=True)
        return Engine(ExecutorLabel(self.label), "a-run", blocks, TcpTransport(settings))


def pilot(blocks: int, workers: int, **options: object) -> HighThroughputExecutor:
    """The product: so many blocks on this machine, each with one manager and so many workers."""
    return HighThroughputExecutor(
        "pilot",
        LocalProvider(init_blocks=blocks, min_blocks=blocks, max_blocks=blocks),
        cores_per_worker=0.01,
        max_workers_per_node=workers,
        **options,  # type: ignore[arg-type]
    )


@contextmanager
def loaded(spec: object, managers: int) -> Iterator[DataFlowKernel]:
    """A kernel with an engine whose managers are all there."""
    with fanflow.load(Config(executors=[spec])) as kernel:
        engine = kernel.kernel.executors[ExecutorLabel("pilot")]
        assert isinstance(engine, Engine)
        wait_until(lambda: len(engine.core.managers) == managers, 20.0)
        yield kernel


class Wave:
    """Tasks that write into a ledger, and what becomes of them.

    Args:
        path: The ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[int, Outcome] = {}
        self.parents: dict[int, list[int]] = {}
        self._left = threading.Semaphore(0)
        self._futures: list[Future[int]] = []

    def submit(self, seconds: float, *parents: int) -> int:
        """One task; returns its number."""
        task = len(self._futures)
        if parents:
            self.parents[task] = list(parents)
        return self._keep(work(str(self.path), task, seconds, *(self._futures[parent] for parent in parents)))

    def submit_failing(self, gate: Path) -> int:
        """One that fails as soon as the file is there."""
        return self._keep(fail(str(self.path), len(self._futures), str(gate)))

    def _keep(self, future: Future[int]) -> int:
        task = len(self._futures)
        outcome = self.outcomes[task] = Outcome()
        self._futures.append(future)
        future.add_done_callback(self._keeping(outcome))
        return task

    def submit_many(self, count: int, seconds: float) -> None:
        """Every tenth needs the two before it."""
        for task in range(count):
            self.submit(seconds, *((task - 1, task - 2) if task % 10 == 9 else ()))

    def _keeping(self, outcome: Outcome) -> Callable[[Future[int]], None]:
        def keep(future: Future[int]) -> None:
            outcome.at = time.monotonic()
            outcome.resolutions += 1
            error = future.exception()
            if error is None:
                outcome.value = future.result()
            else:
                outcome.error = f"{type(error).__name__}: {error}"
            self._left.release()

        return keep

    def wait(self, patience_s: float) -> None:
        """Until all have ended, or that much time has passed."""
        deadline = time.monotonic() + patience_s
        for _ in self._futures:
            if not self._left.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return
