"""The states of a task, numbered as existing programs and databases know them."""

import enum


class States(enum.IntEnum):
    """What a task is doing. `running` and `running_ended` appear in the monitoring database only."""

    pending = 0
    """Waits for its dependencies, or for an executor to take it."""
    running = 2
    exec_done = 3
    """Ended; its result is there."""
    failed = 4
    """Ended; the last attempt raised, or could not be made."""
    dep_fail = 5
    """Ended without an attempt, since a dependency failed."""
    launched = 7
    """An executor holds an attempt of it."""
    fail_retryable = 8
    """An attempt failed; another follows."""
    memo_done = 9
    """Ended with the recorded result of an equal call."""
    joining = 10
    """The body of a join app has returned futures; it waits for them."""
    running_ended = 11
    cancelled = 12
    """Ended by `future.cancel()`."""


FINAL_STATES = frozenset(
    {States.exec_done, States.memo_done, States.failed, States.dep_fail, States.cancelled}
)
"""No task leaves one of these."""

FINAL_FAILURE_STATES = frozenset({States.failed, States.dep_fail, States.cancelled})
"""Final, and the future has no result."""
