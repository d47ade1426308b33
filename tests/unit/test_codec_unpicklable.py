"""Where in a value the part sits that cannot be pickled."""

import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import pytest

from fanflow.codec import pickling
from fanflow.codec.pickling import dumps, find_unpicklable

LOCK = threading.Lock()


@dataclass
class Point:
    handle: object


class Slotted:
    __slots__ = ("empty", "handle")

    def __init__(self, handle: object) -> None:
        self.handle = handle


class Plain:
    def __init__(self, handle: object) -> None:
        self.handle = handle

    def method(self) -> None:
        """To be sent as a bound method."""


class Listed(list[object]):
    pass


class Mapped(dict[object, object]):
    pass


class Refusing:
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("not me")


class Dropping:
    """Holds a lock, and pickles without it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {}


def closure_over(handle: object) -> Callable[[], object]:
    return lambda: handle


def with_default() -> Callable[[], object]:
    def function(handle: object = LOCK, *, other: int = 1) -> object:
        return handle, other

    return function


def using_global() -> Callable[[], object]:
    return lambda: [LOCK for _ in range(1)]


def class_with_lock() -> type:
    class Local:
        handle = LOCK

    return Local


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (LOCK, "x"),
        ([1, LOCK], "x[1]"),
        ((1, (2, LOCK)), "x[1][1]"),
        (deque([LOCK]), "x[0]"),
        ({"a": {"b": LOCK}}, "x['a']['b']"),
        pytest.param({(1, LOCK): 2}, f"x.<key (1, {LOCK!r})>[1]", id="in a key"),
        pytest.param({"s": {LOCK}}, f"x['s'].<element {LOCK!r}>", id="in a set"),
        (Point(LOCK), "x.handle"),
        (Slotted(LOCK), "x.handle"),
        (Plain(Point([0, LOCK])), "x.handle.handle[1]"),
        (Plain(LOCK).method, "x.__self__.handle"),
        (Listed([1, LOCK]), "x[1]"),
        (Mapped(k=LOCK), "x['k']"),
        (functools.partial(print, 1, LOCK), "x.args[1]"),
        (functools.partial(print, file=LOCK), "x.keywords['file']"),
        (functools.partial(closure_over(LOCK)), "x.func.<closure handle>"),
        (closure_over(Plain(LOCK)), "x.<closure handle>.handle"),
        (with_default(), "x.<default handle>"),
        (using_global(), "x.<global LOCK>"),
        (class_with_lock(), "x.handle"),
        (ValueError("a", LOCK), "x.args[1]"),
        (Refusing(), "x"),
        ([Dropping(), LOCK], "x[1]"),
    ],
)
def test_the_path_leads_to_the_innermost_part(obj: object, path: str) -> None:
    assert find_unpicklable(obj, "x")[0] == path


def test_the_reason_is_what_the_pickler_says() -> None:
    assert find_unpicklable([LOCK])[1] == "TypeError: cannot pickle '_thread.lock' object"
    assert find_unpicklable(Refusing())[1] == "RuntimeError: not me"


def test_what_can_be_pickled_has_no_reason() -> None:
    assert find_unpicklable([1, 2], "x") == ("x", "")


def test_cycles_end() -> None:
    first, second = Plain(None), Plain(LOCK)
    first.handle = [first, second]

    assert find_unpicklable(first, "x")[0] == "x.handle[1].handle"


def test_what_is_nested_too_deeply_is_said_to_be() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    path, reason = find_unpicklable(deep, "x")

    assert path == "x"
    assert "nested more deeply" in reason


def test_a_deep_path_is_bounded() -> None:
    deep: object = LOCK
    for _ in range(200):
        deep = [deep]

    path, reason = find_unpicklable(deep, "x")

    assert path == "x" + 40 * "[0]"
    assert "lock" in reason


def test_a_value_for_which_there_is_no_time_at_all_is_named_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pickling, "_MOST_SECONDS", -1.0)

    assert find_unpicklable(["x" * 100_000, LOCK], "x") == ("x", "")


def test_a_wide_value_is_searched_in_bounded_time() -> None:
    wide = [Plain(number) for number in range(200_000)]
    wide.append(Plain(LOCK))
    started = time.monotonic()

    path, reason = find_unpicklable(wide, "x")

    assert path.startswith("x")
    assert reason
    assert time.monotonic() - started < 10


def test_a_value_is_pickled_by_reference_where_modules_hold_it_and_by_value_where_none_does() -> None:
    assert b"cloudpickle" not in dumps([Point(1), find_unpicklable])
    assert b"cloudpickle" in dumps(closure_over(1))


def test_what_main_holds_is_pickled_by_value() -> None:
    cls = type("OfScript", (), {"__module__": "__main__"})

    assert b"cloudpickle" in dumps(cls())
