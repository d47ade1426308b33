"""The pilot engine over encrypted TCP, with one local manager of two workers."""

from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance
from tests.integration.engines import TwoWorkersOverTcp


class TestPilotEngineOverTcp(ExecutorConformance):
    isolates_crashes = True
    kills = True

    def make_spec(self) -> ExecutorSpec:
        return TwoWorkersOverTcp()
