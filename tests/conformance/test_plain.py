from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance
from tests.conformance.plain_executor import PlainSpec


class TestPlain(ExecutorConformance):
    in_process = True

    def make_spec(self) -> ExecutorSpec:
        return PlainSpec()
