"""Conformance rules on attempts that end well: every one has one outcome, and it is the right one."""

from __future__ import annotations

import builtins
import functools
import gc
import types
import weakref
from collections.abc import Callable

from fanflow.model.attempts import Launch, Returned
from fanflow.testing import tasks
from fanflow.testing.evil import IncomparableValue
from fanflow.testing.holdings import settles
from fanflow.testing.launches import make_launch
from fanflow.testing.stand import ExecutorTraits

MANY = 1000
BIG = 8 * 1024 * 1024
factor = 2
"""What `times_factor` multiplies with where it is not taken to another module."""


def times_factor(number: int) -> int:
    """Multiplies with a global variable of its module."""
    return factor * number


def make_function_of_main() -> Callable[[int], object]:
    """A function as a user's script holds it: of a module `__main__` that no other process has."""
    script = {"__name__": "__main__", "__builtins__": builtins, "factor": 3}
    return types.FunctionType(times_factor.__code__, script, "times_factor")


def of_one_number(function: Callable[[int], object]) -> Callable[[int], object]:
    """Tells the type checkers what a lambda takes."""
    return function


class Adder:
    """An object whose method is a task."""

    def __init__(self, left: int) -> None:
        self.left = left

    def add(self, right: int) -> int:
        """Adds."""
        return self.left + right


class OutcomeRules(ExecutorTraits):
    """Attempts that end well."""

    def test_the_executor_is_what_its_specification_and_traits_say(self) -> None:
        spec = self.make_spec()
        with self.running() as stand:
            assert stand.executor.label == spec.label
            assert stand.executor.capacity >= (2 if self.concurrent else 1)
            assert stand.executor.kills == self.kills
            assert stand.executor.stops_commands or not self.kills

    def test_a_value_comes_back(self) -> None:
        with self.running() as stand:
            assert stand.values([make_launch(tasks.add, 2, 3)]) == [5]

    def test_positional_and_keyword_arguments_arrive(self) -> None:
        with self.running() as stand:
            launch = make_launch(tasks.describe_call, 1, [2, {3}], name="x", none=None)

            assert stand.values([launch]) == [((1, [2, {3}]), {"name": "x", "none": None})]

    def test_an_empty_batch_is_accepted(self) -> None:
        with self.running() as stand:
            stand.submit([])
            stand.see_it_go_on()

    def test_every_attempt_of_a_large_batch_has_one_outcome(self) -> None:
        with self.running() as stand:
            values = stand.values([make_launch(tasks.add, number, 1) for number in range(MANY)])

        assert values == [number + 1 for number in range(MANY)]

    def test_attempts_submitted_one_by_one_have_one_outcome_each(self) -> None:
        with self.running() as stand:
            launches = [make_launch(tasks.add, number, 1) for number in range(MANY)]
            for launch in launches:
                stand.submit([launch])
            outcomes = stand.wait_for(launches)

        assert len(outcomes) == MANY

    def test_batches_can_be_submitted_while_results_arrive(self) -> None:
        with self.running() as stand:
            launches: list[Launch] = []
            for size in (1, 100, 3, 200, 17, 50):
                batch = [make_launch(tasks.add, size, number) for number in range(size)]
                stand.submit(batch)
                stand.wait_for(batch[:1])
                launches += batch
            outcomes = stand.wait_for(launches)

        assert len(outcomes) == 371

    def test_a_specification_builds_independent_executors(self) -> None:
        spec = self.make_spec()
        with self.running_from(spec) as first, self.running_from(spec) as second:
            first.see_it_go_on()
            first.close(drain=True, deadline=self.patience_s)
            second.see_it_go_on()

    def test_submit_returns_while_the_attempts_still_run(self) -> None:
        with self.running() as stand:
            blockers = stand.block(1)
            assert not stand.sink.outcomes, "the attempt is blocked, and yet it has an outcome"

            stand.gate.open()
            assert [outcome.attempt for outcome in stand.wait_for(blockers)] == [blockers[0].attempt]

    def test_as_many_attempts_run_at_one_time_as_its_capacity_says(self) -> None:
        with self.running() as stand:
            stand.block(stand.executor.capacity)

    def test_big_arguments_and_results_arrive_whole(self) -> None:
        data = tasks.make_bytes(BIG)
        with self.running() as stand:
            sent, received = stand.values(
                [make_launch(tasks.digest, data), make_launch(tasks.make_bytes, BIG)]
            )

        assert sent == tasks.digest(data), "8 MB arrived changed"
        assert received == data, "8 MB came back changed"

    def test_functions_that_no_module_holds_run(self) -> None:
        offset = 10

        def closure(number: int) -> int:
            return number + offset

        with self.running() as stand:
            values = stand.values(
                [
                    make_launch(closure, 5),
                    make_launch(of_one_number(lambda number: number - offset), 5),
                    make_launch(functools.partial(tasks.add, 1), 5),
                    make_launch(Adder(2).add, 5),
                    make_launch(make_function_of_main(), 5),
                ]
            )

        assert values == [15, -5, 6, 7, 15]

    def test_nothing_of_an_attempt_is_kept_after_its_outcome(self) -> None:
        with self.running() as stand:
            stand.see_it_go_on()
            adder = Adder(1)
            is_gone = weakref.ref(adder)
            outcomes = stand.run(make_launch(tasks.take_nothing_from, adder), make_launch(tasks.echo, adder))
            for outcome in outcomes:  # the sink of this stand keeps them
                assert isinstance(outcome, Returned)
                outcome.value = None
            del adder

            assert settles(lambda: gc.collect() >= 0 and is_gone() is None, self.patience_s / 4), (
                "an argument or a result is kept alive"
            )

    def test_values_that_look_like_something_else_are_values(self) -> None:
        with self.running() as stand:
            exception, incomparable, nothing = stand.values(
                [
                    make_launch(tasks.make_exception, "a value"),
                    make_launch(IncomparableValue),
                    make_launch(tasks.echo, None),
                ]
            )

        assert isinstance(exception, ValueError)
        assert type(incomparable).__name__ == "IncomparableValue"
        assert nothing is None
