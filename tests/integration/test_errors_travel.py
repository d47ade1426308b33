"""What goes wrong in a task reaches whoever asks, as itself, with its cause and its way."""

import inspect
import pickle
import traceback
from concurrent.futures import Future

import pytest

import fanflow
from fanflow import File, errors, join_app, python_app
from fanflow.core.transitions import InvalidTransitionError, Signal
from fanflow.errors import DependencyError, FanflowError, JoinError, PropagatedException
from fanflow.model.states import States
from tests.integration.kernels import PATIENCE_S, Door


class MyError(Exception):
    """A user's own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


@python_app
def fail(after: object = None) -> object:
    raise MyError(7)


@python_app
def use(*args: object, **kwargs: object) -> object:
    return args


@python_app
def make_file(outputs: list[File]) -> object:
    raise MyError(8)


@join_app
def join_one() -> "Future[object]":
    return fail()


@join_app
def join_several() -> "list[Future[object]]":
    return [fail(), use(), fail()]


def test_the_users_own_exception_comes_back_with_its_traceback(kernel: fanflow.DataFlowKernel) -> None:
    with pytest.raises(MyError, match="code 7") as caught:
        fail().result(PATIENCE_S)

    assert caught.value.code == 7
    assert "raise MyError(7)" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: use(fail()), "Dependency failure for task 1. The representative cause is via task 0"),
        (
            lambda: use(use(fail())),
            "Dependency failure for task 2. The representative cause is via task 1 <- task 0",
        ),
        (
            lambda: use(fail(), use(), fail()),
            "Dependency failure for task 3. The representative cause is via task 0 (+ others)",
        ),
        (
            lambda: use(use(fail(), use(), fail())),
            "Dependency failure for task 4. The representative cause is via task 3 <- task 0 (+ others)",
        ),
        (
            lambda: use(make_file(outputs=[File("x")]).outputs[0]),
            "Dependency failure for task 1. The representative cause is via DataFuture from task 0",
        ),
        (
            lambda: use(use(inputs=[make_file(outputs=[File("x")]).outputs[0]])),
            "Dependency failure for task 2. The representative cause is via task 1 <- DataFuture from task 0",
        ),
        (join_one, "Join failure for task 0. The representative cause is via task 1"),
        (join_several, "Join failure for task 0. The representative cause is via task 1 (+ others)"),
        (
            lambda: use(join_one()),
            "Dependency failure for task {after}. The representative cause is via task 0 <- task {inner}",
        ),
    ],
)
def test_the_text_names_the_way_to_the_cause(make: object, text: str, kernel: fanflow.DataFlowKernel) -> None:
    error = make().exception(PATIENCE_S)  # type: ignore[operator]

    assert isinstance(error, PropagatedException)
    numbers = [error.task_id, *(int(word) for word in str(error).replace("<-", "").split() if word.isdigit())]
    assert str(error) == text.format(after=error.task_id, inner=numbers[-1])
    assert isinstance(error.__cause__, MyError)


def test_a_foreign_future_is_named_by_its_repr(kernel: fanflow.DataFlowKernel) -> None:
    foreign: Future[object] = Future()
    foreign.set_exception(MyError(1))

    error = use(foreign).exception(PATIENCE_S)

    assert str(error) == (f"Dependency failure for task 0. The representative cause is via {foreign!r}")


@pytest.mark.parametrize("first", [0, 1])
def test_the_representative_cause_is_the_first_argument_whichever_fails_first(
    first: int, kernel: fanflow.DataFlowKernel
) -> None:
    with Door() as one, Door() as two:
        doors = [one, two]
        passes = [python_app(door.pass_through)() for door in doors]
        failing = [fail(passes[0]), fail(passes[1])]
        foreign: Future[object] = Future()
        after = use([failing[0]], foreign, last=failing[1])
        one.wait_for(1)
        two.wait_for(1)

        if first == 1:
            foreign.set_exception(MyError(2))
        doors[first].open()
        failing[first].exception(PATIENCE_S)
        doors[1 - first].open()
        failing[1 - first].exception(PATIENCE_S)
        if first == 0:
            foreign.set_exception(MyError(2))
        error = after.exception(PATIENCE_S)

    assert isinstance(error, DependencyError)
    descriptions = [description for _, description in error.dependent_exceptions_tids]
    assert descriptions[0] == f"task {failing[0].tid}"
    assert "Future at" in descriptions[1]
    assert descriptions[2] == f"task {failing[1].tid}"
    assert str(error).endswith(f"task {failing[0].tid} (+ others)")


def test_a_long_way_is_elided_in_the_middle(kernel: fanflow.DataFlowKernel) -> None:
    link = fail()
    for _ in range(50):
        link = use(link)

    text = str(link.exception(PATIENCE_S))

    assert text.count("<-") == 20
    assert text.endswith("<- (30 more) <- task 0")
    assert "via task 49 <- task 48" in text


def test_a_cancelled_dependency_is_told_as_such(kernel: fanflow.DataFlowKernel) -> None:
    with Door() as door:
        blockers = [python_app(door.pass_through)() for _ in range(2)]
        door.wait_for(2)
        waiting = use()
        after = use(waiting)
        assert waiting.cancel()

        error = after.exception(PATIENCE_S)

    assert isinstance(error, DependencyError)
    assert str(error).endswith(f"via task {waiting.tid}")
    assert type(error.__cause__).__name__ == "CancelledError"
    assert [blocker.result(PATIENCE_S) for blocker in blockers] == [None, None]


def test_explain_tells_the_way_and_the_cause(kernel: fanflow.DataFlowKernel) -> None:
    last = use(use(fail()))
    last.exception(PATIENCE_S)

    explanation = last.explain()

    assert explanation.state == "dep_fail"
    assert explanation.path == ("task 1", "task 0")
    assert "MyError: code 7" in str(explanation)


MADE = {
    "OptionTypeError": lambda: errors.OptionTypeError("Config", "retries", "x", "an int"),
    "OptionalModuleMissing": lambda: errors.OptionalModuleMissing(["zmq"], "needed"),
    "NestedAppError": lambda: errors.NestedAppError("app"),
    "WaitInCallbackError": lambda: errors.WaitInCallbackError("task 1"),
    "DeadlockError": lambda: errors.DeadlockError("threads", [("task 1", "task 2")]),
    "BashExitFailure": lambda: errors.BashExitFailure("app", 3, stderr_tail="gone"),
    "BashAppNoReturn": lambda: errors.BashAppNoReturn("none"),
    "TaskExitedError": lambda: errors.TaskExitedError("SystemExit(1)"),
    "RemoteError": lambda: errors.RemoteError("m.E", "text", "trace"),
    "MissingOutputs": lambda: errors.MissingOutputs("missing", ["a", "b"]),
    "MissingInputsError": lambda: errors.MissingInputsError("app", ["a"]),
    "BadStdStreamFile": lambda: errors.BadStdStreamFile("path"),
    "PropagatedException": lambda: PropagatedException(
        [(MyError.__base__("x"), "task 1")], 2, failure_description="Failure"
    ),
    "DependencyError": lambda: DependencyError([(ValueError("x"), "task 1"), (KeyError("y"), "task 2")], 3),
    "JoinError": lambda: JoinError([(DependencyError([(ValueError("x"), "task 1")], 2), "task 2")], 3),
    "PicklingError": lambda: errors.PicklingError("argument 1", "args[0].handle", "no"),
    "ExecutorError": lambda: errors.ExecutorError("threads", "gone"),
    "ScalingFailed": lambda: errors.ScalingFailed("htex", "no job"),
    "BadStateException": lambda: errors.BadStateException("threads", OSError("gone")),
    "UnsupportedFeatureError": lambda: errors.UnsupportedFeatureError("resources", "threads", "htex"),
    "InvalidResourceSpecification": lambda: errors.InvalidResourceSpecification({"gpus"}, "none here"),
}
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, FanflowError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling(cls: type[FanflowError]) -> None:
    error: FanflowError = MADE[cls.__name__]() if cls.__name__ in MADE else cls("what happened")
    error.add_note("a note")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.__notes__ == error.__notes__
    skipped = {"dependent_exceptions_tids", "exception", "__cause__", "depth", "_root_description"}
    for name in vars(error).keys() - skipped:
        assert getattr(copy, name) == getattr(error, name), name


def test_a_pickled_dependency_error_keeps_its_way_and_its_root_but_no_chain() -> None:
    error: BaseException = PlainError("root")
    for number in range(1000):
        error = DependencyError([(error, f"task {number}")], number + 1)

    data = pickle.dumps(error)
    copy = pickle.loads(data)

    assert len(data) < 2000
    assert str(copy) == str(error)
    assert isinstance(copy.__cause__, PlainError)


class PlainError(Exception):
    """A user's own, without a constructor."""


def test_the_error_of_the_rules_survives_pickling() -> None:
    error = InvalidTransitionError(3, States.failed, Signal.LAUNCH)

    copy = pickle.loads(pickle.dumps(error))

    assert (copy.task, copy.state, copy.signal, str(copy)) == (3, States.failed, Signal.LAUNCH, str(error))
