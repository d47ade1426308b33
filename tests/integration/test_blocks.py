"""Blocks through a kernel: obtained, followed, replaced and given back."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import pytest

import fanflow
from fanflow import Config, HighThroughputExecutor, python_app
from fanflow.errors import BadStateException, ConfigurationError
from fanflow.launchers import SimpleLauncher, WrappedLauncher
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_errors import TooManyJobFailuresError, windowed_error_handler
from fanflow.pilot.manager_selector import BlockIdManagerSelector, ManagerSelector
from fanflow.providers import ExecutionProvider, LocalProvider
from tests.leaks import wait_until

PATIENCE_S = 20.0


@contextmanager
def loaded(
    executor: HighThroughputExecutor,
    strategy: Literal["simple", "htex_auto_scale", "none"] = "simple",
    max_idletime: float = 0.5,
) -> Iterator[HighThroughputExecutor]:
    config = Config(executors=[executor], strategy=strategy, strategy_period=0.1, max_idletime=max_idletime)
    with fanflow.load(config):
        yield executor


@python_app
def square(number: int) -> int:
    return number * number


@python_app
def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@python_app
def surroundings() -> tuple[str, str, str | None]:
    return os.getcwd(), sys.argv[0], os.environ.get("FROM_WORKER_INIT")


@python_app
def manager_pid() -> int:
    """Of the manager: the parent of the worker's parent, the zygote."""
    import psutil

    return psutil.Process().parents()[1].pid


def states(executor: HighThroughputExecutor) -> list[JobState]:
    return [status.state for status in executor.status().values()]


def active(executor: HighThroughputExecutor) -> int:
    return sum(not status.terminal for status in executor.status().values())


def test_blocks_follow_the_load_up_and_down_and_up_again() -> None:
    provider = LocalProvider(init_blocks=0, max_blocks=3)
    with loaded(HighThroughputExecutor(max_workers_per_node=1, provider=provider)) as executor:
        most = 0
        futures = [nap(0.2) for _ in range(15)]
        while not all(future.done() for future in futures):
            most = max(most, active(executor))
            wait_until(lambda: False, 0.05)
        assert most == 3
        assert len({future.result() for future in futures}) == 3

        wait_until(lambda: active(executor) == 0, PATIENCE_S)
        assert states(executor) == [JobState.SCALED_IN] * 3
        assert executor.connected_managers() == []

        assert square(3).result(timeout=PATIENCE_S) == 9
        assert len(executor.status()) == 4


def test_a_block_that_is_idle_while_another_works_is_given_back_by_htex_auto_scale() -> None:
    provider = LocalProvider(init_blocks=2, max_blocks=2)
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=provider)
    with loaded(executor, "htex_auto_scale", max_idletime=2.0):
        wait_until(lambda: len(executor.connected_managers()) == 2, PATIENCE_S)
        future = nap(4.0)

        wait_until(lambda: active(executor) == 1, PATIENCE_S)

        assert not future.done()
        assert active(executor) == 1
        assert future.result(timeout=PATIENCE_S) > 0


def test_the_minimum_is_kept_when_a_block_dies() -> None:
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=2)
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=provider, block_error_handler=False)
    with loaded(executor):
        pid = manager_pid().result(timeout=PATIENCE_S)

        os.kill(pid, signal.SIGKILL)

        wait_until(lambda: len(executor.connected_blocks()) == 2, PATIENCE_S)
        assert executor.connected_blocks() == ["0", "1"]
        assert square(4).result(timeout=PATIENCE_S) == 16


def test_what_ran_on_a_block_that_dies_runs_again_on_its_replacement() -> None:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(max_workers_per_node=2, provider=provider, block_error_handler=False)
    with loaded(executor):
        pid = manager_pid().result(timeout=PATIENCE_S)
        futures = [nap(0.3) for _ in range(6)]
        wait_until(lambda: executor.connected_managers()[0]["tasks"] != 0, PATIENCE_S)

        os.kill(pid, signal.SIGKILL)

        assert all(future.result(timeout=PATIENCE_S) for future in futures)
        assert executor.connected_blocks() == ["0", "1"]


def test_an_executor_that_has_worked_does_not_give_up_when_a_manager_crashes() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    with loaded(executor):
        pid = manager_pid().result(timeout=PATIENCE_S)

        os.kill(pid, signal.SIGSEGV)

        assert square(4).result(timeout=PATIENCE_S) == 16
        assert executor.connected_blocks() == ["0", "1"]
        assert executor.status()["0"].state is JobState.FAILED


def test_with_the_strategy_none_there_are_the_first_blocks_and_no_others() -> None:
    provider = LocalProvider(init_blocks=1, max_blocks=5)
    with loaded(HighThroughputExecutor(max_workers_per_node=1, provider=provider), "none") as executor:
        for future in [nap(0.02) for _ in range(40)]:
            future.result(timeout=PATIENCE_S)

        assert states(executor) == [JobState.RUNNING]


def test_blocks_asked_for_by_hand_work_and_giving_them_back_ends_no_task() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    with loaded(executor, "none"):
        assert executor.scale_out_facade(1) == ["1"]
        wait_until(lambda: len(executor.connected_managers()) == 2, PATIENCE_S)
        futures = [nap(1.0), nap(1.0)]
        wait_until(lambda: all(facts["tasks"] for facts in executor.connected_managers()), PATIENCE_S)

        given_back = executor.scale_in_facade(2)

        assert sorted(given_back) == ["0", "1"]
        assert all(future.result(timeout=PATIENCE_S) for future in futures)
        wait_until(lambda: active(executor) == 0, PATIENCE_S)
        assert states(executor) == [JobState.SCALED_IN] * 2


def test_only_blocks_that_are_idle_for_long_are_given_back_if_that_is_wanted() -> None:
    with loaded(HighThroughputExecutor(max_workers_per_node=1), "none") as executor:
        square(1).result(timeout=PATIENCE_S)

        assert executor.scale_in(1, max_idletime=3600.0) == []
        assert states(executor) == [JobState.RUNNING]


@pytest.mark.parametrize("launcher", [SimpleLauncher(), WrappedLauncher("env FROM_PREFIX=1")])
def test_a_script_starts_managers_as_the_provider_and_its_launcher_say(
    launcher: SimpleLauncher | WrappedLauncher, tmp_path: Path
) -> None:
    provider = LocalProvider(worker_init="export FROM_WORKER_INIT='a b'", launcher=launcher)
    with loaded(HighThroughputExecutor(max_workers_per_node=1, provider=provider)) as executor:
        assert surroundings().result(timeout=PATIENCE_S) == (str(tmp_path), sys.argv[0], "a b")
        assert states(executor) == [JobState.RUNNING]
        assert Path(executor.run_dir, "submit_scripts").stat().st_mode & 0o77 == 0
        config = Path(executor.worker_logdir, "block-0", "manager.json")
        assert config.stat().st_mode & 0o777 == 0o600


def test_forked_and_scripted_blocks_have_the_same_surroundings(tmp_path: Path) -> None:
    seen: list[tuple[str, str, str | None]] = []
    for provider in (LocalProvider(), LocalProvider(worker_init="true")):
        with loaded(HighThroughputExecutor(max_workers_per_node=1, provider=provider)):
            seen.append(surroundings().result(timeout=PATIENCE_S))

    assert seen == [(str(tmp_path), sys.argv[0], None)] * 2


def test_two_nodes_on_one_host_are_two_managers() -> None:
    provider = LocalProvider(nodes_per_block=2)
    with loaded(HighThroughputExecutor(max_workers_per_node=1, provider=provider), "none") as executor:
        wait_until(lambda: len(executor.connected_managers()) == 2, PATIENCE_S)

        assert executor.connected_blocks() == ["0"]
        assert executor.plan == "1 block x 2 nodes x 1 worker, " + executor.plan.split(", ")[1]


def test_blocks_that_cannot_work_end_every_task_with_their_output() -> None:
    provider = LocalProvider(worker_init="echo the module is missing >&2; exit 3")
    with loaded(HighThroughputExecutor(max_workers_per_node=1, provider=provider)) as executor:
        with pytest.raises(BadStateException) as caught:
            square(1).result(timeout=PATIENCE_S)

        text = str(caught.value)
        assert "exit code: 3" in text
        assert "the module is missing" in text
        assert executor.bad_state_is_set
        assert isinstance(executor.executor_exception, TooManyJobFailuresError)
        with pytest.raises(BadStateException):
            square(2).result(timeout=PATIENCE_S)


def test_the_windowed_handler_waits_for_several_blocks_to_fail() -> None:
    provider = LocalProvider(worker_init="exit 1", max_blocks=1)
    executor = HighThroughputExecutor(
        max_workers_per_node=1, provider=provider, block_error_handler=windowed_error_handler
    )
    with loaded(executor), pytest.raises(BadStateException, match="3 blocks have failed"):
        square(1).result(timeout=PATIENCE_S)


def test_a_handler_of_the_users_own_decides_and_one_that_raises_harms_nothing() -> None:
    seen: list[dict[str, JobStatus]] = []

    def handler(executor: HighThroughputExecutor, status: dict[str, JobStatus]) -> None:
        seen.append(status)
        if len(status) < 2:
            raise RuntimeError("not yet")
        executor.set_bad_state_and_fail_all(RuntimeError("enough"))

    provider = LocalProvider(worker_init="exit 1")
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=provider, block_error_handler=handler)
    with loaded(executor), pytest.raises(BadStateException, match="enough"):
        square(1).result(timeout=PATIENCE_S)

    assert [list(status) for status in seen] == [["0"], ["0", "1"]]


class Faulty(ExecutionProvider):
    """A provider whose first submissions fail, each in another way."""

    label = "faulty"
    status_polling_interval = 1

    def __init__(self) -> None:
        self.local = LocalProvider()
        self.submissions = 0

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> object:
        self.submissions += 1
        if self.submissions == 1:
            raise OSError("sbatch: command not found")
        if self.submissions == 2:
            return None
        self.local.script_dir = self.script_dir
        return self.local.submit(command, tasks_per_node, job_name)

    def status(self, job_ids: list[object]) -> list[JobStatus]:
        return self.local.status(job_ids)

    def cancel(self, job_ids: list[object]) -> list[bool]:
        return self.local.cancel(job_ids)


def test_jobs_that_cannot_be_had_are_asked_for_again_and_the_reason_is_kept() -> None:
    executor = HighThroughputExecutor(
        max_workers_per_node=1, provider=Faulty(), block_error_handler=False, worker_port_range=(54000, 55000)
    )
    with loaded(executor):
        assert square(5).result(timeout=PATIENCE_S) == 25

        messages = [status.message for status in executor.status().values()]
        assert "sbatch: command not found" in str(messages[0])
        assert "gave no id" in str(messages[1])
        assert executor.connected_blocks() == ["2"]


class LastBlockFirst(ManagerSelector):
    def sort_managers(self, ready_managers, manager_list):  # type: ignore[no-untyped-def]  # as users write it
        return sorted(manager_list, key=lambda id: str(ready_managers[id]["block_id"]))


class Broken(ManagerSelector):
    def sort_managers(self, ready_managers, manager_list):  # type: ignore[no-untyped-def]  # as users write it
        raise ValueError("no idea")


@pytest.mark.parametrize(
    ("selector", "done"),
    [(BlockIdManagerSelector(), {"0": 9, "1": 0}), (LastBlockFirst(), {"0": 0, "1": 9}), (Broken(), None)],
)
def test_a_selector_says_which_managers_get_tasks_first(
    selector: ManagerSelector, done: dict[str, int] | None
) -> None:
    provider = LocalProvider(init_blocks=2, max_blocks=2)
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=provider, manager_selector=selector)
    with loaded(executor, "none"):
        wait_until(lambda: len(executor.connected_managers()) == 2, PATIENCE_S)

        for number in range(9):
            assert square(number).result(timeout=PATIENCE_S) == number * number

        counted = {str(facts["block_id"]): facts["tasks_done"] for facts in executor.connected_managers()}
        assert counted == done or done is None
        assert sum(counted.values()) == 9  # type: ignore[arg-type]  # they are numbers


def test_what_runs_is_shown() -> None:
    with loaded(HighThroughputExecutor(max_workers_per_node=2)) as executor:
        future = nap(0.5)
        wait_until(lambda: executor.outstanding() == 1, PATIENCE_S)
        future.result(timeout=PATIENCE_S)
        wait_until(lambda: executor.outstanding() == 0, PATIENCE_S)

        (facts,) = executor.connected_managers()
        packages = executor.connected_managers_packages()

        assert facts["worker_count"] == 2
        assert facts["active"] is True
        assert packages[str(facts["manager"])]["msgspec"]
        assert executor.workers_per_node == 2


def test_the_plan_of_the_blocks_is_printed_at_the_start(capfd: pytest.CaptureFixture[str]) -> None:
    provider = LocalProvider(init_blocks=2, max_blocks=2)
    executor = HighThroughputExecutor(label="pool", max_workers_per_node=1, provider=provider)
    with loaded(executor):
        printed = capfd.readouterr().err

    assert printed.startswith("fanflow: pool: 2 blocks x 1 node x 1 worker, ")


def test_a_launch_command_of_an_existing_program_works_over_encrypted_tcp() -> None:
    launch_cmd = (
        "nice -n 5 process_worker_pool.py {debug} {max_workers_per_node} -a {addresses} "
        "-p {prefetch_capacity} -c {cores_per_worker} -m {mem_per_worker} --poll {poll_period} "
        "--port={worker_port} --cert_dir {cert_dir} --logdir={logdir} --block_id={block_id}"
    )
    executor = HighThroughputExecutor(max_workers_per_node=1, launch_cmd=launch_cmd, address="127.0.0.1")
    with loaded(executor):
        assert nap(0.0).result(timeout=PATIENCE_S) > 0
        ports = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        assert any(54000 <= one.laddr.port <= 55000 and one.laddr.ip == "127.0.0.1" for one in ports)


def test_a_port_that_is_asked_for_is_used_and_one_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            fanflow.load(Config(executors=[HighThroughputExecutor(worker_port=port)]))

    with loaded(HighThroughputExecutor(max_workers_per_node=1, worker_port=port)):
        listening = {one.laddr for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
        assert ("127.0.0.1", port) in listening
        assert square(6).result(timeout=PATIENCE_S) == 36
