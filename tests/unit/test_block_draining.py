"""Blocks are given back without ending what runs on them."""

from __future__ import annotations

from fanflow.model.jobs import JobState, JobStatus
from fanflow.pilot.block_core import DESERTED_S, SURE_LOOKS
from fanflow.pilot.block_states import BlockState
from tests.unit.block_stand import J0, PENDING, RUNNING, Stand


def test_draining_lets_managers_finish_and_cancels_the_job_when_the_last_has_left() -> None:
    stand = Stand()
    stand.connect()

    drained, held, left = stand.drain(), stand.held(), stand.leave()

    assert (drained.drain, drained.cancel, held.cancel, left.cancel) == (["0"], [], [], [J0])


def test_a_block_without_managers_is_cancelled_only_when_the_interchange_has_answered() -> None:
    stand = Stand()
    stand.queue()

    drained, held = stand.drain(), stand.held()

    assert (drained.drain, drained.cancel, held.cancel) == (["0"], [], [J0])


def test_a_manager_that_connects_while_its_block_is_given_back_finishes_what_it_got() -> None:
    stand = Stand()
    stand.queue()
    stand.drain()
    stand.core.manager_joined("0", "m", stand.now)

    held, left = stand.held(), stand.leave()

    assert (held.drain, held.cancel, left.cancel) == (["0"], [], [J0])


def test_a_block_that_drains_without_managers_is_cancelled_even_if_no_answer_comes() -> None:
    stand = Stand()
    stand.connect()
    stand.drain()
    stand.leave()

    early, late = stand.look(RUNNING), stand.look(RUNNING, after=DESERTED_S)

    assert (early.cancel, late.cancel) == ([], [J0])


def test_a_block_given_back_before_there_is_a_job_is_cancelled_when_there_is_one() -> None:
    stand = Stand()
    stand.request()
    stand.drain()
    stand.held()

    stand.core.submitted("0", J0, stand.now)

    assert stand.core.take_orders().cancel == [J0]


def test_a_block_that_was_given_back_was_scaled_in_whatever_the_scheduler_calls_it() -> None:
    stand = Stand()
    stand.queue()
    stand.drain()
    stand.held()

    stand.look(JobStatus(JobState.FAILED, exit_code=143))

    assert (stand.state, stand.status.state) == (BlockState.ENDED, JobState.SCALED_IN)


def test_a_cancelled_job_that_is_no_longer_listed_has_ended() -> None:
    stand = Stand()
    stand.queue()
    stand.look(PENDING)
    stand.drain()
    stand.held()

    for _ in range(SURE_LOOKS):
        stand.look(None)

    assert (stand.state, stand.status.state) == (BlockState.ENDED, JobState.SCALED_IN)


def test_cancelling_is_ordered_again_while_the_job_runs() -> None:
    stand = Stand()
    stand.queue()
    stand.drain()
    first = stand.held()

    again = [stand.look(RUNNING).cancel for _ in range(SURE_LOOKS)]

    assert first.cancel == [J0]
    assert again == [[]] * (SURE_LOOKS - 1) + [[J0]]
    assert stand.core.open.keys() == {"0"}


def test_a_block_that_all_managers_have_left_is_given_back_after_a_while() -> None:
    stand = Stand()
    stand.connect()
    stand.leave()

    early, late = stand.look(RUNNING), stand.look(RUNNING, after=DESERTED_S)

    assert (early.drain, late.drain) == ([], ["0"])


def test_a_manager_that_comes_back_keeps_its_block() -> None:
    stand = Stand()
    stand.connect()
    stand.leave()
    stand.core.manager_joined("0", "m", stand.now)

    stand.look(RUNNING, after=DESERTED_S)

    assert stand.state is BlockState.RUNNING
