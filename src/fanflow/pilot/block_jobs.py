"""The jobs of an executor's blocks: obtained from a provider, or forked on this host. Kernel thread only."""

from __future__ import annotations

import logging
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.chores import Chores
from fanflow.pilot.fork_server_link import ForkServerLink
from fanflow.spi.provider import JobRequest, Provider

_log = logging.getLogger("fanflow.pilot")

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._+-]")
_LABEL_CHARACTERS: Final = 150

_ENDED_BY_US: Final = frozenset({-signal.SIGTERM, -signal.SIGKILL})

OnSubmitted = Callable[[JobId | Exception], None]
OnStatus = Callable[[Mapping[JobId, JobStatus] | Exception], None]


class BlockJobs(Protocol):
    """Where the jobs of blocks come from. Nothing blocks; answers come later, in the kernel thread."""

    @property
    def polling_interval(self) -> float:
        """Seconds between two looks at the jobs."""
        ...

    def submit(self, request: JobRequest, configs: Sequence[bytes], on_submitted: OnSubmitted) -> None:
        """Obtain a job.

        Args:
            request: What it is to run.
            configs: The same, as configurations of managers to fork.
            on_submitted: Takes the job's id, or why there is none.
        """
        ...

    def poll(self, jobs: Sequence[JobId], on_status: OnStatus) -> None:
        """Look at these jobs."""
        ...

    def cancel(self, jobs: Sequence[JobId]) -> None:
        """End these jobs."""
        ...

    def close(self, jobs: Sequence[JobId]) -> None:
        """End these jobs, and all that are being submitted. Nothing is submitted afterwards."""
        ...


class ProviderJobs:
    """Jobs of a provider, which may block.

    Args:
        provider: The running half.
        chores: Where it is asked, one thing after the other.
    """

    def __init__(self, provider: Provider, chores: Chores) -> None:
        self._provider, self._chores = provider, chores
        self._closed = threading.Event()
        self._has_submitted = False
        self._unheard: set[JobId] = set()
        """Obtained, but the kernel thread has not heard of them, and never will once it is closed."""

    @property
    def polling_interval(self) -> float:
        return self._provider.status_polling_interval

    def submit(self, request: JobRequest, configs: Sequence[bytes], on_submitted: OnSubmitted) -> None:
        def submit() -> JobId:
            if self._closed.is_set():
                raise CancelledError(f"job {request.name} is not wanted any more")
            job = self._provider.submit(request)
            self._unheard.add(job)
            return job

        def hear(answer: JobId | Exception) -> None:
            if not isinstance(answer, Exception):
                self._unheard.discard(answer)
            on_submitted(answer)

        self._has_submitted = True
        self._chores.do(submit, hear)

    def poll(self, jobs: Sequence[JobId], on_status: OnStatus) -> None:
        def status() -> Mapping[JobId, JobStatus]:
            return {} if self._closed.is_set() else self._provider.status(jobs)

        self._chores.do(status, on_status)

    def cancel(self, jobs: Sequence[JobId]) -> None:
        self._chores.do(lambda: self._cancel(jobs), lambda answer: None)

    def _cancel(self, jobs: Sequence[JobId]) -> None:
        try:
            self._provider.cancel(jobs)
        except Exception as error:  # noqa: BLE001 - anybody's provider; the next look shows what still runs
            _log.error("jobs %s could not be cancelled: %s", ", ".join(jobs), error)

    def close(self, jobs: Sequence[JobId]) -> None:
        self._closed.set()
        if self._has_submitted:
            # This comes after every submission, in the same thread, so that none is overlooked.
            self._chores.do(lambda: self._cancel([*jobs, *self._unheard]), lambda answer: None)


class ForkedJobs:
    """Managers forked on this host: the fast way, where a provider would do the same with more steps.

    Args:
        server: Forks.
        script_dir: For what a job writes on its standard streams.
        on_end: Called when a job has ended.
    """

    polling_interval = 5.0  # costs nothing; `on_end` says ends at once, so this is for managers that hang

    def __init__(self, server: ForkServerLink, script_dir: Path, on_end: Callable[[], None]) -> None:
        self._server, self._script_dir, self._on_end = server, script_dir, on_end
        self._running: dict[JobId, dict[int, int]] = {}
        """Job -> its processes that run, each with the number that the fork server knows it by."""
        self._cancelled: set[JobId] = set()
        self._statuses: dict[JobId, JobStatus] = {}

    def submit(self, request: JobRequest, configs: Sequence[bytes], on_submitted: OnSubmitted) -> None:
        job = JobId(request.name)
        try:
            output = self._output_of(request.name)
        except OSError as error:
            on_submitted(error)
            return
        numbers = self._running[job] = dict[int, int]()
        self._statuses[job] = JobStatus(JobState.RUNNING, stdout_path=output, stderr_path=output)
        for place, config in enumerate(configs):
            ended = partial(self._ended, job, place)
            numbers[place] = self._server.start("fanflow.pilot.manager", config, ended, output=output)
        on_submitted(job)

    def _output_of(self, name: str) -> str:
        self._script_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(self._script_dir / f"{name}.out")

    def _ended(self, job: JobId, place: int, status: int) -> None:
        running = self._running[job]
        running.pop(place, None)
        before = self._statuses[job]
        failed = before.exit_code or status
        if running:
            if status:
                self._note(job, before.state, "one of its managers has failed", status)
            return
        if job in self._cancelled or status in _ENDED_BY_US:
            self._note(job, JobState.CANCELLED, "ended from outside", failed)
        elif failed:
            self._note(job, JobState.FAILED, f"its manager ended with status {failed}", failed)
        else:
            self._note(job, JobState.COMPLETED, None, 0)
        del self._running[job]
        self._on_end()

    def _note(self, job: JobId, state: JobState, message: str | None, code: int) -> None:
        path = self._statuses[job].stdout_path
        self._statuses[job] = JobStatus(state, message, code, path, path)

    def poll(self, jobs: Sequence[JobId], on_status: OnStatus) -> None:
        on_status({job: self._statuses[job] for job in jobs if job in self._statuses})

    def cancel(self, jobs: Sequence[JobId]) -> None:
        for job in jobs:
            # What is cancelled again has not heard the first signal: it hangs, or is stopped.
            deadly = signal.SIGKILL if job in self._cancelled else signal.SIGTERM
            self._cancelled.add(job)
            for number in self._running.get(job, {}).values():
                self._server.signal(number, deadly)

    def close(self, jobs: Sequence[JobId]) -> None:
        """Nothing to do: the fork server kills what is left when its client hangs up."""


def job_name(label: str, block: str) -> str:
    """The job's name of a block, as users see it in their scheduler's lists.

    What means something to shells or schedulers becomes `_`.
    """
    return f"parsl.{_NOT_IN_NAMES.sub('_', label)[:_LABEL_CHARACTERS]}.block-{block}"
