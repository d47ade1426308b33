from fanflow.executors.inline import InlineExecutor
from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance


class TestInline(ExecutorConformance):
    in_process = True
    concurrent = False
    enforces_walltime = False

    def make_spec(self) -> ExecutorSpec:
        return InlineExecutor(label="inline")
