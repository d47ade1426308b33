"""A real manager with real workers; the test plays the interchange."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fanflow.pilot import wire
from tests.integration.manager_stand import DEADLINE, ManagerStand, manager
from tests.integration.manager_tasks import (
    call_c,
    crash,
    double,
    exit_hard,
    fork_and_return,
    hold,
    kill_self,
    leave_child_behind,
    make,
    measure,
    nothing,
    pause,
    pause_and_tell,
    process_id,
    read_for_ever,
    say,
    say_much,
    spin,
    start_deaf_children,
    variables,
    write_everywhere,
)
from tests.leaks import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="managers need Linux")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ManagerStand]:
    with manager(tmp_path) as running:
        yield running


def lost(outcome: object) -> wire.Loss:
    assert isinstance(outcome, wire.Loss), outcome
    return outcome


def test_ten_thousand_tasks_end_with_their_own_results(stand: ManagerStand) -> None:
    numbers = stand.submit(double, [(number,) for number in range(10_000)])

    assert stand.results(numbers) == [2 * number for number in range(10_000)]
    assert stand.repeated == 0


def test_all_workers_take_part(stand: ManagerStand) -> None:
    numbers = stand.submit(pause, [(0.01,)] * 20)
    stand.results(numbers)

    places = stand.results(stand.submit(process_id, [()] * 200))

    assert len(set(places)) == 2


def test_an_exception_comes_back_as_itself(stand: ManagerStand) -> None:
    outcome = stand.run(int, "seven")

    assert isinstance(outcome, ValueError)
    assert "seven" in str(outcome)


@pytest.mark.parametrize(
    ("function", "cause", "detail"),
    [
        (crash, "signal", "SIGSEGV"),
        (os.abort, "signal", "SIGABRT"),
        (kill_self, "signal", "SIGKILL"),
        (exit_hard, "exit", "exit status 3"),
    ],
)
def test_a_task_that_ends_its_worker_is_named_and_others_go_on(
    stand: ManagerStand, function: Callable[[], None], cause: str, detail: str
) -> None:
    stand.results(stand.submit(nothing, [()] * 100))
    before = stand.submit(nothing, [()] * 500)
    began = time.monotonic()
    (bad,) = stand.submit(function, [()])
    after = stand.submit(nothing, [()] * 500)

    loss = lost(stand.results([bad])[0])

    assert time.monotonic() - began < 1
    assert loss.cause == cause
    assert detail in loss.detail
    assert loss.blames_task
    assert stand.results(before + after) == [None] * 1000


def test_the_end_of_the_log_comes_with_the_loss(stand: ManagerStand) -> None:
    assert "last words" in lost(stand.run(exit_hard)).detail
    assert "in crash" in lost(stand.run(crash)).detail


@pytest.mark.parametrize("function", [spin, call_c, read_for_ever])
def test_a_task_that_hangs_ends_at_its_walltime(stand: ManagerStand, function: Callable[[], None]) -> None:
    began = time.monotonic()

    loss = lost(stand.run(function, walltime_ms=300))

    assert loss.cause == "walltime"
    assert 0.3 <= time.monotonic() - began < 2.3
    assert stand.results(stand.submit(nothing, [()] * 50)) == [None] * 50


def test_a_sleeping_task_ends_at_its_walltime(stand: ManagerStand) -> None:
    assert lost(stand.run(pause, 60, walltime_ms=300)).cause == "walltime"


def test_children_that_ignore_signals_end_with_the_task(stand: ManagerStand, tmp_path: Path) -> None:
    path = tmp_path / "pids"

    loss = lost(stand.run(start_deaf_children, str(path), walltime_ms=500))

    pids = [int(line) for line in path.read_text().split()]
    assert loss.cause == "walltime"
    assert len(pids) == 2
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 5)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_what_a_worker_left_behind_ends_with_the_worker(stand: ManagerStand, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    numbers = stand.submit(leave_child_behind, [(str(path),)])
    assert stand.results(numbers) == [None]

    for _ in range(2):  # both workers
        stand.results(stand.submit(kill_self, [()] * 2))

    wait_until(lambda: not psutil.pid_exists(int(path.read_text())), 5)
    assert not psutil.pid_exists(int(path.read_text()))


def test_short_tasks_with_a_walltime_travel_in_groups_and_succeed(stand: ManagerStand) -> None:
    numbers = stand.submit(double, [(number,) for number in range(2000)], walltime_ms=5000)

    assert stand.results(numbers) == [2 * number for number in range(2000)]


def test_a_walltime_counts_from_the_start_of_the_task(stand: ManagerStand) -> None:
    numbers = stand.submit(pause, [(0.3,)] * 6, walltime_ms=600)

    assert stand.results(numbers) == [0.3] * 6


def test_a_running_task_is_cancelled_and_the_next_runs(stand: ManagerStand, tmp_path: Path) -> None:
    running = stand.submit(pause_and_tell, [(str(tmp_path), 60)] * 2)
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 5)
    queued = stand.submit(pause, [(60,)])
    began = time.monotonic()

    stand.say(wire.Cancel(running + queued))

    assert {lost(outcome).cause for outcome in stand.results(running + queued)} == {"cancelled"}
    assert time.monotonic() - began < 2
    assert stand.run(double, 4) == 8


def test_a_task_above_its_memory_limit_ends(stand: ManagerStand) -> None:
    loss = lost(stand.run(hold, 200, memory_bytes=100 << 20))

    assert loss.cause == "memory"
    assert "100 MiB" in loss.detail


def test_what_a_task_prints_comes_marked_with_its_attempt(stand: ManagerStand) -> None:
    (number,) = stand.submit(say, [("hello",)])
    stand.results([number])

    texts = {(line.attempt, line.is_error, line.text) for line in stand.printed}
    assert texts == {(number, False, "hello\n"), (number, True, "problem\n")}


def test_a_flood_of_text_is_bounded_and_says_what_is_missing(stand: ManagerStand, tmp_path: Path) -> None:
    stand.run(say_much, 20_000)

    text = "".join(line.text for line in stand.printed)
    assert len(text) < 100_000
    assert "lines dropped" in text
    logs = "".join(path.read_text() for path in tmp_path.glob("logs/block-b0/*/worker_*.log"))
    assert logs.count("line 0") == 20_000


def test_variables_are_set_for_one_task_only(stand: ManagerStand) -> None:
    inside = stand.results(
        stand.submit(variables, [("PARSL_PRIORITY",)] * 4, environment={"PARSL_PRIORITY": "7"})
    )
    outside = stand.results(stand.submit(variables, [("PARSL_PRIORITY",)] * 4))

    assert inside == [["7"]] * 4
    assert outside == [[None]] * 4


def test_workers_know_their_place(stand: ManagerStand) -> None:
    names = ("PARSL_WORKER_COUNT", "PARSL_WORKER_BLOCK_ID", "PARSL_WORKER_POOL_ID")

    count, block, pool = stand.run(variables, *names)  # type: ignore[misc]

    assert (count, block) == ("2", "b0")
    assert stand.registered is not None
    assert pool == stand.registered.uid


def test_urgent_tasks_run_first(tmp_path: Path) -> None:
    with manager(tmp_path, slots=1) as stand:
        first = stand.submit(pause, [(0.2,)], priority=-9)
        late = stand.submit(pause, [(0.01,)] * 5, priority=3)
        early = stand.submit(pause, [(0.01,)] * 5, priority=-3)
        stand.results(first + late + early)

        assert stand.order == first + early + late


def test_a_large_argument_and_a_large_result_travel_in_pieces(stand: ManagerStand) -> None:
    size = 100 << 20

    assert stand.run(measure, b"y" * size) == size
    assert stand.run(make, size) == b"z" * size


@pytest.mark.parametrize("size", [30_000, 32_760, 32_768, 65_500, 65_536, 65_537, 70_000, 300_000, 5 << 20])
def test_payloads_of_all_sizes_arrive_whole(stand: ManagerStand, size: int) -> None:
    results = stand.results(stand.submit(make, [(size,)] * 3))

    assert results == [b"z" * size] * 3
    assert stand.run(measure, b"y" * size) == size


def test_long_tasks_do_not_hold_up_short_ones(stand: ManagerStand) -> None:
    stand.results(stand.submit(pause, [(0,)] * 200))  # known to be short
    calls = [(0.5,) if number % 100 == 50 else (0,) for number in range(1000)]
    began = time.monotonic()

    stand.results(stand.submit(pause, calls))

    assert time.monotonic() - began < 1.2 * 10 * 0.5 / 2


def test_a_result_does_not_wait_for_a_long_task_after_it(tmp_path: Path) -> None:
    with manager(tmp_path, slots=1) as stand:
        stand.results(stand.submit(pause, [(0,)] * 200))

        short = stand.submit(pause, [*[(0,)] * 3, (1.0,)])

        stand.results(short)
        assert stand.at[short[3]] - stand.at[short[2]] > 0.8


def test_a_child_that_a_task_forked_does_not_answer_for_it(stand: ManagerStand) -> None:
    stand.results(stand.submit(fork_and_return, [()] * 20))

    assert stand.results(stand.submit(double, [(2,)] * 100)) == [4] * 100
    assert stand.repeated == 0


def test_nonsense_on_the_workers_connection_costs_that_worker_only(stand: ManagerStand) -> None:
    loss = lost(stand.run(write_everywhere))

    assert loss.blames_task
    assert stand.results(stand.submit(double, [(3,)] * 100)) == [6] * 100


def test_nonsense_of_the_interchange_is_passed_over(stand: ManagerStand) -> None:
    for frames in (
        [b""],
        [b"\x93\xff"],
        [os.urandom(300)],
        [wire.encode(wire.Tasks([wire.TaskItem(9, 99, 5)])), b"x"],
    ):
        stand.router.send_multipart([stand.identity, *frames])

    assert stand.run(double, 5) == 10


def test_what_has_not_started_goes_back_when_the_manager_drains(stand: ManagerStand, tmp_path: Path) -> None:
    stand.results(stand.submit(pause, [(0.05,)] * 6))  # both workers are there
    stand.outcomes.clear()
    running = stand.submit(pause_and_tell, [(str(tmp_path), 0.5)] * 2)
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 5)
    waiting = stand.submit(pause, [(0.5,)] * 50)

    stand.say(wire.Drain())
    stand.wait_until(lambda: len(stand.outcomes) + len(stand.returned) == 52)

    assert set(stand.outcomes) == set(running)
    assert sorted(stand.returned) == waiting
    assert stand.process.wait(10) == 0


def test_nothing_survives_a_killed_manager(tmp_path: Path) -> None:
    with manager(tmp_path) as stand:
        path = tmp_path / "pids"
        stand.submit(start_deaf_children, [(str(path),)])
        stand.submit(spin, [()])
        stand.wait_until(lambda: path.exists() and len(path.read_text().split()) == 2)
        everyone = [child.pid for child in stand.descendants()]

        stand.process.kill()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in everyone), 5)

        assert len(everyone) >= 5
        assert not any(psutil.pid_exists(pid) for pid in everyone)


def test_a_killed_zygote_ends_the_manager_and_all_workers(tmp_path: Path) -> None:
    with manager(tmp_path) as stand:
        (running,) = stand.submit(pause_and_tell, [(str(tmp_path), 60)])
        wait_until(lambda: any(tmp_path.glob("started-*")), 5)
        everyone = stand.descendants()
        (zygote,) = [child for child in everyone if child.ppid() == stand.process.pid]

        zygote.kill()

        assert lost(stand.results([running])[0]).cause == "manager"
        assert stand.process.wait(10) == 1
        wait_until(lambda: not any(child.is_running() for child in everyone), 5)


def test_a_new_interchange_is_told_what_the_manager_holds(stand: ManagerStand, tmp_path: Path) -> None:
    numbers = stand.submit(pause_and_tell, [(str(tmp_path), 1.0)] * 2)
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 5)

    stand.replace()
    stand.connect()

    assert stand.registered is not None
    assert set(stand.registered.holds) >= set(numbers)
    assert stand.results(numbers) == [None, None]
    assert stand.run(double, 6) == 12


def test_a_manager_whose_interchange_is_gone_ends(tmp_path: Path) -> None:
    with manager(tmp_path) as stand:
        stand.say(wire.Accepted(100, 500))
        stand.run(nothing)
        stand.router.close()

        assert stand.process.wait(10) == 1

        stand.bind()


def test_a_manager_that_was_stopped_for_long_goes_on(stand: ManagerStand) -> None:
    stand.run(nothing)
    stand.say(wire.Accepted(100, 500))
    stand.wait_until(lambda: stand.run(nothing) is None)

    stand.process.send_signal(signal.SIGSTOP)
    while stand.receive(1.0):  # longer than its threshold
        pass
    stand.process.send_signal(signal.SIGCONT)

    assert stand.run(double, 7) == 14


def test_a_refused_manager_ends_and_says_why(tmp_path: Path) -> None:
    stand = ManagerStand(tmp_path)
    try:
        assert stand.router.poll(DEADLINE * 1000)
        identity, *_ = stand.router.recv_multipart()
        stand.router.send_multipart([identity, wire.encode(wire.Refused("another Python"))])

        assert stand.process.wait(10) == 1
        (log,) = tmp_path.glob("logs/block-b0/*/manager.log")
        assert "another Python" in log.read_text()
    finally:
        stand.close()


def test_an_attempt_may_take_several_slots(stand: ManagerStand) -> None:
    stand.results(stand.submit(pause, [(0.0,)] * 4))
    wide = stand.submit(pause, [(0.2,)] * 2, slots=2)
    narrow = stand.submit(pause, [(0.2,)] * 2)

    stand.results(wide + narrow)

    assert stand.at[wide[1]] - stand.at[wide[0]] > 0.19
    assert stand.at[narrow[0]] - stand.at[wide[1]] > 0.19
    assert lost(stand.run(nothing, slots=3)).cause == "refused"
