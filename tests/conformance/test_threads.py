from fanflow.executors.threads import ThreadPoolExecutor
from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance


class TestThreads(ExecutorConformance):
    in_process = True

    def make_spec(self) -> ExecutorSpec:
        return ThreadPoolExecutor(label="threads", max_threads=2)
