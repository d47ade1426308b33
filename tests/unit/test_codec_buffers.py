"""Large arrays as a pickle and its buffers: what comes back, whose memory it is, what is refused."""

import pickle

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanflow.codec.buffers import make_room, pack_value, size_of, unpack_value, whole
from fanflow.codec.calls import pack_parts, run_parts, unpack_outcome
from fanflow.ids import AttemptId
from fanflow.model.attempts import Returned
from fanflow.testing import tasks
from fanflow.testing.launches import make_launch

LARGE = 1 << 20
"""Elements: 8 MB of them take memory in huge pages."""


def packed(value: object) -> bytes | memoryview:
    found = pack_value(value)
    return found if isinstance(found, bytes) else whole(found)


@given(
    st.lists(
        st.one_of(
            st.integers(),
            st.text(),
            st.builds(lambda size: np.arange(size, dtype=np.uint8), st.integers(0, 1 << 17)),
            st.builds(lambda side: np.arange(float(side * side)).reshape(side, side), st.integers(0, 99)),
        ),
        max_size=5,
    )
)
def test_values_with_arrays_come_back_as_they_were(values: list[object]) -> None:
    found = unpack_value(packed(values))

    assert len(found) == len(values)
    for value, copy in zip(values, found, strict=True):
        assert type(copy) is type(value)
        assert np.array_equal(copy, value)


@pytest.mark.parametrize("size", [1, 1_000, LARGE])
def test_an_array_can_be_written_where_it_arrives(size: int) -> None:
    array = unpack_value(packed(np.zeros(size)))

    array[:] = 1.0

    assert array.sum() == size


def test_an_array_that_cannot_be_written_stays_so() -> None:
    frozen = np.zeros(LARGE)
    frozen.flags.writeable = False

    assert not unpack_value(packed(frozen)).flags.writeable


def test_a_large_array_stays_in_the_memory_that_it_came_in_and_lies_there_well() -> None:
    data = packed([np.zeros(LARGE), np.ones(3), np.ones(LARGE)])

    first, _, last = unpack_value(data)

    memory = np.frombuffer(data, dtype=np.uint8)
    assert np.shares_memory(first, memory)
    assert np.shares_memory(last, memory)
    assert first.ctypes.data % 64 == last.ctypes.data % 64 == 0


def test_what_happens_to_an_argument_after_the_call_was_packed_is_not_seen() -> None:
    array = np.zeros(LARGE)
    head, body = pack_parts(make_launch(tasks.echo, array))

    array[:] = 1.0

    outcome = run_parts(head, body)
    result = unpack_outcome(outcome if isinstance(outcome, bytes) else whole(outcome), AttemptId(1))
    assert isinstance(result, Returned)
    assert isinstance(result.value, np.ndarray)
    assert not result.value.any()


def test_a_large_result_is_handed_out_without_a_copy() -> None:
    array = np.zeros(LARGE)

    pieces = pack_value(array)

    assert not isinstance(pieces, bytes)
    assert size_of(pieces) < array.nbytes + 1_000
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), array) for piece in pieces if piece)


@given(st.binary(max_size=60))
def test_a_layout_that_makes_no_sense_is_refused(rest: bytes) -> None:
    with pytest.raises((ValueError, pickle.UnpicklingError, EOFError, IndexError)):
        unpack_value(b"B\xff" + rest)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_payload_of_another_length_than_its_layout_says_is_refused(change: int) -> None:
    data = bytes(packed(np.zeros(100)))

    with pytest.raises(ValueError, match="buffers"):
        unpack_value(data[:change] if change < 0 else data + b"\0")


def test_room_is_empty_and_can_be_written() -> None:
    for size in (0, 10, 5 << 20):
        room = make_room(size)

        assert len(room) == size
        assert not np.frombuffer(room, np.uint8).any()
        assert not room.readonly


class Doubling:
    """Doubles its array each time that it is unpickled."""

    def __init__(self, array: "npt.NDArray[np.float64]") -> None:
        self.array = array

    def __setstate__(self, state: "dict[str, npt.NDArray[np.float64]]") -> None:
        self.array = state["array"]
        self.array *= 2


def make_doubling() -> Doubling:
    return Doubling(np.ones(LARGE))


def test_trying_a_result_out_does_not_change_its_arrays() -> None:
    head, body = pack_parts(make_launch(make_doubling))

    outcome = run_parts(head, body)

    result = unpack_outcome(outcome if isinstance(outcome, bytes) else whole(outcome), AttemptId(1))
    assert isinstance(result, Returned)
    assert isinstance(result.value, Doubling)
    assert result.value.array.sum() == 2 * LARGE
