"""What the tests of the adapter share: pools, and a running half with a sink."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from fanflow.executors.adapter import ExecutorAdapter
from fanflow.model.attempts import Launch, Lost, Raised, Returned
from fanflow.spi.executor import BuildContext
from fanflow.spi.executor import Executor as Seam
from fanflow.testing import ManualLoop, RecordingSink, make_launch
from fanflow.testing.gates import wait_at_gate
from fanflow.testing.recording import Outcome, outcomes_by_attempt

PATIENCE_S = 30.0


CONTEXT = BuildContext(run_dir=Path(), run_id="stand")


def one_process() -> Executor:
    return ProcessPoolExecutor(1, mp_context=get_context("forkserver"))


def two_processes() -> Executor:
    return ProcessPoolExecutor(2, mp_context=get_context("forkserver"))


@contextmanager
def running(spec: ExecutorAdapter) -> Iterator[tuple[Seam, RecordingSink]]:
    executor, sink = spec.build(CONTEXT), RecordingSink()
    executor.start(sink, ManualLoop())
    try:
        yield executor, sink
    finally:
        executor.close(drain=False, deadline=PATIENCE_S)


def ends(sink: RecordingSink, launches: Sequence[Launch]) -> list[Outcome]:
    """The outcomes of these launches, in their order."""
    wanted = {launch.attempt for launch in launches}
    sink.wait_for(
        lambda events: wanted <= {e.attempt for e in events if isinstance(e, Returned | Raised | Lost)},
        PATIENCE_S,
    )
    outcomes = outcomes_by_attempt(sink)
    return [outcomes[launch.attempt] for launch in launches]


def run(executor: Seam, sink: RecordingSink, *launches: Launch) -> list[Outcome]:
    executor.submit(launches)
    return ends(sink, launches)


def again(launch: Launch) -> Launch:
    """A further attempt of the same task, as the kernel makes it."""
    retry = make_launch(launch.function, *launch.args, **launch.kwargs)
    retry.task = launch.task
    return retry


def tell_id_and_wait(directory: str) -> str:
    return wait_at_gate(directory, str(os.getpid()))
