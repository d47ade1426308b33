"""The suite that every executor must pass, built in or not."""

from __future__ import annotations

from fanflow.testing.conformance_cancel import CancelRules, WalltimeRules
from fanflow.testing.conformance_close import CloseRules
from fanflow.testing.conformance_errors import ErrorRules
from fanflow.testing.conformance_outcomes import OutcomeRules


class ExecutorConformance(OutcomeRules, ErrorRules, CancelRules, WalltimeRules, CloseRules):
    """The rules of the `Executor` seam as tests; subclass it in a pytest module.

    ```python
    class TestMine(ExecutorConformance):
        isolates_crashes = True

        def make_spec(self) -> ExecutorSpec:
            return MyExecutorSpec(label="mine", workers=2)
    ```

    Override the traits that are not the default. The capacity must be small, since tests fill it;
    two is right. No test takes fixtures, so that any of them can also be called directly.
    """


__all__ = ["ExecutorConformance"]
