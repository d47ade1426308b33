from __future__ import annotations

import pickle

import pytest

from fanflow.ids import JobId
from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import (
    ACCOUNTING_LAG_S,
    SURE_LOOKS,
    VANISHED_S,
)
from fanflow.pilot.block_jobs import job_name
from fanflow.pilot.block_states import (
    BLOCK_TRANSITIONS,
    FINAL,
    BlockSignal,
    BlockState,
    InvalidBlockTransitionError,
)
from tests.unit.block_stand import J0, PENDING, RUNNING, Stand


def test_blocks_are_numbered_from_zero() -> None:
    stand = Stand(5)

    asked = [*stand.request(2), *stand.request()]

    assert asked == stand.core.take_orders().submit == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("label", "name"), [("x", "parsl.x.block-0"), ("a b;$(c)/d", "parsl.a_b___c__d.block-0")]
)
def test_jobs_are_named_after_their_blocks(label: str, name: str) -> None:
    assert job_name(label, "0") == name


def test_no_policy_gets_more_blocks_than_the_limit_allows() -> None:
    stand = Stand(3)

    asked = [len(stand.request(2)) for _ in range(3)]

    assert asked == [2, 1, 0]


def test_who_asks_for_blocks_by_hand_gets_them() -> None:
    stand = Stand(1)
    stand.request()

    assert stand.core.request(2, stand.now) == ["1", "2"]
    assert stand.request() == []


def test_a_block_whose_manager_has_connected_is_not_told_to_wait_for_one() -> None:
    stand = Stand()
    stand.queue()
    before = stand.status

    stand.core.manager_joined("0", "m", stand.now)

    assert (before.state, before.message) == (
        JobState.PENDING,
        f"job {J0}; none of its managers has connected",
    )
    assert (stand.status.state, stand.status.message) == (JobState.RUNNING, "a manager of it has connected")


def test_a_block_that_drains_still_counts_towards_the_limit() -> None:
    stand = Stand(1)
    stand.connect()
    stand.drain()

    assert stand.request() == []


def test_a_block_is_queued_until_a_manager_connects() -> None:
    stand = Stand()
    stand.queue()
    stand.look(RUNNING)
    before = stand.state

    stand.core.manager_joined("0", "m", stand.now)

    assert (before, stand.state) == (BlockState.QUEUED, BlockState.RUNNING)


def test_a_connected_manager_shows_that_the_job_runs() -> None:
    stand = Stand()
    stand.connect()

    stand.look(PENDING)

    assert stand.status.state is JobState.RUNNING


def test_a_manager_may_connect_before_the_provider_has_answered() -> None:
    stand = Stand()
    stand.request()
    stand.core.manager_joined("0", "m", stand.now)

    stand.core.submitted("0", J0, stand.now)

    assert stand.state is BlockState.RUNNING


def test_a_refused_job_fails_its_block_with_the_schedulers_words() -> None:
    stand = Stand()
    stand.request()

    stand.core.refused("0", "invalid account", stand.now)

    assert (stand.state, stand.status) == (BlockState.FAILED, JobStatus(JobState.FAILED, "invalid account"))
    assert [block.name for block in stand.core.take_orders().ended] == ["0"]


def test_a_job_that_ends_before_a_manager_connects_is_missing() -> None:
    stand = Stand()
    stand.queue()

    stand.look(JobStatus(JobState.COMPLETED, None, 0, "out", "err"))

    assert stand.state is BlockState.FAILED
    assert (stand.status.state, stand.status.stdout_path) == (JobState.MISSING, "out")
    assert "before a manager could work (COMPLETED: no message)" in (stand.status.message or "")


def test_a_job_whose_managers_could_not_work_is_missing_for_the_reason_they_gave() -> None:
    stand = Stand()
    stand.connect()
    stand.core.manager_failed("0", "m", "no room on /tmp")
    stand.leave()

    stand.look(JobStatus(JobState.FAILED))

    assert stand.status.state is JobState.MISSING
    assert "no room on /tmp" in (stand.status.message or "")


@pytest.mark.parametrize(
    ("reported", "state"),
    [
        (JobState.COMPLETED, BlockState.ENDED),
        (JobState.TIMEOUT, BlockState.ENDED),
        (JobState.CANCELLED, BlockState.ENDED),
        (JobState.FAILED, BlockState.FAILED),
    ],
)
def test_a_job_whose_managers_have_left_ends_as_the_provider_says(
    reported: JobState, state: BlockState
) -> None:
    stand = Stand()
    stand.connect()
    stand.leave()

    orders = stand.look(JobStatus(reported))

    assert (stand.state, stand.status.state) == (state, reported)
    assert [block.name for block in orders.ended] == ["0"]


def test_a_connected_manager_is_believed_before_a_provider_that_says_the_job_has_ended() -> None:
    stand = Stand()
    stand.connect()

    states: list[BlockState] = []
    for _ in range(SURE_LOOKS):
        stand.look(JobStatus(JobState.COMPLETED))
        states.append(stand.state)

    assert states == [BlockState.RUNNING] * (SURE_LOOKS - 1) + [BlockState.ENDED]


def test_when_the_manager_leaves_too_the_provider_is_believed_at_once() -> None:
    stand = Stand()
    stand.connect()
    stand.look(JobStatus(JobState.FAILED, exit_code=9))

    stand.leave()

    assert (stand.state, stand.status.exit_code) == (BlockState.FAILED, 9)


def test_a_wrong_answer_is_forgotten_after_a_right_one() -> None:
    stand = Stand()
    stand.connect()

    for _ in range(SURE_LOOKS):
        stand.look(JobStatus(JobState.FAILED))
        stand.look(RUNNING)
    stand.leave()

    assert stand.state is BlockState.RUNNING


@pytest.mark.parametrize("answer", [None, JobStatus(JobState.UNKNOWN), JobStatus(JobState.MISSING)])
def test_a_job_that_is_no_longer_listed_is_lost_after_some_looks_and_some_time(
    answer: JobStatus | None,
) -> None:
    stand = Stand()
    stand.connect()
    stand.look(RUNNING)
    stand.leave()

    stand.look(answer)
    stand.look(answer, after=VANISHED_S)
    before = stand.state
    orders = stand.look(answer)

    assert (before, stand.state) == (BlockState.RUNNING, BlockState.LOST)
    assert stand.status.state is JobState.FAILED
    assert orders.cancel == [J0]


def test_many_fast_looks_do_not_make_a_job_lost() -> None:
    stand = Stand()
    stand.queue()
    stand.look(PENDING)

    for _ in range(50):
        stand.look(None, after=0.1)

    assert stand.state is BlockState.QUEUED


def test_a_job_that_was_never_listed_is_waited_for_longer() -> None:
    stand = Stand()
    stand.queue()

    for _ in range(SURE_LOOKS):
        stand.look(None, after=VANISHED_S)
    before = stand.state
    stand.look(None, after=ACCOUNTING_LAG_S)

    assert (before, stand.state) == (BlockState.QUEUED, BlockState.LOST)
    assert stand.status.state is JobState.MISSING


def test_a_job_with_a_connected_manager_is_not_lost() -> None:
    stand = Stand()
    stand.connect()

    for _ in range(10):
        stand.look(None, after=ACCOUNTING_LAG_S)

    assert stand.state is BlockState.RUNNING


def test_an_answer_to_an_old_question_says_nothing_of_new_jobs() -> None:
    stand = Stand()
    stand.queue()

    stand.core.looked([JobId("older")], {}, stand.now)

    assert stand.core.blocks["0"].missed == 0


def test_events_about_blocks_that_have_ended_change_nothing() -> None:
    stand = Stand()
    stand.request()
    stand.core.refused("0", "no", stand.now)
    stand.core.take_orders()

    stand.core.refused("0", "no", stand.now)
    stand.core.manager_joined("0", "m", stand.now)
    stand.core.manager_failed("0", "m", "why")
    orders = stand.leave()
    stand.core.drain(["0", "7"], stand.now)

    assert (orders.submit, orders.drain, orders.cancel, orders.ended) == ([], [], [], [])
    assert stand.state is BlockState.FAILED


def test_a_job_of_a_block_that_has_ended_is_cancelled() -> None:
    stand = Stand()
    stand.request()
    stand.core.refused("0", "timed out", stand.now)

    stand.core.submitted("0", J0, stand.now)

    assert stand.core.take_orders().cancel == [J0]
    assert stand.core.jobs() == []


def test_the_table_leads_from_no_final_state_and_into_each() -> None:
    assert {state for state, _ in BLOCK_TRANSITIONS}.isdisjoint(FINAL)
    assert {*BLOCK_TRANSITIONS.values(), BlockState.REQUESTED} == set(BlockState)


def test_an_illegal_move_tells_its_story() -> None:
    error = InvalidBlockTransitionError("3", BlockState.ENDED, BlockSignal.STARTED)

    assert str(pickle.loads(pickle.dumps(error))) == "block 3 is ended and cannot take STARTED"
