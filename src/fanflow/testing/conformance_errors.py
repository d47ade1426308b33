"""Conformance rules on attempts that end badly: each harms itself only, and says what happened."""

from __future__ import annotations

import signal
import threading
import traceback

from fanflow.errors import InvalidResourceSpecification, PicklingError, RemoteError, TaskExitedError
from fanflow.model.attempts import Launch, Lost, Raised, Returned
from fanflow.testing import tasks
from fanflow.testing.evil import FACTORIES, SealedValue, TrappedValue, make_nested
from fanflow.testing.launches import make_launch
from fanflow.testing.recording import Outcome
from fanflow.testing.stand import ExecutorTraits, error_of, value_of

DEEP = 20_000
"""Lists inside each other; more than any pickler takes."""

MOST_SHOWN = 2000
"""Characters of a traceback that a message of this suite repeats."""


def text_of(error: BaseException) -> str:
    """An exception as a user sees it, notes and causes included."""
    return "".join(traceback.format_exception(error))


class ErrorRules(ExecutorTraits):
    """Attempts that end badly."""

    def test_an_exception_comes_back_as_its_own_type_with_the_remote_traceback(self) -> None:
        with self.running() as stand:
            error = error_of(stand.run(make_launch(tasks.raise_value_error, "seven"))[0])
            stand.see_it_go_on()

        assert type(error) is ValueError
        assert error.args == ("seven",)
        assert "raise_value_error" in text_of(error), f"no remote traceback in:\n{text_of(error)}"

    def test_the_cause_of_an_exception_can_be_read(self) -> None:
        with self.running() as stand:
            error = error_of(stand.run(make_launch(tasks.raise_chained, "the root cause"))[0])

        assert type(error) is LookupError
        assert "the root cause" in text_of(error), f"no cause in:\n{text_of(error)}"

    def test_every_odd_exception_ends_its_own_attempt_only(self) -> None:
        with self.running() as stand:
            launches = {name: make_launch(tasks.raise_made_by, name) for name in FACTORIES}
            outcomes = stand.run(*launches.values())
            stand.see_it_go_on()

        wrong = [
            complaint
            for name, outcome in zip(launches, outcomes, strict=True)
            if (complaint := self._complain_about_error(name, outcome))
        ]
        assert not wrong, "; ".join(wrong)

    def _complain_about_error(self, name: str, outcome: Outcome) -> str | None:
        original = FACTORIES[name]()
        if not isinstance(outcome, Raised):
            return f"{name}: ended as {type(outcome).__name__}"
        error = outcome.error
        class_name = type(original).__name__
        is_itself = type(error).__name__ == class_name
        is_stand_in = (
            isinstance(error, RemoteError) and not self.in_process and error.type_name.endswith(class_name)
        )
        is_exit = isinstance(error, TaskExitedError) and not isinstance(original, Exception)
        if not (is_itself or is_stand_in or is_exit):
            return f"{name}: came back as {type(error).__name__}"
        if "raise_made_by" not in text_of(error):
            return f"{name}: no remote traceback in:\n{text_of(error)[:MOST_SHOWN]}"
        return None

    def test_attempts_that_try_to_end_the_process_raise_and_the_executor_goes_on(self) -> None:
        with self.running() as stand:
            outcomes = stand.run(
                make_launch(tasks.exit_process, 0),
                make_launch(tasks.exit_process, 3),
                make_launch(tasks.interrupt),
            )
            stand.see_it_go_on()

        kinds = [type(error_of(outcome)) for outcome in outcomes]
        assert kinds == [TaskExitedError] * 3, f"came back as {[kind.__name__ for kind in kinds]}"

    def test_an_argument_that_cannot_be_pickled_fails_its_own_attempt_and_is_named(self) -> None:
        lock = threading.Lock()
        good = [make_launch(tasks.add, number, 1) for number in range(10)]
        bad = [
            make_launch(tasks.describe_call, 1, {"handle": lock}),
            make_launch(tasks.describe_call, name=[0, lock]),
        ]
        with self.running() as stand:
            outcomes = stand.run(*good[:5], *bad, *good[5:])
            stand.see_it_go_on()

        assert [value_of(outcome) for outcome in outcomes[:5] + outcomes[7:]] == list(range(1, 11))
        if self.in_process:
            assert value_of(outcomes[5]) == ((1, {"handle": lock}), {})
            return
        for outcome, parts in zip(outcomes[5:7], (("args[1]", "handle"), ("name", "[1]")), strict=True):
            error = error_of(outcome)
            assert isinstance(error, PicklingError), f"{type(error).__name__} instead of PicklingError"
            unnamed = [part for part in parts if part not in error.path]
            assert not unnamed, f"the path {error.path!r} does not contain {unnamed}"

    def test_a_function_that_cannot_be_pickled_fails_its_own_attempt(self) -> None:
        self.only_if(not self.in_process, "pickles nothing")
        lock = threading.Lock()

        def closure() -> bool:
            return lock.locked()

        with self.running() as stand:
            error = error_of(stand.run(make_launch(closure))[0])
            stand.see_it_go_on()

        assert isinstance(error, PicklingError), f"{type(error).__name__} instead of PicklingError"

    def test_a_result_that_cannot_be_pickled_fails_its_own_attempt(self) -> None:
        with self.running() as stand:
            outcome = stand.run(make_launch(tasks.make_lock))[0]
            stand.see_it_go_on()

        if self.in_process:
            assert isinstance(outcome, Returned)
            return
        error = error_of(outcome)
        assert isinstance(error, PicklingError), f"{type(error).__name__} instead of PicklingError"

    def test_values_that_cannot_be_unpickled_fail_their_own_attempts(self) -> None:
        self.only_if(not self.in_process, "pickles nothing")
        with self.running() as stand:
            sealed = stand.run(make_launch(tasks.echo, SealedValue()), make_launch(tasks.make_sealed))
            trapped = stand.run(make_launch(tasks.echo, TrappedValue()), make_launch(tasks.make_trap))
            stand.see_it_go_on()

        for outcome in sealed:
            assert "cannot be unpickled" in text_of(error_of(outcome))
        for outcome in trapped:
            assert "a trap" in text_of(error_of(outcome))

    def test_values_nested_too_deeply_harm_no_other_attempt(self) -> None:
        with self.running() as stand:
            outcomes = stand.run(
                make_launch(tasks.take_nothing_from, make_nested(DEEP)), make_launch(tasks.make_deep, DEEP)
            )
            stand.see_it_go_on()

        for outcome in outcomes:
            if self.in_process:
                assert isinstance(outcome, Returned)
            else:
                error = error_of(outcome)
                assert isinstance(error, PicklingError), f"{type(error).__name__} instead of PicklingError"

    def test_resources_that_it_does_not_understand_fail_their_own_attempt(self) -> None:
        with self.running() as stand:
            launch = make_launch(tasks.add, 1, 2)
            launch.resources = {"bananas": 3}
            without = make_launch(tasks.add, 1, 2)
            without.resources = {}
            outcomes = stand.run(launch, without)
            stand.see_it_go_on()

        error = error_of(outcomes[0])
        assert isinstance(error, InvalidResourceSpecification), f"{type(error).__name__} was raised"
        assert "bananas" in str(error)
        assert value_of(outcomes[1]) == 3

    def test_a_process_that_dies_loses_its_attempt_and_the_executor_goes_on(self) -> None:
        self.only_if(self.isolates_crashes, "its attempts share a process with the kernel")
        with self.running() as stand:
            for launch in (
                make_launch(tasks.die, 3),
                make_launch(tasks.kill_own_process, signal.SIGKILL),
                make_launch(tasks.kill_own_process, signal.SIGSEGV),
            ):
                outcome = stand.run(launch)[0]
                assert isinstance(outcome, Lost), f"a dead process is reported as {type(outcome).__name__}"
                stand.see_it_go_on()

    def test_a_process_that_dies_takes_no_attempt_out_of_the_count(self) -> None:
        self.only_if(self.isolates_crashes, "its attempts share a process with the kernel")
        with self.running() as stand:
            others = stand.make_marks(40)
            stand.submit([*others[:20], make_launch(tasks.die, 3), *others[20:]])

            for outcome, has_run in zip(stand.wait_for(others), stand.have_run(others), strict=True):
                assert has_run or isinstance(outcome, Lost), f"reported as {type(outcome).__name__}"
            stand.see_it_go_on()

    def test_bad_attempts_between_good_ones_harm_none_of_them(self) -> None:
        def make_bad() -> list[Launch]:
            wrong_call = make_launch(tasks.add, 1, 2)
            wrong_call.args = ()
            return [
                make_launch(tasks.raise_value_error, "bad"),
                make_launch(tasks.exit_process, 1),
                wrong_call,
                make_launch(tasks.raise_made_by, "constructor with two arguments"),
            ]

        good = [make_launch(tasks.add, number, 1) for number in range(100)]
        with self.running() as stand:
            batch: list[Launch] = []
            for position in range(0, 100, 20):
                batch += [*good[position : position + 20], *make_bad()]
            stand.submit(batch)

            assert [value_of(outcome) for outcome in stand.wait_for(good)] == list(range(1, 101))
            assert sum(isinstance(outcome, Raised) for outcome in stand.wait_for(batch)) == 20
