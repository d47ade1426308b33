"""Values that a function can tell apart have different bytes, all others the same, and errors have a path."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import itertools
import logging
import math
import operator
import os
import pathlib
import pickle
import re
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from fanflow.errors import FanflowError
from fanflow.memo import files, ids
from fanflow.memo.errors import MemoKeyError
from fanflow.memo.ids import id_for_memo
from fanflow.model.files import File


class Colour(enum.Enum):
    RED = 1
    CRIMSON = RED
    BLUE = 2


class Tone(enum.Enum):
    RED = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


class Place(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Job:
    name: str
    size: object = 1


@dataclasses.dataclass
class Task:
    name: str
    size: object = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str


@dataclasses.dataclass
class Doubled:
    start: dataclasses.InitVar[int]

    def __post_init__(self, start: int) -> None:
        self.twice = 2 * start

    @functools.cached_property
    def half(self) -> int:
        return self.twice // 2


@dataclasses.dataclass
class Unset:
    late: int = dataclasses.field(init=False)


class Unknown:
    pass


class Words(list[str]):
    pass


@pytest.fixture
def registering() -> Iterator[Callable[..., object]]:
    """Registers types for one test, since nothing can take a registration back."""
    before, rules = ids.id_for_memo, ids._rules
    fresh = functools.singledispatch(before.dispatch(object))
    try:
        ids.id_for_memo, ids._rules = fresh, None
        yield fresh.register
    finally:
        ids.id_for_memo, ids._rules = before, rules


def path_of(value: object) -> str:
    with pytest.raises(MemoKeyError) as info:
        id_for_memo(value)
    return info.value.path


NOW = dt.datetime(2024, 5, 6, 7, 8, 9, 10, dt.UTC).replace(tzinfo=None)
PARIS = zoneinfo.ZoneInfo("Europe/Paris") if "Europe/Paris" in zoneinfo.available_timezones() else dt.UTC

DIFFERENT: list[object] = [
    None, ..., True, False, 0, 1, -1, 2**63, -(2**63), 2**64, -(2**64), 10**5000, "", "1", "i1;", "\ud800",
    "\ud800\udc00", "\U00010000", b"", b"1", bytearray(b"1"), memoryview(b"1"), memoryview(b"1").cast("c"),
    "x" * 512, "x" * 513, b"x" * 513, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 1e-320, 0j, complex(0,
    -0.0), complex(1, math.nan), 1 + 0j, [], (), {}, set[int](), frozenset[int](), [1], (1,), {1},
    frozenset({1}), {1: 1}, [[1]], [1, 1], [[], []], [[[]]], [[1], 2], [1, [2]], [1, 2], ["1", "2"], ["12"],
    {"a": "b"}, ["a", "b"], {"ab": ""}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {1: "x"}, {1.0: "x"}, {True: "x"},
    {(1, 2), (3, 4)}, {(1, 3), (2, 4)}, pathlib.Path("a"), pathlib.PurePosixPath("a"),
    pathlib.PureWindowsPath("a"), pathlib.Path("a/b"), NOW, NOW.replace(fold=1), NOW.replace(tzinfo=dt.UTC),
    NOW.replace(tzinfo=PARIS), NOW.date(), NOW.time(), NOW.time().replace(tzinfo=dt.UTC),
    NOW.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))),
    NOW.replace(tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")), dt.timedelta(1), dt.timedelta(0, 1),
    dt.timedelta(0, 0, 1), dt.UTC, decimal.Decimal(1), decimal.Decimal("1.0"), decimal.Decimal("-0"),
    decimal.Decimal("NaN"), fractions.Fraction(1, 2), fractions.Fraction(2, 1), uuid.UUID(int=1), range(2),
    range(0, 2, 2), range(1, 2), slice(2), slice(0, 2), slice(None, None, 2), re.compile("a"),
    re.compile(b"a"), re.compile("a", re.IGNORECASE), Colour.RED, Colour.BLUE, Tone.RED, Rights.READ,
    Rights.READ | Rights.WRITE, Rights(0), Point(1, 2), Place(1, 2), (1, 2), Point(2, 1), Job("a"), Task("a"),
    Job("a", 2), Job("a", True), Slotted("a"), Doubled(1), Doubled(2), Unset(), int, str, Job, Colour, len,
    operator.add, math.sin, "x".upper, "y".upper, str.upper, str.lower, dict.fromkeys, functools.partial(max,
    1), functools.partial(max, 2), functools.partial(min, 1), functools.partial(max, key=len), math, os,
    collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), collections.defaultdict(int, a=1),
    collections.defaultdict(list, a=1), collections.Counter("a"), collections.deque([1]),
    collections.deque([1], 5), types.SimpleNamespace(a=1), types.MappingProxyType({"a": 1}), File("a"),
    File("b"), File("http://h/a"), logging.getLogger("a"),
]  # fmt: skip


def test_different_values_have_different_bytes() -> None:
    found: dict[bytes, object] = {}
    for value in DIFFERENT:
        encoded = id_for_memo(value)
        assert encoded not in found, (value, found[encoded])
        found[encoded] = value


def test_no_encoding_is_the_start_of_another() -> None:
    encoded = sorted(id_for_memo(value) for value in DIFFERENT)

    for one, following in itertools.pairwise(encoded):
        assert not following.startswith(one)


@pytest.mark.parametrize(
    "value",
    [
        value
        for value in DIFFERENT
        if not isinstance(value, memoryview | types.ModuleType | types.MappingProxyType)  # cannot be pickled
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_copy_has_the_same_bytes(value: object) -> None:
    assert id_for_memo(pickle.loads(pickle.dumps(value))) == id_for_memo(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: {"a": 1, "b": 2}}, {1: {"b": 2, "a": 1}}),
        (set("abcdefgh"), set("hgfedcba")),
        (dt.UTC, dt.timezone(dt.timedelta(0))),
        (Colour.RED, Colour.CRIMSON),
        (math.nan, struct.unpack(">d", b"\xff\xf8\0\0\0\0\0\1")[0]),
        (10**30, int("1" + "0" * 30)),
        ([[1]] * 2, [[1], [1]]),
        ({math.nan: 1, float("nan"): 2}, {math.nan: 2, float("nan"): 1}),
    ],
)
def test_order_and_identity_do_not_count(one: object, other: object) -> None:
    assert id_for_memo(one) == id_for_memo(other)


def test_a_result_of_a_cached_property_does_not_count() -> None:
    value = Doubled(2)
    before = id_for_memo(value)

    assert value.half == 2
    assert id_for_memo(value) == before


def test_an_unknown_type_is_named_with_its_path_and_the_way_to_register_it() -> None:
    with pytest.raises(MemoKeyError) as info:
        id_for_memo([Job("a", {"x": (1, Unknown())})])

    assert str(info.value).startswith(f"unknown type for memoization: {Unknown} at obj[0].size['x'][1]; ")
    assert "@id_for_memo.register(Unknown)" in str(info.value)
    assert isinstance(info.value, ValueError)
    assert isinstance(info.value, FanflowError)


@pytest.mark.parametrize(
    "value", [Words(["a"]), collections.UserDict(), type("D", (dict,), {})(), type("I", (int,), {})(1)]
)
def test_a_subclass_of_a_builtin_type_is_unknown(value: object) -> None:
    with pytest.raises(MemoKeyError, match=r"^unknown type for memoization: "):
        id_for_memo(value)


def test_a_dataclass_that_is_also_a_container_is_unknown() -> None:
    @dataclasses.dataclass
    class Tagged(list[int]):
        tag: str

    with pytest.raises(MemoKeyError, match=r"^unknown type for memoization: "):
        id_for_memo(Tagged("a"))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [Unknown()]}, "obj['a'][0]"),
        ({(1, Colour): Unknown()}, "obj[(1, <enum 'Colour'>)]"),
        ({Unknown(): 1}, "obj.<key "),
        ({Unknown()}, "obj.<element>"),
        (Point(1, Unknown()), "obj.y"),
        (functools.partial(max, Unknown(), k=1), "obj.args[0]"),
        (collections.defaultdict(int, a=Unknown()), "obj['a']"),
        (NOW.replace(tzinfo=type("Z", (dt.tzinfo,), {})()), "obj.tzinfo"),
        (slice(1, Unknown()), "obj.stop"),
        (Unknown().__init__, "obj"),
    ],
)
def test_a_path_leads_to_what_is_unknown(value: object, path: str) -> None:
    assert path_of(value).startswith(path)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = [1]
    loop.append({"again": loop})

    with pytest.raises(MemoKeyError, match=r"^a list contains itself at obj\[1\]\['again'\]"):
        id_for_memo(loop)


def test_depth_has_no_limit() -> None:
    deep: object = 1
    other: object = 2
    for _ in range(30_000):
        deep, other = [deep], [other]

    of_deep = id_for_memo(deep)

    assert len(of_deep) < 1000
    assert of_deep != id_for_memo(other)


def test_shared_parts_are_encoded_once() -> None:
    value: object = "leaf"
    for _ in range(200):
        value = (value, [value])

    assert len(id_for_memo(value)) < 1000


def test_an_error_in_the_middle_of_a_value_is_told_with_its_path() -> None:
    view = memoryview(b"x")
    view.release()

    with pytest.raises(MemoKeyError, match=r"raised ValueError: .*released.* at obj\['v'\]") as info:
        id_for_memo({"v": view})

    assert isinstance(info.value.__cause__, ValueError)


def test_the_error_pickles() -> None:
    with pytest.raises(MemoKeyError) as info:
        id_for_memo([Unknown()])
    copy = pickle.loads(pickle.dumps(info.value))

    assert str(copy) == str(info.value)
    assert copy.path == "obj[0]"


def test_a_registered_type_is_known_also_inside_and_for_subclasses(
    registering: Callable[..., object],
) -> None:
    registering(Unknown, lambda obj: b"known")
    registering(Words, lambda obj, output_ref=False: b"out" if output_ref else id_for_memo(list(obj)))

    assert id_for_memo([Unknown()]) == id_for_memo([Unknown()])
    assert id_for_memo(Words(["a"])) != id_for_memo(Words(["b"]))
    assert id_for_memo(Words(["a"])) != id_for_memo(["a"])
    assert id_for_memo([Words(["a"])], output_ref=True) == id_for_memo([Words(["b"])], output_ref=True)
    assert id_for_memo([type("Sub", (Unknown,), {})()])


def test_a_builtin_type_can_be_registered_anew(registering: Callable[..., object]) -> None:
    registering(str, lambda obj: obj.lower().encode())
    registering(list, lambda obj: b"any list")

    assert id_for_memo(("A",)) == id_for_memo(("a",))
    assert id_for_memo(("A",)) != id_for_memo(("b",))
    assert id_for_memo({"x": [1]}) == id_for_memo({"X": [2]})


def test_what_a_registered_function_does_wrong_is_told(registering: Callable[..., object]) -> None:
    registering(Unknown, lambda obj: "text")
    registering(Words, lambda obj: id_for_memo([object()]))

    with pytest.raises(MemoKeyError, match=r"returned str, not bytes at obj\[0\]"):
        id_for_memo([Unknown()])
    assert path_of({"w": Words()}) == "obj['w'][0]"


def test_a_file_counts_by_its_content(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "data"
    missing = id_for_memo(File(path))
    path.write_text("one")
    first = id_for_memo(File(path))
    path.write_text("two")
    os.utime(path, (1, 1))
    second = id_for_memo(File(path))
    path.write_text("one")

    assert len({missing, first, second}) == 3
    assert id_for_memo(File(path)) == first
    assert id_for_memo([File(path)], output_ref=True) == id_for_memo([File(str(path))], output_ref=True)
    path.unlink()
    assert id_for_memo(File(path)) == missing


def test_an_output_file_counts_by_its_place_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "out"
    before = id_for_memo([File(path)], output_ref=True)
    path.write_text("made")

    assert id_for_memo([File(path)], output_ref=True) == before
    assert id_for_memo([File(tmp_path / "other")], output_ref=True) != before


def test_a_settled_file_is_read_once_until_it_changes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    path.write_text("one")
    monkeypatch.setattr(files, "_SETTLED_S", -60.0)
    first = id_for_memo(File(path))
    kept = len(files._known)

    assert id_for_memo(File(path)) == first
    assert len(files._known) == kept
    path.write_text("three")
    assert id_for_memo(File(path)) != first


def test_a_large_file_counts_by_size_and_time(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_CONTENT", 2)
    path = tmp_path / "data"
    path.write_text("one")
    os.utime(path, ns=(1, 1000))
    first = id_for_memo(File(path))
    path.write_text("two")
    os.utime(path, ns=(1, 1000))
    same = id_for_memo(File(path))
    os.utime(path, ns=(1, 1001))

    assert same == first
    assert id_for_memo(File(path)) != first


def test_a_directory_counts_by_its_name(tmp_path: pathlib.Path) -> None:
    before = id_for_memo(File(tmp_path))
    (tmp_path / "x").touch()

    assert id_for_memo(File(tmp_path)) == before
