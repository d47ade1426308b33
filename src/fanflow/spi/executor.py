"""The seam between the kernel and whatever runs attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from fanflow.ids import AttemptId, ExecutorLabel
from fanflow.model.attempts import AttemptEvent, ExecutorFailed, Launch


class EventSink(Protocol):
    """Takes what executors report. Any thread may call it; it never blocks and never raises."""

    def __call__(self, events: Sequence[AttemptEvent | ExecutorFailed], /) -> None: ...


class Timer(Protocol):
    """A call that is to happen later."""

    def cancel(self) -> None:
        """Forget the call, if it has not happened. Kernel thread only."""
        ...


class Loop(Protocol):
    """The kernel thread's loop. Every method but `wake` is for the kernel thread only."""

    def watch(self, source: object, on_ready: Callable[[], None]) -> None:
        """Call `on_ready` in the kernel thread whenever a descriptor (int) or a zmq socket is readable."""
        ...

    def unwatch(self, source: object) -> None:
        """Stop watching; what is not watched is no error."""
        ...

    def call_at(self, when: float, function: Callable[[], None]) -> Timer:
        """Call once, in the kernel thread, when `now()` has reached `when` (seconds)."""
        ...

    def now(self) -> float:
        """The loop's monotonic time, in seconds."""
        ...

    def wake(self) -> None:
        """Make the loop turn. Any thread."""
        ...


class Executor(Protocol):
    """Runs attempts somewhere. Called by the kernel thread only; nothing but `close` may block."""

    @property
    def label(self) -> ExecutorLabel:
        """Its name in the configuration."""
        ...

    @property
    def kills(self) -> bool:
        """Whether `cancel` ends an attempt that is running."""
        ...

    @property
    def stops_commands(self) -> bool:
        """Whether `cancel` ends a bash app's command that is running. True where `kills` is."""
        ...

    @property
    def capacity(self) -> int:
        """Attempts it can run at one time now; placement compares load by it. At least 1."""
        ...

    def start(self, events: EventSink, loop: Loop) -> None:
        """Begin work; every outcome is reported through `events`, in batches, from any thread."""
        ...

    def submit(self, batch: Sequence[Launch]) -> None:
        """Take ownership of these attempts. Never raises for one of them: reports `Raised`."""
        ...

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop these if possible. An attempt that finishes first wins; an unknown id is no error."""
        ...

    def close(self, *, drain: bool, deadline: float) -> None:
        """End. Idempotent; called from a thread that may block, until `deadline` (seconds) at most.

        Args:
            drain: Finish what was taken. Otherwise what has not started is dropped.
            deadline: Seconds this may take. What still runs afterwards is left behind as daemon
                threads or killed processes.

        Afterwards every attempt taken has had exactly one outcome: what was dropped or left
        behind is reported as `Lost`.
        """
        ...


@runtime_checkable
class Describing(Protocol):
    """An executor that can tell where an attempt is."""

    def describe(self, attempt: AttemptId) -> str:
        """Where it is and what it waits for: the end of a sentence that names the executor.

        Any thread but the kernel's. May wait some seconds for an answer.

        Raises:
            TimeoutError: There was none.
            ExecutorError: The executor has ended meanwhile.
        """
        ...


Strategy = Literal["simple", "htex_auto_scale", "none"]
"""How executors with blocks are scaled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildContext:
    """What the composition root gives an executor's specification when a kernel is loaded."""

    run_dir: Path
    """The run directory, absolute."""
    run_id: str
    """Unique name of the run."""
    strategy: Strategy = "simple"
    """How blocks are scaled."""
    strategy_period: timedelta = timedelta(seconds=5)
    """Between two looks at the load."""
    max_idletime: timedelta = timedelta(seconds=120)
    """How long a block may be idle before it is given back."""
    heartbeat_period: timedelta = timedelta(seconds=5)
    """Between two signs of life of a manager, unless the executor says otherwise."""
    heartbeat_threshold: timedelta = timedelta(seconds=30)
    """Silence after which a manager counts as lost, unless the executor says otherwise."""


@runtime_checkable
class ExecutorSpec(Protocol):
    """The public, settable half of an executor: data until `load`, which builds the running half."""

    label: str

    def build(self, context: BuildContext) -> Executor:
        """Make a running half; called once per load, so that a config can be used twice.

        Raises:
            ConfigurationError: An option is wrong; the message names it.
        """
        ...
