"""Names for the numbers and strings that identify things, so that they cannot be mixed up."""

from typing import NewType

TaskId = NewType("TaskId", int)
"""One call of an app; counts from 0 in every kernel."""

AttemptId = NewType("AttemptId", int)
"""One execution of a task; counts from 1 in every kernel and is never used twice."""

ExecutorLabel = NewType("ExecutorLabel", str)
"""The label of one executor of a configuration."""

JobId = NewType("JobId", str)
"""What a provider calls one of its jobs."""

INTERNAL_LABEL = ExecutorLabel("_parsl_internal")
"""The internal pool: join bodies and lifted operations run there (name of the public contract)."""
