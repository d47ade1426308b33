"""What goes wrong between fanflow and whatever runs batch jobs; names and forms of the public contract."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from fanflow.launchers.errors import ExecutionProviderException

__all__ = [
    "ExecutionProviderException",
    "ScaleOutFailed",
    "SchedulerMissingArgs",
    "ScriptPathError",
    "SubmitException",
]

_TAIL = 2000
"""Characters of a command's output that a message shows."""


def _name_of(provider: object) -> str:
    label: object = getattr(provider, "label", provider)
    return str(label)


class ScaleOutFailed(ExecutionProviderException):
    """A provider was asked for a job, and there is none."""

    def __init__(self, provider: object, reason: str) -> None:
        self.provider, self.reason = _name_of(provider), reason
        super().__init__(self.provider, reason)

    def __str__(self) -> str:
        return f"Unable to scale out {self.provider} provider: {self.reason}"


class SchedulerMissingArgs(ExecutionProviderException):
    """A provider lacks options that its site needs."""

    def __init__(self, missing_keywords: Iterable[str], sitename: str) -> None:
        self.missing_keywords, self.sitename = list(missing_keywords), sitename
        super().__init__(self.missing_keywords, sitename)

    def __str__(self) -> str:
        return f"SchedulerMissingArgs: Pool {self.sitename} requires keywords {self.missing_keywords}"


class ScriptPathError(ExecutionProviderException):
    """A job script cannot be written."""

    def __init__(self, script_path: str | None, reason: object) -> None:
        self.script_path, self.reason = script_path, str(reason)
        super().__init__(script_path, self.reason)

    def __str__(self) -> str:
        return f"Unable to write submit script:{self.script_path} Reason:{self.reason}"


class SubmitException(ExecutionProviderException):
    """A job was refused where it was submitted.

    Attributes:
        job_name: The job.
        message: What happened.
        stdout: What the submitting command printed.
        stderr: The same for its standard error.
        retcode: Its exit status.
    """

    def __init__(
        self,
        job_name: str,
        message: str,
        stdout: str | None = None,
        stderr: str | None = None,
        retcode: int | None = None,
    ) -> None:
        self.job_name, self.message = job_name, message
        self.stdout, self.stderr, self.retcode = stdout, stderr, retcode
        super().__init__(job_name, message, stdout, stderr, retcode)

    @property
    def task_name(self) -> str:
        """Deprecated name of `job_name`."""
        warnings.warn("task_name is deprecated; use job_name", DeprecationWarning, stacklevel=2)
        return self.job_name

    def __str__(self) -> str:
        text = f"Cannot launch job {self.job_name}: {self.message}"
        if self.retcode is not None:
            text += f"; exit status {self.retcode}"
        for name, said in (("stdout", self.stdout), ("stderr", self.stderr)):
            if said:
                text += f"; {name}: {said.strip()[-_TAIL:]}"
        return text
