import concurrent.futures
import multiprocessing

from fanflow.executors.adapter import ExecutorAdapter
from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance


def make_pool() -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver"))


class TestAdapterOfProcesses(ExecutorConformance):
    isolates_crashes = True
    walltime_frees_workers = False

    def make_spec(self) -> ExecutorSpec:
        return ExecutorAdapter(make_pool, label="pool")
