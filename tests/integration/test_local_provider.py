"""Blocks as real processes of this machine."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fanflow.ids import JobId
from fanflow.launchers import SimpleLauncher
from fanflow.launchers.errors import BadLauncher
from fanflow.model.jobs import JobState, JobStatus
from fanflow.providers import LocalProvider
from fanflow.providers.errors import ExecutionProviderException, ScriptPathError, SubmitException
from fanflow.providers.local_jobs import LocalJobs
from fanflow.spi.provider import JobRequest
from tests.leaks import wait_until

FOREVER = "while :; do sleep 0.05; done"


class Stand:
    """Jobs in a directory of their own; all of them are cancelled at the end."""

    def __init__(self, directory: Path) -> None:
        self.scripts = directory / "submit_scripts"
        self.jobs = self.make()
        self.made: list[JobId] = []

    def make(self, worker_init: str = "", grace_s: float = 0.3) -> LocalJobs:
        self.jobs = LocalJobs(self.scripts, worker_init, SimpleLauncher(), grace_s)
        return self.jobs

    def submit(self, command: str, name: str = "job") -> JobId:
        job = self.jobs.submit(JobRequest(command=command, name=name))
        self.made.append(job)
        return job

    def status(self, job: JobId) -> JobStatus:
        return self.jobs.status([job])[job]

    def end_of(self, job: JobId) -> JobStatus:
        wait_until(lambda: self.status(job).terminal, 10)
        return self.status(job)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    stand.jobs.cancel(stand.made)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(path: Path, count: int) -> list[int]:
    def found() -> list[int]:
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    wait_until(lambda: len(found()) == count, 10)
    return found()


def test_a_job_runs_in_a_session_of_its_own_and_completes(stand: Stand) -> None:
    job = stand.submit("ps -o sid= -p $$; echo $$; echo oops >&2")

    status = stand.end_of(job)

    assert (status.state, status.exit_code, status.message) == (JobState.COMPLETED, 0, None)
    assert (status.stdout or "").split() == [job, job]
    assert status.stderr == "oops\n"


def test_a_running_job_is_running(stand: Stand) -> None:
    job = stand.submit(FOREVER)

    assert stand.status(job).state is JobState.RUNNING


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("exit 7", 7, "its script ended with exit status 7"),
        ("kill -9 $$", -9, "its script was ended by SIGKILL"),
    ],
)
def test_a_job_that_fails_keeps_its_exit_status(stand: Stand, command: str, code: int, said: str) -> None:
    status = stand.end_of(stand.submit(command))

    assert (status.state, status.exit_code, status.message) == (JobState.FAILED, code, said)
    assert (stand.scripts / "job.sh.ec").read_text() == f"{code % 256 if code > 0 else 128 - code}\n"


def test_the_script_can_be_read_and_run_by_its_owner_alone(stand: Stand) -> None:
    stand.end_of(stand.submit("true"))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in stand.scripts.iterdir()}

    assert stat.S_IMODE(stand.scripts.stat().st_mode) == 0o700
    assert (modes["job.sh"], modes["job.sh.out"], modes["job.sh.err"]) == (0o700, 0o600, 0o600)


def test_the_users_text_runs_before_the_command(stand: Stand) -> None:
    stand.make(worker_init="export SITE='a b'")

    status = stand.end_of(stand.submit('echo "$SITE $JOBNAME"', "parsl.x.block-0"))

    assert status.stdout == "a b parsl.x.block-0\n"


def test_a_name_that_is_taken_gets_a_number(stand: Stand) -> None:
    first, second = (stand.submit('echo "$JOBNAME"', "same") for _ in range(2))

    assert (stand.end_of(first).stdout, stand.end_of(second).stdout) == ("same\n", "same.1\n")


def test_a_directory_with_quotes_and_blanks_does_no_harm(tmp_path: Path) -> None:
    stand = Stand(tmp_path / 'it\'s $(touch canary) "here"')

    status = stand.end_of(stand.submit("echo fine"))

    assert status.stdout == "fine\n"
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["", "../up", "a b", "a;b", "a\nb", "$(x)", "-n", "é", "x" * 201])
def test_a_name_that_means_something_to_a_shell_is_refused(stand: Stand, name: str) -> None:
    with pytest.raises(SubmitException, match="a job name has"):
        stand.submit("true", name)

    assert not stand.scripts.exists()


def test_cancel_ends_every_process_of_a_job(stand: Stand, tmp_path: Path) -> None:
    job = stand.submit(f"(echo $BASHPID >>pids; {FOREVER}) & echo $$ >>pids; {FOREVER}")
    pids = pids_in(tmp_path / "pids", 2)

    stand.jobs.cancel([job])

    assert [pid for pid in pids if runs(pid)] == []
    assert (stand.status(job).state, stand.status(job).message) == (JobState.CANCELLED, "it was cancelled")


def test_cancel_gives_a_job_the_time_to_end_by_itself(stand: Stand, tmp_path: Path) -> None:
    stand.make(grace_s=10)
    job = stand.submit(f"trap 'sleep 0.2; echo bye; exit 0' TERM; echo $$ >pids; {FOREVER}")
    pids_in(tmp_path / "pids", 1)

    stand.jobs.cancel([job])

    assert stand.status(job).stdout == "bye\n"


def test_cancel_waits_for_what_outlives_the_script(stand: Stand, tmp_path: Path) -> None:
    stand.make(grace_s=10)
    inner = f"trap 'sleep 0.3; echo bye; exit 0' TERM; echo $$ >pids; {FOREVER}"
    job = stand.submit(f'bash -c "{inner}"; true'.replace("$$", r"\$\$"))
    pids_in(tmp_path / "pids", 1)

    stand.jobs.cancel([job])

    assert stand.status(job).stdout == "bye\n"


def test_cancel_kills_what_does_not_end_by_itself(stand: Stand, tmp_path: Path) -> None:
    job = stand.submit(f"trap '' TERM; echo $$ >pids; {FOREVER}")
    (pid,) = pids_in(tmp_path / "pids", 1)

    stand.jobs.cancel([job])

    assert not runs(pid)
    assert stand.status(job).state is JobState.CANCELLED


def test_cancel_of_a_job_that_has_ended_changes_nothing(stand: Stand) -> None:
    job = stand.submit("exit 3")
    before = stand.end_of(job)

    stand.jobs.cancel([job, JobId("999999999")])

    assert stand.status(job) == before


def test_a_job_ends_with_its_script_even_if_that_is_killed(stand: Stand, tmp_path: Path) -> None:
    job = stand.submit(f"(echo $BASHPID >>pids; {FOREVER}) & echo $$ >>pids; wait")
    pids = pids_in(tmp_path / "pids", 2)

    os.kill(int(job), signal.SIGKILL)
    status = stand.end_of(job)

    assert status.state is JobState.FAILED
    assert [pid for pid in pids if runs(pid)] == []


@pytest.mark.parametrize(
    ("command", "state"), [("exit 0", JobState.COMPLETED), ("kill -9 $$", JobState.FAILED)]
)
def test_a_job_that_somebody_else_waited_for_is_no_success_unless_it_says_so(
    stand: Stand, command: str, state: JobState
) -> None:
    job = stand.submit(command)
    os.waitpid(int(job), 0)

    status = stand.status(job)

    assert status.state is state


def test_jobs_of_somebody_else_are_left_out(stand: Stand) -> None:
    assert stand.jobs.status([JobId("1"), JobId(str(os.getpid()))]) == {}


def test_many_jobs_are_asked_for_at_once(stand: Stand) -> None:
    jobs = [stand.submit(f"exit {number}", f"job-{number}") for number in range(5)]
    for job in jobs:
        stand.end_of(job)

    found = stand.jobs.status(jobs)

    assert [found[job].exit_code for job in jobs] == [0, 1, 2, 3, 4]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "submit_scripts").write_text("no directory")

    with pytest.raises(ScriptPathError, match="submit_scripts"):
        Stand(tmp_path).submit("true")


def test_a_machine_without_bash_is_an_error(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/not/there/bash")

    with pytest.raises(SubmitException, match="/not/there/bash"):
        stand.submit("true")


def test_the_methods_of_the_public_contract_run_a_job(tmp_path: Path) -> None:
    provider = LocalProvider(nodes_per_block=2)
    provider.script_dir = str(tmp_path)

    job = provider.submit("echo copy", 1, "mine")
    wait_until(lambda: provider.status([job])[0].terminal, 10)
    (status,) = provider.status([job])

    assert (status.state, status.stdout) == (JobState.COMPLETED, "copy\ncopy\n")
    assert provider.resources[job]["status"] == status
    assert provider.cancel([job]) == [True]


def test_the_methods_of_the_public_contract_end_a_job(tmp_path: Path) -> None:
    provider = LocalProvider()
    provider.script_dir = str(tmp_path)
    job = provider.submit(FOREVER, 1)

    assert provider.cancel([job, "1"]) == [True, False]

    assert [status.state for status in provider.status([job, "1"])] == [JobState.CANCELLED, JobState.UNKNOWN]


def test_without_a_directory_for_scripts_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ScriptPathError, match="set it to a directory"):
        LocalProvider().submit("true", 1)


def test_errors_of_providers_have_one_root() -> None:
    for kind in (SubmitException, ScriptPathError, BadLauncher):
        assert issubclass(kind, ExecutionProviderException)
