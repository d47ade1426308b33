import pytest

from fanflow.errors import InternalConsistencyError
from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import (
    BLOCK_TRANSITIONS,
    FINAL,
    MISSING_POLLS,
    MOST_BAD_STARTS,
    MOST_REFUSALS,
    BlockCore,
    BlockSignal,
    BlockState,
)

JOB = JobId("7")


def running() -> BlockCore:
    """One block with a job and a manager."""
    core = BlockCore()
    core.request(1, 0.0)
    core.submitted("0", JOB, 1.0)
    core.manager_joined("0", "m", 2.0)
    core.take_orders()
    return core


def state(core: BlockCore, name: str = "0") -> BlockState:
    return core.blocks[name].state


def look(core: BlockCore, state: JobState, now: float = 9.0) -> None:
    core.looked([JOB], {JOB: JobStatus(state)}, now)


def test_nothing_leaves_a_final_state() -> None:
    assert not [old for old, _ in BLOCK_TRANSITIONS if old in FINAL]


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {*BLOCK_TRANSITIONS.values(), BlockState.REQUESTED} == set(BlockState)


def test_an_illegal_move_names_the_block_and_both_ends() -> None:
    core = BlockCore()
    core.request(1, 0.0)

    with pytest.raises(InternalConsistencyError, match="block 0 is requested, which vanished cannot follow"):
        core._step(core.blocks["0"], BlockSignal.VANISHED, 0.0)


def test_blocks_are_numbered_and_ordered_once() -> None:
    core = BlockCore()

    assert core.request(2, 0.0) == ["0", "1"]
    assert core.request(1, 0.0) == ["2"]

    assert core.take_orders().submit == ["0", "1", "2"]
    assert core.take_orders().submit == []


def test_a_manager_may_connect_before_the_provider_answers() -> None:
    core = BlockCore()
    core.request(1, 0.0)

    core.manager_joined("0", "m", 0.5)
    core.submitted("0", JOB, 1.0)

    assert state(core) is BlockState.RUNNING
    assert core.jobs() == [JOB]


def test_a_block_with_managers_is_drained_and_its_job_ended_when_they_have_left() -> None:
    core = running()

    core.drain(["0"], 3.0)
    orders = core.take_orders()
    core.manager_left("0", "m")
    after = core.take_orders()
    look(core, JobState.CANCELLED)

    assert (orders.drain, orders.cancel) == (["0"], [])
    assert after.cancel == [JOB]
    assert state(core) is BlockState.ENDED
    assert core.statuses()["0"].state is JobState.SCALED_IN


def test_a_block_without_managers_is_given_back_at_once() -> None:
    core = BlockCore()
    core.request(1, 0.0)
    core.submitted("0", JOB, 1.0)
    core.take_orders()

    core.drain(["0"], 2.0)

    assert core.take_orders().cancel == [JOB]


def test_a_block_that_is_given_back_before_it_has_a_job_is_cancelled_when_it_has_one() -> None:
    core = BlockCore()
    core.request(1, 0.0)
    core.drain(["0"], 1.0)

    core.submitted("0", JOB, 2.0)

    assert core.take_orders().cancel == [JOB]


def test_a_manager_that_joins_a_block_on_its_way_out_is_drained_too() -> None:
    core = running()
    core.drain(["0"], 3.0)
    core.take_orders()

    core.manager_joined("0", "late", 4.0)

    assert core.take_orders().drain == ["0"]


def test_a_job_that_ends_before_a_manager_connects_is_missing() -> None:
    core = BlockCore()
    core.request(1, 0.0)
    core.submitted("0", JOB, 1.0)

    core.looked([JOB], {JOB: JobStatus(JobState.COMPLETED, "done", 0)}, 2.0)

    shown = core.statuses()["0"]
    assert (state(core), shown.state, shown.exit_code) == (BlockState.FAILED, JobState.MISSING, 0)
    assert "before a manager could work (COMPLETED: done)" in str(shown.message)


def test_what_a_manager_said_that_could_not_work_explains_its_block() -> None:
    core = running()
    core.manager_failed("0", "m", "no worker has room")
    core.manager_left("0", "m")

    look(core, JobState.FAILED)

    assert core.statuses()["0"].state is JobState.MISSING
    assert "no worker has room" in str(core.statuses()["0"].message)


def test_a_job_that_is_not_listed_is_gone_only_after_several_looks() -> None:
    core = running()
    core.manager_left("0", "m")

    for _ in range(MISSING_POLLS - 1):
        core.looked([JOB], {}, 3.0)
    before = state(core)
    core.looked([JOB], {}, 4.0)

    assert before is BlockState.RUNNING
    assert state(core) is BlockState.LOST
    assert "not listed any more" in str(core.statuses()["0"].message)


def test_a_job_that_is_listed_again_was_never_gone() -> None:
    core = running()
    core.manager_left("0", "m")

    for _ in range(3 * MISSING_POLLS):
        core.looked([JOB], {}, 3.0)
        look(core, JobState.RUNNING) if state(core) not in FINAL and core.blocks["0"].missed == 2 else None

    assert state(core) is BlockState.RUNNING


def test_a_connected_manager_proves_that_its_job_lives() -> None:
    core = running()

    for _ in range(10 * MISSING_POLLS):
        core.looked([JOB], {}, 3.0)

    assert state(core) is BlockState.RUNNING
    assert core.statuses()["0"].state is JobState.RUNNING


def test_a_refused_block_has_failed_with_the_reason() -> None:
    core = BlockCore()
    core.request(1, 0.0)

    core.refused("0", "no such partition", 1.0)

    assert state(core) is BlockState.FAILED
    assert core.statuses()["0"] == JobStatus(JobState.FAILED, "no such partition")


def test_many_refusals_in_a_row_make_pauses_that_grow() -> None:
    core = BlockCore()
    pauses: list[float] = []
    for number in range(MOST_REFUSALS + 2):
        (name,) = core.request(1, 0.0)
        core.refused(name, "busy", float(number))
        pauses.append(core.paused_until - number)

    assert all(pause <= 0 for pause in pauses[: MOST_REFUSALS - 1])
    assert pauses[MOST_REFUSALS - 1 :] == [10.0, 20.0, 40.0]


def test_bad_starts_in_a_row_make_a_pause_and_a_good_one_ends_the_row() -> None:
    core = BlockCore()

    def start_badly(now: float) -> None:
        (name,) = core.request(1, now)
        job = JobId(name)
        core.submitted(name, job, now)
        core.looked([job], {job: JobStatus(JobState.FAILED)}, now)

    for _ in range(MOST_BAD_STARTS - 1):
        start_badly(1.0)
    (good,) = core.request(1, 1.0)
    core.manager_joined(good, "m", 1.0)
    start_badly(1.0)
    unpaused = core.paused_until
    for _ in range(MOST_BAD_STARTS - 1):
        start_badly(5.0)

    assert unpaused == 0.0
    assert core.paused_until == 15.0


def test_news_of_blocks_that_nobody_asked_for_change_nothing() -> None:
    core = running()

    core.manager_joined("17", "stranger", 3.0)
    core.manager_failed("17", "stranger", "?")
    core.manager_left("17", "stranger")

    assert list(core.blocks) == ["0"]
    assert not core.is_deserted("17")
