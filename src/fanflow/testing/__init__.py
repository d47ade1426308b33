"""Real classes that stand in for a kernel's surroundings in tests, and the suites that plugins must pass."""

from fanflow.testing.launches import CountingLatch, OpenLatch, make_launch
from fanflow.testing.live import LiveLoop
from fanflow.testing.manual import ManualClock, ManualLoop
from fanflow.testing.recording import Event, Outcome, RecordingSink, outcomes_by_attempt
from fanflow.testing.scripted import ScriptedExecutor, ScriptedExecutorSpec

__all__ = [
    "CountingLatch",
    "Event",
    "LiveLoop",
    "ManualClock",
    "ManualLoop",
    "OpenLatch",
    "Outcome",
    "RecordingSink",
    "ScriptedExecutor",
    "ScriptedExecutorSpec",
    "make_launch",
    "outcomes_by_attempt",
]
