"""Rules of a manager, one by one, with a clock that the test moves."""

import pytest

from fanflow.pilot.admission import Admission
from fanflow.pilot.appetite import MOST
from fanflow.pilot.manager_core import STUCK_S, ManagerCore
from fanflow.pilot.slots import HORIZON_US, PACKET_TASKS
from fanflow.pilot.wire import Loss, TaskItem

SHORT, LONG = 5, 500_000


def ready_core(slots: int = 1) -> ManagerCore:
    core = ManagerCore(slots, "host")
    core.take_orders(0.0)
    for number in range(slots):
        core.worker_ready(number)
    return core


def add(core: ManagerCore, *numbers: int, **options: int) -> None:
    items = [TaskItem(number, options.get("function", 0), 1) for number in numbers]
    for item in items:
        for name, value in options.items():
            setattr(item, name, value)
    core.tasks_came(items, [b"x"] * len(items))


def packets(core: ManagerCore, now: float = 0.0) -> list[tuple[int, list[int]]]:
    return [(number, [task[0] for task in tasks]) for number, tasks in core.take_orders(now).packets]


def finish(core: ManagerCore, slot: int, *numbers: int, run_us: int = SHORT, now: float = 0.0) -> None:
    core.results_came(slot, [(number, run_us, b"r", 1) for number in numbers], now)


def core_that_knows(run_us: int, slots: int = 1) -> ManagerCore:
    core = ready_core(slots)
    add(core, 1)
    core.take_orders(0.0)
    for slot in core.slots:
        finish(core, slot.number, 1, run_us=run_us)
    core.take_orders(0.0)
    return core


def test_of_an_unknown_function_one_task_runs_and_one_waits_behind_it() -> None:
    core = ready_core()

    add(core, 1, 2, 3)

    assert packets(core) == [(0, [1]), (0, [2])]


def test_short_tasks_travel_in_groups_up_to_the_horizon() -> None:
    core = core_that_knows(SHORT)

    add(core, *range(10, 2010))

    groups = [numbers for _, numbers in packets(core)]
    assert {len(numbers) for numbers in groups[:-1]} == {PACKET_TASKS}
    assert HORIZON_US // 16 <= sum(map(len, groups)) <= HORIZON_US // 10


def test_few_short_tasks_are_shared_among_idle_workers() -> None:
    core = core_that_knows(SHORT, slots=2)

    add(core, *range(10, 20))

    assert sorted(len(numbers) for _, numbers in packets(core)) == [5, 5]


def test_long_tasks_wait_for_an_idle_worker() -> None:
    core = core_that_knows(LONG, slots=2)

    add(core, 10, 11, 12, 13)

    assert sorted(numbers for _, numbers in packets(core)) == [[10], [11]]


def test_urgent_tasks_overtake_and_equal_ones_keep_their_order() -> None:
    core = core_that_knows(LONG)

    add(core, 10, 11, priority=1)
    add(core, 12, 13, priority=-1)
    add(core, 14)

    order: list[int] = []
    for _ in range(5):
        (_, [number]), *_ = packets(core)
        order.append(number)
        finish(core, 0, number, run_us=LONG)
    assert order == [12, 13, 10, 11, 14]


def test_work_behind_a_stuck_task_is_looked_for_and_goes_elsewhere() -> None:
    core = core_that_knows(SHORT, slots=2)
    add(core, *range(10, 50))
    sent = dict(packets(core))
    finish(core, 1, *range(10, 50))  # slot 1 reports whatever it had
    core.take_orders(0.0)
    mine = [attempt.number for attempt in core.slots[0].sent]

    core.tick(STUCK_S / 2)
    assert core.take_orders(STUCK_S / 2).look == []
    core.tick(STUCK_S + 0.001)
    assert core.take_orders(STUCK_S + 0.001).look == [0]
    core.looked(0, mine[4:], STUCK_S + 0.001)

    assert sent
    moved = [number for slot, numbers in packets(core, 1.0) for number in numbers if slot == 1]
    assert sorted(moved) == sorted(mine[4:])


def test_a_worker_that_is_stuck_is_sent_nothing_more() -> None:
    core = core_that_knows(SHORT)
    add(core, 10, 11)
    packets(core)
    core.looked(0, [11], 1.0)

    assert packets(core, 1.0) == []

    finish(core, 0, 10, now=2.0)
    assert packets(core, 2.0) == [(0, [11])]


def test_a_walltime_ends_what_runs_and_spares_what_waits() -> None:
    core = ready_core()
    add(core, 1, walltime_ms=1000)
    add(core, 2)
    core.take_orders(0.0)
    core.looked(0, [2], 0.5)

    core.tick(0.9)
    assert core.take_orders(0.9).look == []
    core.tick(1.001)
    assert core.take_orders(1.001).look == [0]
    core.looked(0, [], 1.001)
    assert core.take_orders(1.001).kill == [0]
    core.worker_ended(0, Loss("signal", 0))

    orders = core.take_orders(1.1)
    assert [(item.attempt, item.lost and item.lost.cause) for item in orders.items] == [(1, "walltime")]
    assert orders.start == [0]
    core.worker_ready(0)
    assert packets(core, 1.2) == [(0, [2])]


def test_what_finished_before_it_was_killed_counts_and_the_next_bears_no_blame() -> None:
    core = core_that_knows(SHORT)
    add(core, 10, 11, walltime_ms=1000)
    core.take_orders(0.0)
    core.looked(0, [], 1.5)
    assert core.take_orders(1.5).kill == [0]

    finish(core, 0, 10, now=1.5)
    core.worker_ended(0, Loss("signal", 0))

    first, second = core.take_orders(1.6).items
    assert (first.attempt, first.lost) == (10, None)
    assert second.lost is not None
    assert (second.attempt, second.lost.blames_task) == (11, False)


def test_only_the_running_attempt_is_blamed_for_a_dead_worker() -> None:
    core = core_that_knows(SHORT)
    add(core, *range(10, 20))
    core.take_orders(0.0)
    finish(core, 0, 10, 11)

    core.worker_ended(0, Loss("signal", 0, detail="SIGSEGV"))

    lost = [item for item in core.take_orders(0.1).items if item.lost]
    assert [item.attempt for item in lost] == [12]
    core.worker_ready(0)
    assert packets(core, 0.2) == [(0, list(range(13, 20)))]


def test_results_that_come_twice_count_once() -> None:
    core = core_that_knows(SHORT)
    add(core, 10, 11)
    core.take_orders(0.0)

    finish(core, 0, 10)
    finish(core, 0, 10, 11)

    assert [item.attempt for item in core.take_orders(0.0).items] == [10, 11]


def core_of_a_block(lasts_s: float) -> ManagerCore:
    core = ManagerCore(1, "host", admission=Admission(1, 0.0, lasts_s))
    core.take_orders(0.0)
    core.worker_ready(0)
    return core


def test_what_could_not_finish_before_its_block_ends_goes_back_unstarted() -> None:
    core = core_of_a_block(lasts_s=10)
    add(core, 1, walltime_ms=4000)
    started = packets(core, 5.0)
    add(core, 2, walltime_ms=4000)
    add(core, 3)
    finish(core, 0, 1, run_us=LONG, now=6.5)

    orders = core.take_orders(6.5)

    assert started == [(0, [1])]
    assert (orders.drains, orders.packets, orders.returned) == (True, [], [2, 3])
    assert core.is_done


def test_what_has_no_walltime_is_started_until_its_block_ends() -> None:
    core = core_of_a_block(lasts_s=10)

    add(core, 1)

    assert packets(core, 9.9) == [(0, [1])]


def test_a_walltime_beyond_the_whole_block_is_refused() -> None:
    core = core_of_a_block(lasts_s=10)

    add(core, 1, walltime_ms=11_000)

    (item,) = core.take_orders(0.0).items
    assert item.lost is not None
    assert item.lost.detail == "its walltime of 11 s is longer than its block lasts, 10 s"


def test_the_limit_of_a_worker_changes_only_when_it_is_idle() -> None:
    core = core_that_knows(SHORT)
    add(core, 10, 11, memory_bytes=5)
    add(core, 12, 13, memory_bytes=7)
    add(core, 14)

    steps = []
    for done in ([10, 11], [12, 13], [14]):
        orders = core.take_orders(0.0)
        steps.append((orders.limits, [[task[0] for task in tasks] for _, tasks in orders.packets]))
        finish(core, 0, *done)

    assert steps == [([(0, 5)], [[10, 11]]), ([(0, 7)], [[12, 13]]), ([(0, 0)], [[14]])]


def test_a_new_worker_has_no_limit_yet() -> None:
    core = ready_core()
    add(core, 1, memory_bytes=5)
    core.take_orders(0.0)
    core.worker_ended(0, Loss("signal", 0))
    core.worker_ready(0)

    add(core, 2, memory_bytes=5)

    assert core.take_orders(0.0).limits == [(0, 5)]


def test_what_ran_out_of_memory_ends_and_says_why() -> None:
    core = ready_core()
    add(core, 1, memory_bytes=5)
    core.take_orders(0.0)

    core.ran_out_of_memory(0, "limit and peak")
    core.ran_out_of_memory(0, "once more")

    assert core.take_orders(0.0).kill == [0]
    core.worker_ended(0, Loss("signal", 0, detail="SIGKILL"))
    (item,) = core.take_orders(0.1).items
    assert item.lost is not None
    assert (item.lost.cause, item.lost.detail, item.lost.blames_task) == ("memory", "limit and peak", True)


def test_the_memory_of_a_limited_task_is_measured_while_it_runs() -> None:
    core = ready_core()
    add(core, 1, memory_bytes=1 << 20)
    core.take_orders(0.0)

    core.tick(0.26)
    assert core.take_orders(0.26).measure == [0]
    core.memory_measured(0, 1 << 19, 0.26)
    assert core.take_orders(0.26).kill == []
    core.tick(0.52)
    assert core.take_orders(0.52).measure == [0]
    core.memory_measured(0, 3 << 20, 0.52)

    assert core.take_orders(0.52).kill == [0]
    core.worker_ended(0, Loss("signal", 0))
    (item,) = core.take_orders(0.6).items
    assert item.lost is not None
    assert item.lost.detail == "it ran out of memory: its limit is 1 MiB, its peak was 3 MiB"


@pytest.mark.parametrize(("run_us", "least", "most"), [(1, 1500, MOST), (1000, 15, 25), (10**6, 0, 0)])
def test_the_shorter_tasks_are_the_more_are_wanted(run_us: int, least: int, most: int) -> None:
    core = ready_core(2)
    add(core, 1)
    core.take_orders(0.0)
    finish(core, 0, 1, run_us=run_us)
    finish(core, 1, 1, run_us=run_us)

    want = core.take_orders(0.0).want

    assert least <= (0 if want is None else want - 2) <= most


def test_nothing_is_due_while_one_task_without_limits_runs() -> None:
    core = ready_core()
    add(core, 1)
    core.take_orders(0.0)

    assert core.next_due == float("inf")


@pytest.mark.parametrize(
    ("options", "reason"), [({"slots": 3}, "3 slots"), ({"environment": {"a=b": "c"}}, "'a=b'")]
)
def test_what_cannot_run_here_is_refused_with_a_reason(options: dict[str, int], reason: str) -> None:
    core = ready_core(2)

    add(core, 1, **options)

    (item,) = core.take_orders(0.0).items
    assert item.lost is not None
    assert item.lost.cause == "refused"
    assert reason in item.lost.detail
