"""Exceptions between processes: the user's own type, or a stand-in that says everything it can."""

import asyncio
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import pytest

from fanflow.codec.exceptions import pack_error, unpack_error
from fanflow.errors import BashExitFailure, RemoteError, TaskExitedError
from tests.unit.evil_exceptions import (
    CASES,
    Case,
    TwoParametersError,
    make_missing_module_error,
)

MOST_BYTES = 600_000
"""What any of the odd exceptions may weigh."""


def raised(error: BaseException) -> BaseException:
    """The exception, after it has been raised."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - that is what is tested
        return caught


def sent(error: BaseException) -> BaseException:
    return unpack_error(pack_error(raised(error)))


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_odd_exception_comes_back_as_itself_or_as_a_stand_in(case: Case) -> None:
    data = pack_error(raised(case.make()))
    error = unpack_error(data)

    assert type(error).__name__ == case.comes_back_as
    assert case.shows in text_of(error)
    assert "in raised" in text_of(error)
    assert len(data) < MOST_BYTES


def test_there_are_at_least_thirty_odd_exceptions() -> None:
    assert len({case.name for case in CASES}) >= 30


def test_attributes_come_back_although_the_constructor_cannot_be_called() -> None:
    error = sent(TwoParametersError("disk", 7))

    assert isinstance(error, TwoParametersError)
    assert (error.what, error.code, error.args, str(error)) == ("disk", 7, ("disk",), "disk")


def test_a_constructor_that_changes_the_text_does_not_change_it_again() -> None:
    class PrefixedError(Exception):
        def __init__(self, name: str) -> None:
            super().__init__(f"cannot open {name}")

    assert str(sent(PrefixedError("x"))) == "cannot open x"


def test_an_os_error_keeps_its_fields() -> None:
    error = sent(FileNotFoundError(2, "No such file", "data.txt"))

    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename) == (2, "data.txt")


def test_a_subclass_of_os_error_with_a_constructor_of_its_own_keeps_its_fields() -> None:
    class DeviceError(OSError):
        def __init__(self, device: str, code: int) -> None:
            super().__init__(code, "device failed", device)
            self.device = device

    error = sent(DeviceError("tape", 5))

    assert type(error) is DeviceError
    assert (error.errno, error.filename, error.device) == (5, "tape", "tape")


def test_slots_come_back() -> None:
    class SlottedError(Exception):
        __slots__ = ("code",)

        def __init__(self, code: int) -> None:
            super().__init__("slotted")
            self.code = code

    error = sent(SlottedError(4))

    assert type(error) is SlottedError
    assert error.code == 4


def test_what_cannot_be_sent_is_left_out_and_named() -> None:
    class LockedError(Exception):
        pass

    original = LockedError("locked")
    original.handle, original.code = threading.Lock(), 3  # type: ignore[attr-defined]  # as users do

    error = sent(original)

    assert type(error) is LockedError
    assert vars(error)["code"] == 3
    assert "handle" not in vars(error)
    assert "attributes that could not be sent back: handle" in text_of(error)


def test_notes_of_the_user_come_before_the_remote_traceback() -> None:
    original = ValueError("x")
    original.add_note("while reading row 7")

    error = sent(original)

    first, second = error.__notes__
    assert first == "while reading row 7"
    assert second.startswith("remote traceback:\nTraceback (most recent call last):\n")


def test_a_stand_in_keeps_type_name_message_notes_and_traceback() -> None:
    original = next(case for case in CASES if case.name == "class cannot be sent").make()
    original.add_note("a note")

    error = sent(original)

    assert isinstance(error, RemoteError)
    assert error.type_name.endswith("RootedError")
    assert error.message == "rooted"
    assert "in raised" in error.traceback_text
    assert "a note" in error.__notes__


def test_the_traceback_is_one_that_python_can_walk() -> None:
    error = sent(ValueError("x"))

    [frame] = traceback.extract_tb(error.__traceback__)
    assert (frame.name, frame.line) == ("raised", "raise error")


def test_a_deep_traceback_is_cut_in_the_middle() -> None:
    def sink(depth: int) -> NoReturn:
        if depth:
            sink(depth - 1)
        raise ValueError("deep")

    error = unpack_error(pack_error(_caught(lambda: sink(500))))

    assert len(traceback.extract_tb(error.__traceback__)) == 40
    assert len(error.__notes__[0]) < 10_000


def test_the_chain_of_causes_is_kept_up_to_a_bound() -> None:
    root = error = ValueError("0")
    for number in range(1, 50):
        error.__cause__ = ValueError(str(number))
        error = error.__cause__

    chain = list(_causes(sent(root)))

    assert [str(link) for link in chain] == [str(number) for number in range(10)]


def test_a_cause_that_cannot_be_sent_is_a_stand_in_and_the_error_is_itself() -> None:
    original = ValueError("top")
    original.__cause__ = next(case for case in CASES if case.name == "reduce raises").make()

    error = sent(original)

    assert type(error) is ValueError
    assert type(error.__cause__).__name__ == "IrreducibleError"


def test_a_context_that_was_hidden_stays_hidden() -> None:
    def fail(hides: bool) -> NoReturn:
        try:
            raise KeyError("inner")
        except KeyError:
            if hides:
                raise ValueError("outer") from None
            raise ValueError("outer")  # noqa: B904 - the context is what is tested

    shown = unpack_error(pack_error(_caught(lambda: fail(False))))
    hidden = unpack_error(pack_error(_caught(lambda: fail(True))))

    assert isinstance(shown.__context__, KeyError)
    assert not shown.__suppress_context__
    assert hidden.__context__ is None


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_process_is_replaced_and_named(ending: BaseException) -> None:
    error = sent(ending)

    assert isinstance(error, TaskExitedError)
    assert type(ending).__name__ in str(error)


def test_a_subclass_of_system_exit_is_replaced_too() -> None:
    class LeaveError(SystemExit):
        pass

    assert isinstance(sent(LeaveError(1)), TaskExitedError)


def test_our_own_error_carries_no_traceback_of_our_own_frames() -> None:
    error = sent(BashExitFailure("app", 3, stderr_tail="oh"))
    unraised = unpack_error(pack_error(BashExitFailure("app", 3)))

    assert isinstance(error, BashExitFailure)
    assert (error.exitcode, error.stderr_tail) == (3, "oh")
    assert not hasattr(unraised, "__notes__")


def test_a_module_that_is_missing_where_the_error_arrives_gives_a_stand_in() -> None:
    with make_missing_module_error() as original:
        data = pack_error(raised(original))

    error = unpack_error(data)

    assert isinstance(error, RemoteError)
    assert error.type_name == "fleeting_module.FleetingError"
    assert "here it cannot be rebuilt: ModuleNotFoundError" in text_of(error)


def test_only_exceptions_are_rebuilt() -> None:
    text, [link] = pickle.loads(pack_error(ValueError("x")))
    forged = pickle.dumps((text, [link._replace(pickled=pickle.dumps("no exception"))]))

    error = unpack_error(forged)

    assert isinstance(error, RemoteError)
    assert "unpickling it gave a str" in text_of(error)


def test_an_exception_that_passes_twice_keeps_both_tracebacks() -> None:
    error = sent(sent(ValueError("x")))

    assert len(error.__notes__) == 2


def test_a_frozen_dataclass_gets_its_notes_and_cause() -> None:
    @dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    original = FrozenError(4)
    BaseException.__setattr__(original, "__cause__", KeyError("root"))

    error = unpack_error(pack_error(original))

    assert type(error) is FrozenError
    assert error.code == 4
    assert isinstance(error.__cause__, KeyError)


def test_members_of_a_group_come_back_as_themselves() -> None:
    error = sent(ExceptionGroup("several", [TwoParametersError("disk", 1), KeyError("k")]))

    assert isinstance(error, ExceptionGroup)
    first, second = error.exceptions
    assert isinstance(first, TwoParametersError)
    assert first.code == 1
    assert isinstance(second, KeyError)


def test_cancellation_inside_a_task_comes_back_as_itself() -> None:
    assert isinstance(sent(asyncio.CancelledError("mine")), asyncio.CancelledError)


def test_an_exception_of_main_comes_back_as_the_same_class() -> None:
    cls = type("ScriptError", (Exception,), {"__module__": "__main__"})

    assert type(sent(cls("x"))) is cls


def test_pickles_of_errors_need_no_module_but_ours() -> None:
    _, [link] = pickle.loads(pack_error(ValueError("x")))

    assert {type(field) for field in link} <= {bytes, str, list, bool}
    assert "unittest" not in pack_error(ValueError("x")).decode("latin-1")


def _caught(function: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as info:  # noqa: PT011 - any
        function()
    return info.value


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
