"""What goes through the codec comes out equal, whatever it is."""

from hypothesis import given
from hypothesis import strategies as st

from fanflow.codec.calls import pack_call, run_packed, unpack_outcome
from fanflow.codec.exceptions import pack_error, unpack_error
from fanflow.codec.pickling import find_unpicklable
from fanflow.errors import TaskExitedError
from fanflow.ids import AttemptId
from fanflow.model.attempts import Raised, Returned
from fanflow.testing import make_launch, tasks

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)
EXCEPTIONS = st.sampled_from(
    [ValueError, KeyError, OSError, RuntimeError, StopIteration, ArithmeticError, ImportError, SystemExit]
)


@given(st.lists(VALUES, max_size=4), st.dictionaries(st.text(min_size=1), VALUES, max_size=4))
def test_a_call_returns_what_it_was_given(args: list[object], kwargs: dict[str, object]) -> None:
    launch = make_launch(tasks.describe_call, *args, **kwargs)

    outcome = unpack_outcome(run_packed(pack_call(launch)), AttemptId(1))

    assert isinstance(outcome, Returned)
    assert outcome.value == (tuple(args), kwargs)


@given(EXCEPTIONS, st.lists(VALUES, max_size=3), st.lists(st.text(), max_size=3))
def test_an_exception_comes_back_with_type_arguments_text_and_notes(
    cls: type[BaseException], args: list[object], notes: list[str]
) -> None:
    error = cls(*args)
    for note in notes:
        error.add_note(note)

    copy = unpack_error(pack_error(error))

    if isinstance(error, SystemExit):
        assert isinstance(copy, TaskExitedError)
        return
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert getattr(copy, "__notes__", []) == notes


@given(st.lists(st.tuples(EXCEPTIONS, st.booleans()), min_size=2, max_size=8))
def test_a_chain_comes_back_link_by_link(links: list[tuple[type[BaseException], bool]]) -> None:
    first = ValueError("first")
    above: BaseException = first
    for number, (cls, is_cause) in enumerate(links):
        below = cls(str(number))
        if is_cause:
            above.__cause__ = below
        else:
            above.__context__ = below
        above = below

    copy: BaseException = unpack_error(pack_error(first))

    for cls, is_cause in links:
        below_copy = copy.__cause__ if is_cause else copy.__context__
        assert type(below_copy) is cls
        copy = below_copy


@given(st.binary(max_size=200))
def test_no_bytes_make_unpacking_raise(data: bytes) -> None:
    assert isinstance(unpack_outcome(b"E" + data, AttemptId(1)), Raised)
    assert isinstance(unpack_outcome(run_packed(data), AttemptId(1)), Raised)


@given(VALUES)
def test_nothing_is_found_in_what_can_be_pickled(value: object) -> None:
    assert find_unpicklable(value, "x") == ("x", "")
