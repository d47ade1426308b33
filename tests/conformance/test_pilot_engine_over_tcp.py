"""The pilot engine over encrypted TCP, with one local manager of two workers."""

import pytest

from fanflow.spi.executor import ExecutorSpec
from fanflow.testing.conformance import ExecutorConformance
from tests.integration.engines import TwoWorkersOverTcp, warm_zero_copy


@pytest.fixture(autouse=True, scope="module")
def zero_copy() -> None:
    warm_zero_copy()


class TestPilotEngineOverTcp(ExecutorConformance):
    isolates_crashes = True
    kills = True

    def make_spec(self) -> ExecutorSpec:
        return TwoWorkersOverTcp()
