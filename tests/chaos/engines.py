"""Engines to be troubled, and waves of tasks on them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fanflow
from fanflow import Config, DataFlowKernel, python_app
from fanflow.ids import ExecutorLabel
from fanflow.pilot import manager
from fanflow.pilot.client import ManagerNews
from fanflow.pilot.running import Engine
from fanflow.spi.executor import BuildContext, Executor
from tests.chaos import ledger
from tests.chaos.checker import Outcome

work = python_app(ledger.work)
fail = python_app(ledger.fail)


class ReplacedManagers:
    """Starts managers, and another for each that ends."""

    def __init__(self, logs: Path, managers: int, slots: int) -> None:
        self._logs, self._managers, self._slots = logs, managers, slots
        self._numbers = iter(range(1_000_000))
        self._has_ended = False
        self.planned = managers * slots

    def begin(self, engine: Engine) -> None:
        self._engine = engine
        for _ in range(self._managers):
            self._start()

    def _start(self) -> None:
        block = str(next(self._numbers))
        config = manager.ManagerConfig(
            access=self._engine.admit(block),
            block=block,
            slots=self._slots,
            log_directory=str(self._logs / block),
        )
        encoded = manager.encode_config(config)
        self._engine.fork_server.start("fanflow.pilot.manager", encoded, self._on_end)

    def _on_end(self, status: int) -> None:
        if not self._has_ended:
            self._start()

    def managers_changed(self, header: ManagerNews) -> None:
        pass

    def end(self) -> None:
        self._has_ended = True


class Pilot:
    """Specification of an engine whose managers are replaced when they end."""

    label = "pilot"

    def __init__(
        self, managers: int, slots: int, *, engine: type[Engine] = Engine, threshold_ms: int = 0
    ) -> None:
        self._managers, self._slots = managers, slots
        self._engine, self._threshold_ms = engine, threshold_ms

    def build(self, context: BuildContext) -> Executor:
        blocks = ReplacedManagers(context.run_dir / "managers", self._managers, self._slots)
        engine = self._engine(ExecutorLabel(self.label), "a-run", blocks)
        if self._threshold_ms:
            engine.settings = replace(
                engine.settings, heartbeat_ms=self._threshold_ms // 5, threshold_ms=self._threshold_ms
            )
        return engine


@contextmanager
def loaded(managers: int, slots: int, **options: object) -> Iterator[DataFlowKernel]:
    """A kernel with an engine whose workers are all there."""
    with fanflow.load(Config(executors=[Pilot(managers, slots, **options)])) as kernel:  # type: ignore[arg-type]
        engine = kernel.kernel.executors[ExecutorLabel("pilot")]
        assert isinstance(engine, Engine)
        deadline = time.monotonic() + 20
        while len(engine.core.managers) < managers and time.monotonic() < deadline:
            threading.Event().wait(0.01)
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
