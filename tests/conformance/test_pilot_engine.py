"""The pilot engine, with one local manager of two workers."""

from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance
from tests.integration.engines import TwoWorkers


class TestPilotEngine(ExecutorConformance):
    isolates_crashes = True
    kills = True

    def make_spec(self) -> ExecutorSpec:
        return TwoWorkers()
