"""A hundred thousand tasks wait for workers that come late: none is lost, and little memory is taken."""

from collections.abc import Iterator

import psutil
import pytest

import fanflow
from fanflow import Config, DataFlowKernel, python_app
from fanflow.ids import ExecutorLabel
from fanflow.pilot.running import Engine
from fanflow.spi.executor import BuildContext, Executor
from tests.integration.engines import OneBlock, engine_of
from tests.leaks import wait_until

PATIENCE_S = 50.0
TASKS = 100_000
MOST_BYTES = 3_000


class LateBlock(OneBlock):
    """Starts its manager when it is told to, by any thread."""

    def begin(self, engine: Engine) -> None:
        self._engine = engine

    def start(self) -> None:
        self._engine.mailbox.post(lambda: OneBlock.begin(self, self._engine))


class LateWorkers:
    label = "engine"

    def build(self, context: BuildContext) -> Executor:
        self.block = LateBlock(context.run_dir / "manager")
        return Engine(ExecutorLabel(self.label), "a-run", self.block)


@pytest.fixture
def workers() -> LateWorkers:
    return LateWorkers()


@pytest.fixture
def kernel(workers: LateWorkers) -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[workers])) as kernel:
        yield kernel


@python_app
def add(a: int) -> int:
    return a + 1


def test_a_deep_queue_loses_nothing_and_takes_little_memory(
    kernel: DataFlowKernel, workers: LateWorkers
) -> None:
    server = engine_of(kernel).fork_server
    wait_until(lambda: 1 in server.pids, PATIENCE_S)
    processes = [psutil.Process(), psutil.Process(server.pids[1])]

    def resident() -> int:
        return sum(process.memory_info().rss for process in processes)

    before = resident()
    futures = [add(number) for number in range(TASKS)]
    wait_until(lambda: len(engine_of(kernel).core.open) == TASKS, PATIENCE_S)
    wait_until(lambda: processes[1].memory_info().rss > before // 100, 0.5)
    per_task = (resident() - before) / TASKS
    workers.block.start()

    assert [future.result(PATIENCE_S) for future in futures] == list(range(1, TASKS + 1))
    most = resident()
    del futures
    again = [add(number) for number in range(TASKS)]
    assert [future.result(PATIENCE_S) for future in again] == list(range(1, TASKS + 1))

    print(f"{per_task:.0f} bytes a task; the second wave added {(resident() - most) / most:.1%}")
    assert per_task <= MOST_BYTES
    assert resident() - most <= most / 10
