"""Conformance rules on the end of an executor: nothing is forgotten, and nothing is left behind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from fanflow.ids import AttemptId
from fanflow.model.attempts import Lost, Raised, Returned
from fanflow.testing import tasks
from fanflow.testing.conformance_cancel import check_consistent, switching_threads_often, with_latches
from fanflow.testing.holdings import Holdings, settles
from fanflow.testing.launches import make_launch
from fanflow.testing.recording import outcomes_by_attempt
from fanflow.testing.stand import ExecutorStand, ExecutorTraits, stand_context, value_of

DEADLINE_S = 0.1
"""For closing while an attempt blocks."""
UNDER_WAY_S = 0.1
"""How long `close` has been running when the attempts it waits for may go on."""


class CloseRules(ExecutorTraits):
    """Executors that end."""

    def test_close_that_drains_finishes_everything(self) -> None:
        with self.running() as stand:
            stand.block(stand.executor.capacity)
            launches = stand.make_marks(50)
            stand.submit(launches)

            with self._gate_opening_soon(stand):
                stand.close(drain=True, deadline=self.patience_s)
                outcomes = outcomes_by_attempt(stand.sink)

            assert all(isinstance(outcomes.get(launch.attempt), Returned) for launch in launches)
            assert all(stand.have_run(launches))

    def test_close_that_does_not_drain_drops_what_has_not_begun(self) -> None:
        self._warm_up()
        before = Holdings.now()
        with self.running() as stand:
            blockers = stand.block(stand.executor.capacity)
            queued = stand.make_marks(40)
            latches = with_latches(queued)
            stand.submit(queued)

            stand.close(drain=False, deadline=DEADLINE_S)
            outcomes = outcomes_by_attempt(stand.sink)
            stand.gate.open()
            # What was left behind gets the time to do something wrong.
            allowed = before.threads | {stand.loop.thread}
            assert settles(lambda: Holdings.now().threads <= allowed, self.patience_s), "threads are left"

            assert all(isinstance(outcomes.get(launch.attempt), Lost) for launch in blockers)
            assert latches[-1].claims == 0 or self.kills
            for launch, latch, has_run in zip(queued, latches, stand.have_run(queued), strict=True):
                outcome = outcomes.get(launch.attempt)
                assert outcome is not None, f"attempt {launch.attempt} has no outcome after close"
                if latch.claims == 0:
                    assert not has_run, f"attempt {launch.attempt} ran after close"
                    assert isinstance(outcome, Lost)

    def test_close_that_does_not_drain_begins_nothing_when_a_worker_becomes_free(self) -> None:
        with self.running() as stand:
            stand.block(stand.executor.capacity)
            queued = stand.make_marks(40)
            latches = with_latches(queued)
            stand.submit(queued)

            with self._gate_opening_soon(stand):
                stand.close(drain=False, deadline=self.patience_s)

            outcomes = stand.wait_for(queued)
            assert latches[-1].claims == 0 or self.kills, "an attempt began after close"
            for outcome, latch, has_run in zip(outcomes, latches, stand.have_run(queued), strict=True):
                if latch.claims == 0:
                    assert not has_run, f"attempt {outcome.attempt} ran after close"
                    assert isinstance(outcome, Lost), f"reported as {type(outcome).__name__}"

    def test_close_keeps_its_deadline_and_reports_no_late_result(self) -> None:
        self._warm_up()
        before = Holdings.now()
        with self.running() as stand:
            blockers = stand.block(1)

            stand.close(drain=True, deadline=DEADLINE_S)

            outcomes = outcomes_by_attempt(stand.sink)
            assert isinstance(outcomes.get(blockers[0].attempt), Lost)
            stand.gate.open()
            allowed = before.threads | {stand.loop.thread}
            assert settles(lambda: Holdings.now().threads <= allowed, self.patience_s), "threads are left"

    def test_close_can_be_called_again(self) -> None:
        with self.running() as stand:
            stand.see_it_go_on()

            stand.close(drain=True, deadline=self.patience_s)
            stand.close(drain=True, deadline=self.patience_s)
            stand.close(drain=False, deadline=self.patience_s)

    def test_attempts_that_come_after_close_are_refused_without_an_exception(self) -> None:
        with self.running() as stand:
            stand.see_it_go_on()
            stand.close(drain=True, deadline=self.patience_s)

            late = stand.make_marks(3)
            stand.submit(late)
            stand.cancel(late)

            for outcome in stand.wait_for(late):
                assert isinstance(outcome, Lost | Raised), f"reported as {type(outcome).__name__}"
            assert not any(stand.have_run(late)), "an attempt ran after close"

    def test_close_while_results_arrive_gives_one_outcome_that_is_true(self) -> None:
        with self.running() as stand:
            launches = stand.make_marks(300)
            stand.submit(launches)
            stand.wait_for(launches[:1])

            stand.close(drain=False, deadline=self.patience_s)

            outcomes = stand.wait_for(launches)
            for outcome, has_run in zip(outcomes, stand.have_run(launches), strict=True):
                if isinstance(outcome, Returned):
                    check_consistent(outcome, has_run=has_run)

    def test_attempts_submitted_while_it_closes_have_one_outcome_each(self) -> None:
        with self.running() as stand:
            launches = stand.make_marks(300)

            def submit_each() -> None:
                for launch in launches:
                    stand.submit([launch])

            with switching_threads_often(), ThreadPoolExecutor(1) as kernel:
                submitting = kernel.submit(submit_each)
                stand.sink.wait_for(20, self.patience_s)
                stand.close(drain=False, deadline=self.patience_s)
                submitting.result(self.patience_s)

            outcomes = stand.wait_for(launches)
            for outcome, has_run in zip(outcomes, stand.have_run(launches), strict=True):
                if isinstance(outcome, Returned):
                    check_consistent(outcome, has_run=has_run)

    def test_an_executor_that_never_worked_can_be_closed(self) -> None:
        with self.running() as stand:
            stand.close(drain=True, deadline=self.patience_s)

    def test_an_executor_that_was_never_started_can_be_closed(self) -> None:
        with self.running() as other:
            executor = self.make_spec().build(stand_context(other.directory))
            executor.close(drain=False, deadline=self.patience_s)

    def test_nothing_is_left_behind(self) -> None:
        self._warm_up()
        before = Holdings.now()

        for drain in (True, False):
            with self.running() as stand:
                values = stand.values([make_launch(tasks.add, number, 1) for number in range(20)])
                assert len(values) == 20
                stand.cancel_ids([AttemptId(10**9)])
                stand.close(drain=drain, deadline=self.patience_s)

        assert settles(lambda: not Holdings.now().beyond(before), self.patience_s / 4), (
            f"left behind: {Holdings.now().beyond(before)}"
        )

    @contextlib.contextmanager
    def _gate_opening_soon(self, stand: ExecutorStand) -> Generator[None]:
        """Open the gate when `close`, called in the block, is under way."""

        def open_gate() -> None:
            stand.is_closing.wait(self.patience_s)
            threading.Event().wait(UNDER_WAY_S)
            stand.gate.open()

        opener = threading.Thread(target=open_gate, name="fanflow-testing-opener")
        opener.start()
        try:
            yield
        finally:
            opener.join()

    def _warm_up(self) -> None:
        """Let libraries start the helpers that they keep for the life of the process."""
        with self.running() as stand:
            assert value_of(stand.run(make_launch(tasks.add, 1, 2))[0]) == 3
