import concurrent.futures

from fanflow.executors.adapter import ExecutorAdapter
from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance


class TestAdapterOfThreads(ExecutorConformance):
    in_process = True
    walltime_frees_workers = False

    def make_spec(self) -> ExecutorSpec:
        return ExecutorAdapter(lambda: concurrent.futures.ThreadPoolExecutor(2), label="pool")
