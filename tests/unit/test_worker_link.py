"""Records between workers and managers, and the page that holds what was not sent."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanflow.pilot.worker_link import Page
from fanflow.pilot.worker_records import (
    HEADER,
    LARGE_RESULT,
    PRINTED,
    RESULT,
    LinkError,
    RecordReader,
    pack_tasks,
    read_results,
    unpack_tasks,
)


def record(kind: int, number: int, data: bytes) -> bytes:
    return HEADER.pack(kind, number, 7, len(data)) + data


def drink(reader: RecordReader, data: bytes, sizes: list[int]) -> None:
    """Feed a stream as it comes out of a socket, some bytes at a time."""
    position, turn = 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        turn += 1
        if reader.is_amid_large:
            room = reader.awaited[:size]
            piece = data[position : position + len(room)]
            room[: len(piece)] = piece
            reader.filled(len(piece))
        else:
            piece = data[position : position + size]
            reader.feed(piece)
        position += len(piece)


@given(
    st.lists(st.sampled_from([0, 1, 30, 5_000, LARGE_RESULT, LARGE_RESULT + 1, 200_000]), max_size=6),
    st.lists(st.sampled_from([1, 7, 24, 25, 26, 4_000, 100_000, 300_000]), min_size=1, max_size=4),
)
def test_results_arrive_whole_however_the_stream_is_cut(lengths: list[int], cuts: list[int]) -> None:
    if sum(lengths) > 10_000:
        cuts = [max(cut, 100) for cut in cuts]
    bodies = [bytes([number]) * length for number, length in enumerate(lengths)]
    stream = b"".join(record(RESULT, number, body) for number, body in enumerate(bodies))
    reader = RecordReader(50_000)

    drink(reader, stream, cuts)

    arrived: dict[int, bytes] = {}
    for piece in reader.pieces:
        so_far = arrived.get(piece.attempt, b"")
        assert piece.offset == len(so_far)
        arrived[piece.attempt] = so_far + bytes(piece.data)
    for number, value, data, size in reader.results:
        arrived.setdefault(number, data)
        assert (value, size) == (7, len(arrived[number]))
    assert [number for number, *_ in reader.results] == list(range(len(bodies)))
    assert [arrived[number] for number in range(len(bodies))] == bodies


@given(st.binary(min_size=1, max_size=400))
def test_nonsense_is_an_error_or_waits_for_more(data: bytes) -> None:
    reader = RecordReader(1000)
    try:
        reader.feed(data)
    except LinkError:
        return
    assert len(data) >= HEADER.size * (len(reader.results) + len(reader.others))


def test_a_large_record_that_is_no_result_is_an_error() -> None:
    with pytest.raises(LinkError):
        RecordReader(1000).feed(HEADER.pack(PRINTED, 1, 0, LARGE_RESULT + 1))


def test_the_page_shows_what_was_kept_until_it_was_sent() -> None:
    descriptor = Page.create()
    mine, theirs = Page(descriptor), Page(descriptor)
    os.close(descriptor)

    assert theirs.peek() == b""
    mine.append(record(RESULT, 1, b"one"))
    mine.append(record(RESULT, 2, b"two"))
    assert [(number, data) for number, _, data, _ in read_results(theirs.peek())] == [
        (1, b"one"),
        (2, b"two"),
    ]
    mine.clear()
    assert theirs.peek() == b""
    mine.append(record(RESULT, 3, b"three"))
    assert [number for number, *_ in read_results(theirs.peek())] == [3]

    mine.close()
    theirs.close()


def test_results_before_a_torn_one_are_read() -> None:
    whole = record(RESULT, 1, b"one")

    assert [number for number, *_ in read_results(whole + whole[:-1])] == [1]


def test_packets_say_what_they_were_told() -> None:
    tasks = [(1, 2, b"three", None), (4, 5, None, {"A": "b"})]

    assert unpack_tasks(pack_tasks(tasks)) == tasks
