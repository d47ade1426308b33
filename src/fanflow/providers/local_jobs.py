"""The running half of `LocalProvider`: jobs are sessions of processes on this machine."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.providers.errors import SubmitException
from fanflow.providers.job_scripts import (
    check_job_name,
    new_script_path,
    read_exit_status,
    script_text,
    write_exit_status,
    write_script,
)
from fanflow.providers.sessions import end_sessions, kill_sessions
from fanflow.spi.launcher import Launcher
from fanflow.spi.provider import JobRequest

_INTERVAL_S: Final = 0.5
"""Looking costs one system call per job."""

# What this process ignores or handles is not the job's business. SIGHUP stays as it is, for nohup.
_DEFAULT_SIGNALS: Final = (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)


@dataclass(slots=True)
class _Job:
    """One job: its script's process leads a session of its own."""

    pid: int
    script: Path
    status: JobStatus


class LocalJobs:
    """Jobs of one load. Called from one thread; only `cancel` waits.

    Args:
        script_dir: Directory for scripts and their output.
        worker_init: Shell text that each script runs first.
        launcher: Spreads the command.
        grace_s: Seconds that a cancelled job has to end by itself.
    """

    def __init__(self, script_dir: Path, worker_init: str, launcher: Launcher, grace_s: float) -> None:
        self._script_dir = script_dir
        self._worker_init = worker_init
        self._launcher = launcher
        self._grace_s = grace_s
        self._jobs: dict[JobId, _Job] = {}

    @property
    def label(self) -> str:
        return "local"

    @property
    def status_polling_interval(self) -> float:
        return _INTERVAL_S

    def submit(self, request: JobRequest) -> JobId:
        check_job_name(request.name)
        directory = str(self._script_dir)
        launched = self._launcher(request.command, request.tasks_per_node, request.nodes, directory)
        script = new_script_path(self._script_dir, request.name)
        write_script(script, script_text(script, self._worker_init, launched))
        write_exit_status(script, "-")
        pid = _start(request.name, script)
        job = JobId(str(pid))
        count = 1
        while job in self._jobs:  # the system gave a number again
            count += 1
            job = JobId(f"{pid}.{count}")
        status = JobStatus(JobState.RUNNING, stdout_path=f"{script}.out", stderr_path=f"{script}.err")
        self._jobs[job] = _Job(pid, script, status)
        return job

    def status(self, jobs: Sequence[JobId]) -> Mapping[JobId, JobStatus]:
        found: dict[JobId, JobStatus] = {}
        for name in jobs:
            job = self._jobs.get(name)
            if job is not None:
                self._look(job)
                found[name] = job.status
        return found

    def cancel(self, jobs: Sequence[JobId]) -> None:
        self.status(jobs)
        known = [self._jobs[job] for job in jobs if job in self._jobs]
        ending = [job for job in known if not job.status.terminal]
        if not ending:
            return
        end_sessions([job.pid for job in ending], self._grace_s)
        for job in ending:
            self._look(job, is_cancelled=True)

    def _look(self, job: _Job, *, is_cancelled: bool = False) -> None:
        """Brings the status of a job up to date, and collects its process when that has ended."""
        if job.status.terminal:
            return
        try:
            pid, status = os.waitpid(job.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else collected it, or SIGCHLD is ignored in this process
            code = read_exit_status(job.script)
        else:
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            write_exit_status(job.script, str(code if code >= 0 else 128 - code))
        kill_sessions([job.pid])  # what a script leaves behind ends with the job, as on a cluster
        job.status = _end_status(code, job.status, is_cancelled=is_cancelled)


def _end_status(code: int | None, before: JobStatus, *, is_cancelled: bool) -> JobStatus:
    if is_cancelled:
        state, message = JobState.CANCELLED, "it was cancelled"
    elif code is None:
        state, message = JobState.FAILED, "its script is gone, and nobody knows its exit status"
    elif code == 0:
        state, message = JobState.COMPLETED, None
    elif code < 0:
        state, message = JobState.FAILED, f"its script was ended by {_signal_name(-code)}"
    else:
        state, message = JobState.FAILED, f"its script ended with exit status {code}"
    return JobStatus(state, message, code, before.stdout_path, before.stderr_path)


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _start(name: str, script: Path) -> int:
    """Runs the script as the leader of a new session.

    Raises:
        SubmitException: That fails.
    """
    shell = shutil.which("bash") or "/bin/bash"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawn(
            shell,
            [shell, str(script)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{script}.out", flags, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, f"{script}.err", flags, 0o600),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except OSError as error:
        raise SubmitException(name, f"{shell} cannot run {script} ({error})") from error
