import threading

import pytest

from fanflow.codec.stoppable import register, stop_thread


def test_a_registered_thread_is_told_to_stop() -> None:
    calls: list[str] = []

    with register(lambda: calls.append("stop")):
        told = stop_thread(threading.get_ident())

    assert told
    assert calls == ["stop"]


def test_a_thread_without_anything_to_stop_is_left_alone() -> None:
    assert not stop_thread(threading.get_ident())


def test_nothing_is_called_after_the_block() -> None:
    calls: list[str] = []

    with register(lambda: calls.append("stop")):
        pass

    assert not stop_thread(threading.get_ident())
    assert calls == []


def test_an_error_in_the_block_unregisters() -> None:
    with pytest.raises(ZeroDivisionError), register(lambda: None):
        _ = 1 // 0

    assert not stop_thread(threading.get_ident())


def test_the_inner_of_two_blocks_is_stopped_and_the_outer_returns() -> None:
    calls: list[str] = []
    here = threading.get_ident()

    with register(lambda: calls.append("outer")):
        with register(lambda: calls.append("inner")):
            stop_thread(here)
        stop_thread(here)

    assert calls == ["inner", "outer"]


def test_threads_do_not_stop_each_other() -> None:
    calls: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def wait(name: str) -> None:
        with register(lambda: calls.append(name)):
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=wait, args=("other",))
    other.start()
    assert inside.wait(10)

    with register(lambda: calls.append("mine")):
        told = stop_thread(other.ident or 0)

    leave.set()
    other.join()
    assert told
    assert calls == ["other"]
