"""Every error that fanflow raises by name.

```text
FanflowError (the alias for existing programs calls it ParslError)
├── ConfigurationError ── OptionTypeError (also a TypeError)
├── OptionalModuleMissing · InternalConsistencyError · NoDataFlowKernelError
├── NestedAppError · WaitInCallbackError · DeadlockError
├── AppBadFormatting · MissingOutputs · MissingInputsError · BadStdStreamFile
├── AppException ── BashExitFailure · AppTimeout · BashAppNoReturn · TaskExitedError · RemoteError
├── DataFlowException ── PropagatedException ── DependencyError · JoinError
├── PicklingError
└── ExecutorError ── BadStateException · ScalingFailed · UnsupportedFeatureError ·
                   InvalidResourceSpecification
```

Names, bases, constructors and first sentences of the older classes are a contract with existing
programs; further facts are attributes and notes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from typing import ClassVar

_MOST_LINKS = 20
"""Links of a failure path that a message shows before it elides the middle."""


def _rebuild(cls: type[FanflowError], args: tuple[object, ...], state: dict[str, object]) -> FanflowError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class FanflowError(Exception):
    """Root of all fanflow errors. Every subclass pickles, whatever its constructor takes."""

    transient: ClassVar[bool] = False
    """Whether doing the same thing again may help."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


class ConfigurationError(FanflowError):
    """A configuration cannot be used; the message names the option, the value and the fix."""


class OptionTypeError(ConfigurationError, TypeError):
    """An option was given a value of a wrong type.

    Args:
        owner: What takes the option, such as `Config` or `python_app`.
        option: Name of the option.
        value: What was given.
        expected: What it takes, in words.
    """

    def __init__(self, owner: str, option: str, value: object, expected: str) -> None:
        self.owner, self.option, self.expected = owner, option, expected
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{owner}({option}={shown}): {option} takes {expected}, not {type(value).__name__}")


class OptionalModuleMissing(FanflowError):  # noqa: N818 - contract name
    """A part needs packages that are not installed."""

    def __init__(self, module_names: Sequence[str], reason: str) -> None:
        self.module_names, self.reason = list(module_names), reason
        super().__init__(
            f"The functionality requested requires optional modules {self.module_names}; {reason}"
        )


class InternalConsistencyError(FanflowError):
    """An invariant of fanflow itself does not hold: a bug, please report it."""


class NoDataFlowKernelError(FanflowError):
    """There is no kernel for this call, or it has been cleaned up."""


class NestedAppError(FanflowError):
    """An app was called by the body of a running task, where no kernel is."""

    def __init__(self, app_name: str) -> None:
        self.app_name = app_name
        super().__init__(
            f"app {app_name!r} was called inside a running task, which cannot start tasks; "
            f"make the calling function a @join_app and return the future, or call plain functions"
        )


class WaitInCallbackError(FanflowError):
    """A callback in the kernel thread waited for a future that only this thread can resolve."""

    def __init__(self, waited_for: str) -> None:
        self.waited_for = waited_for
        super().__init__(
            f"waiting for {waited_for} here would block for ever: done-callbacks run in the kernel thread, "
            f"which resolves futures; add a callback to that future, or pass it to another app"
        )


class DeadlockError(FanflowError):
    """Every worker thread of an executor waits for tasks that need a free worker thread."""

    def __init__(self, executor: str, waits: Sequence[tuple[str, str]]) -> None:
        self.executor, self.waits = executor, list(waits)
        option = "internal_tasks_max_threads" if executor.startswith("_") else "max_threads"
        listed = "; ".join(f"{waiter} waits for {awaited}" for waiter, awaited in self.waits[:5])
        more = f" and {len(self.waits) - 5} more" if len(self.waits) > 5 else ""
        super().__init__(
            f"all workers of executor {executor!r} wait for tasks that need a free worker: {listed}{more}; "
            f"pass the future as an argument, use a @join_app, or raise {option}"
        )


class AppException(FanflowError):  # noqa: N818 - contract name
    """An app failed."""


class BashExitFailure(AppException):
    """A bash app's command ended with an exit status other than 0.

    Attributes:
        app_name: Name of the app.
        exitcode: Exit status; 128 + n stands for signal n, as in the shell.
        stderr_tail: The last lines of standard error, as far as they could be read.
    """

    def __init__(self, app_name: str, exitcode: int, *, stderr_tail: str = "") -> None:
        self.app_name, self.exitcode, self.stderr_tail = app_name, exitcode, stderr_tail
        super().__init__(app_name, exitcode)
        if stderr_tail:
            self.add_note(f"standard error ended with:\n{stderr_tail}")

    def __str__(self) -> str:
        return f"bash_app {self.app_name} failed with unix exit code {self.exitcode}"


class AppTimeout(AppException):
    """A task ran longer than its walltime."""


class BashAppNoReturn(AppException):
    """A bash app's body did not return a command."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TaskExitedError(AppException):
    """A task's code tried to end the process (`sys.exit`, `KeyboardInterrupt`)."""

    def __init__(self, exception: str) -> None:
        self.exception = exception
        super().__init__(
            f"the task raised {exception}, which would end the whole process; raise an Exception, or return"
        )


class RemoteError(AppException):
    """Stands for an exception that could not be sent back as itself.

    Attributes:
        type_name: Dotted name of the original class.
        message: Its text.
        traceback_text: The remote traceback.
    """

    def __init__(self, type_name: str, message: str, traceback_text: str = "") -> None:
        self.type_name, self.message, self.traceback_text = type_name, message, traceback_text
        super().__init__(f"{type_name}: {message} (the original exception could not be sent back as itself)")
        if traceback_text:
            self.add_note(f"remote traceback:\n{traceback_text}")


class AppBadFormatting(FanflowError):  # noqa: N818 - contract name
    """A bash app's body failed while it formatted the command."""


class MissingOutputs(FanflowError):  # noqa: N818 - contract name
    """A task ended well but files it promised are not there."""

    def __init__(self, reason: str, outputs: Iterable[object]) -> None:
        self.reason, self.outputs = reason, list(outputs)
        super().__init__(reason, self.outputs)

    def __str__(self) -> str:
        return f"Missing Outputs: {self.outputs}, Reason: {self.reason}"


def _place() -> tuple[str, str]:
    try:
        directory = os.getcwd()
    except OSError:
        directory = "(deleted)"
    return socket.gethostname(), directory


class MissingInputsError(FanflowError):
    """Files that a task needs are not where the task runs."""

    transient = True

    def __init__(self, app_name: str, paths: Sequence[str], what: str = "input file") -> None:
        self.app_name, self.paths = app_name, list(paths)
        self.host, self.directory = _place()
        if len(self.paths) > 1:
            what = what[:-1] + "ies" if what.endswith("y") else what + "s"
        super().__init__(
            f"{what} {', '.join(map(repr, self.paths))} of app {app_name!r} not found on host "
            f"{self.host} (working directory {self.directory}); create it first, or give an absolute path "
            f"that this host can see"
        )


class BadStdStreamFile(FanflowError):  # noqa: N818 - contract name
    """A task's stdout or stderr file cannot be opened."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"Bad Stream File: {self.reason}"


class DataFlowException(FanflowError):  # noqa: N818 - contract name
    """The dataflow between tasks went wrong."""


class PropagatedException(DataFlowException):
    """A task did not run because of failures elsewhere.

    The text is made on demand, so that a chain of 100,000 failures costs nothing until somebody
    looks; `__cause__` is the first root cause itself, never a chain.

    Args:
        dependent_exceptions_tids: Pairs of (exception, description) of what failed.
        task_id: The task that did not run.
        failure_description: `Dependency failure` or `Join failure`.
    """

    def __init__(
        self,
        dependent_exceptions_tids: Sequence[tuple[BaseException, str]],
        task_id: int,
        *,
        failure_description: str,
    ) -> None:
        self.dependent_exceptions_tids = list(dependent_exceptions_tids)
        self.task_id = task_id
        self._failure_description = failure_description
        super().__init__(self.dependent_exceptions_tids, task_id)
        first = self.dependent_exceptions_tids[0][0]
        if isinstance(first, PropagatedException):
            self.depth: int = first.depth + 1
            self.__cause__: BaseException | None = first.__cause__
            self._root_description: str = first._root_description
        else:
            self.depth = 1
            self.__cause__ = first
            self._root_description = self._describe()

    def _describe(self) -> str:
        others = " (+ others)" if len(self.dependent_exceptions_tids) > 1 else ""
        return self.dependent_exceptions_tids[0][1] + others

    def path(self, most: int = _MOST_LINKS) -> list[str]:
        """Descriptions from this failure's direct cause to the root, the middle elided beyond `most`."""
        links: list[str] = []
        step: BaseException = self
        while isinstance(step, PropagatedException) and len(links) < most:
            links.append(step._describe())
            step = step.dependent_exceptions_tids[0][0]
        if isinstance(step, PropagatedException):
            links[-1:] = [f"({self.depth - most} more)", self._root_description]
        return links

    def __str__(self) -> str:
        return (
            f"{self._failure_description} for task {self.task_id}. "
            f"The representative cause is via {' <- '.join(self.path())}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Without what refers to the chain, which may be 100,000 links deep.
        state = {name: value for name, value in self.__dict__.items() if name not in _CHAIN}
        return (_rebuild_propagated, (type(self), self._flat(), self.task_id, state))

    def _flat(self) -> list[tuple[BaseException, str]]:
        """What is sent when this error is pickled: the root cause and the path as text, no chain."""
        root = self.__cause__ or self.dependent_exceptions_tids[0][0]
        return [(root, " <- ".join(self.path()))]


_CHAIN = frozenset({"dependent_exceptions_tids", "depth", "_root_description"})


def _rebuild_propagated(
    cls: type[PropagatedException],
    causes: list[tuple[BaseException, str]],
    task_id: int,
    state: dict[str, object],
) -> PropagatedException:
    error = cls.__new__(cls, causes, task_id)
    PropagatedException.__init__(
        error, causes, task_id, failure_description=str(state["_failure_description"])
    )
    error.__dict__.update(state)
    return error


class DependencyError(PropagatedException):
    """A task did not run because a task it depends on failed."""

    def __init__(self, dependent_exceptions_tids: Sequence[tuple[BaseException, str]], task_id: int) -> None:
        super().__init__(dependent_exceptions_tids, task_id, failure_description="Dependency failure")


class JoinError(PropagatedException):
    """A join app failed because a task it joined failed."""

    def __init__(self, dependent_exceptions_tids: Sequence[tuple[BaseException, str]], task_id: int) -> None:
        super().__init__(dependent_exceptions_tids, task_id, failure_description="Join failure")


class PicklingError(FanflowError):
    """An argument, a function or a result cannot be pickled, so it cannot leave this process.

    Attributes:
        path: Where the object is, such as `args[0].handle`.
        reason: What the pickler said.
    """

    def __init__(self, what: str, path: str, reason: str) -> None:
        self.what, self.path, self.reason = what, path, reason
        super().__init__(
            f"{what} cannot be sent to another process: {path} cannot be pickled ({reason}); "
            f"create it inside the task, or pass what it is made from"
        )


class ExecutorError(FanflowError):
    """An executor cannot do what was asked."""

    def __init__(self, executor: object, reason: str) -> None:
        self.executor, self.reason = executor, reason
        super().__init__(executor, reason)

    def __str__(self) -> str:
        label = getattr(self.executor, "label", self.executor)
        return f"Executor {label} failed due to: {self.reason}"


class BadStateException(ExecutorError):  # noqa: N818 - contract name
    """An executor stopped working; all its tasks end with this."""

    def __init__(self, executor: object, exception: BaseException) -> None:
        self.exception = exception
        super().__init__(executor, str(exception))


class ScalingFailed(ExecutorError):  # noqa: N818 - contract name
    """An executor could not obtain a block."""


class UnsupportedFeatureError(ExecutorError):
    """An executor does not have a feature that a call needs."""

    def __init__(self, feature: str, current_executor: str, target_executor: str) -> None:
        self.feature, self.current_executor, self.target_executor = feature, current_executor, target_executor
        super().__init__(
            current_executor,
            f"The {feature} feature is unsupported in {current_executor}; use {target_executor}",
        )


class InvalidResourceSpecification(ExecutorError):  # noqa: N818 - contract name
    """A call asked for resources in a way that its executor does not take."""

    def __init__(self, invalid_keys: Iterable[str], message: str = "") -> None:
        self.invalid_keys = set(invalid_keys)
        self.message = message
        FanflowError.__init__(self, self.invalid_keys, message)

    def __str__(self) -> str:
        return f"Invalid Resource Specification Supplied: {self.invalid_keys}. {self.message}"
