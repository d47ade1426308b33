"""The life of a task as one table: every legal move, and nothing else."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from fanflow.errors import InternalConsistencyError
from fanflow.model.states import States


class Signal(enum.IntEnum):
    """What can happen to a task."""

    LAUNCH = 0
    """Its arguments are there and an executor was chosen."""
    RETURN = 1
    """Its attempt returned, or the futures it joined are done."""
    JOIN = 2
    """Its attempt returned futures to wait for."""
    RETRY = 3
    """Its attempt failed or was lost; another is allowed."""
    AGAIN = 4
    """The next attempt may be launched."""
    FAIL = 5
    """No further attempt is allowed, or none can be made."""
    DEPENDENCY_FAIL = 6
    """All its dependencies ended, at least one badly."""
    RECALL = 7
    """The recorded result of an equal call was found."""
    CANCEL = 8
    """Its future was cancelled."""


_S, _G = States, Signal

TRANSITIONS: Mapping[tuple[States, Signal], States] = MappingProxyType(
    {
        (_S.pending, _G.LAUNCH): _S.launched,
        (_S.pending, _G.FAIL): _S.failed,
        (_S.pending, _G.DEPENDENCY_FAIL): _S.dep_fail,
        (_S.pending, _G.RECALL): _S.memo_done,
        (_S.pending, _G.CANCEL): _S.cancelled,
        (_S.launched, _G.RETURN): _S.exec_done,
        (_S.launched, _G.JOIN): _S.joining,
        (_S.launched, _G.RETRY): _S.fail_retryable,
        (_S.launched, _G.FAIL): _S.failed,
        (_S.launched, _G.CANCEL): _S.cancelled,
        (_S.fail_retryable, _G.AGAIN): _S.pending,
        (_S.fail_retryable, _G.FAIL): _S.failed,
        (_S.fail_retryable, _G.CANCEL): _S.cancelled,
        (_S.joining, _G.RETURN): _S.exec_done,
        (_S.joining, _G.FAIL): _S.failed,
        (_S.joining, _G.CANCEL): _S.cancelled,
    }
)


class InvalidTransitionError(InternalConsistencyError):
    """A task was told something that its state does not allow: a bug, please report it."""

    def __init__(self, task: int, state: States, signal: Signal) -> None:
        self.task, self.state, self.signal = task, state, signal
        super().__init__(f"task {task} is {state.name} and cannot take {signal.name}")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.task, self.state, self.signal))


def _by_signal() -> tuple[dict[States, States], ...]:
    table: tuple[dict[States, States], ...] = tuple({} for _ in Signal)
    for (state, signal), after in TRANSITIONS.items():
        table[signal][state] = after
    return table


MOVES = _by_signal()
"""The same table as `MOVES[signal][state]`, which costs no tuple per look-up."""
