"""Futures inside arguments are found, and give way to their results."""

import dataclasses
from collections import OrderedDict, namedtuple
from concurrent.futures import Future

import pytest

from fanflow.core.arguments import (
    gather_call,
    gather_deep,
    gather_shallow,
    needs_walk,
    unwrap_call,
    unwrap_deep,
    unwrap_shallow,
)
from fanflow.core.joining import joinable_futures
from fanflow.errors import DataFlowException


def done(value: object) -> "Future[object]":
    future: Future[object] = Future()
    future.set_result(value)
    return future


@dataclasses.dataclass
class Plain:
    a: object
    b: object = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: object
    b: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots:
    a: object
    b: object = None


class SlottedBase:
    __slots__ = ("extra",)
    extra: object


@dataclasses.dataclass(slots=True)
class OnSlottedBase(SlottedBase):
    a: object


@dataclasses.dataclass
class Derived:
    a: object
    total: object = dataclasses.field(init=False, default=None)
    runs: object = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.runs += 1  # type: ignore[operator]


@dataclasses.dataclass
class OnList(list[object]):
    a: object

    def __init__(self, items: list[object], a: object) -> None:
        super().__init__(items)
        self.a = a


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("make", "want"),
    [
        (lambda f, g: f, "f"),
        (lambda f, g: [f, 1, g], ["f", 1, "g"]),
        (lambda f, g: (f, (g,)), ("f", ("g",))),
        (lambda f, g: {f, g}, {"f", "g"}),
        (lambda f, g: frozenset({f, 1}), frozenset({"f", 1})),
        (lambda f, g: {"k": f, g: [1]}, {"k": "f", "g": [1]}),
        (lambda f, g: [{"k": ({f},)}, [[g]]], [{"k": ({"f"},)}, [["g"]]]),
        (lambda f, g: Plain(f, [g]), Plain("f", ["g"])),
        (lambda f, g: Frozen({"k": f}), Frozen({"k": "f"})),
        (lambda f, g: FrozenSlots(f, Plain(g)), FrozenSlots("f", Plain("g"))),
        (lambda f, g: [f, f, f], ["f", "f", "f"]),
    ],
)
def test_results_take_the_places_of_futures_in_every_container(make: object, want: object) -> None:
    f, g = done("f"), done("g")
    argument = make(f, g)  # type: ignore[operator]

    found = gather_deep(argument)
    plain = unwrap_deep(argument)

    assert {id(one) for one in found} <= {id(f), id(g)}
    assert len(found) == len(set(map(id, found)))
    assert found
    assert plain == want
    assert type(plain) is type(want)


def test_futures_are_found_in_the_order_in_which_they_are_met() -> None:
    futures = [done(number) for number in range(6)]
    argument = [futures[0], {"a": futures[1], "b": (futures[2], futures[0])}, Plain(futures[3]), futures[4:]]

    found = gather_deep(argument)

    assert [one.result() for one in found] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "argument",
    [
        [1, "x", None],
        (1, [2, {"k": {3}}]),
        Plain([1]),
        {"k": Frozen((1,))},
        Point(done(1), 2),
        OrderedDict(k=done(1)),
        type("MyList", (list,), {})([done(1)]),
        Plain,
        object(),
        range(3),
    ],
)
def test_what_holds_no_future_stays_the_same_object(argument: object) -> None:
    assert gather_deep(argument) == []
    assert unwrap_deep(argument) is argument


def test_containers_without_futures_stay_the_same_inside_one_that_is_copied() -> None:
    flat, nested, table, data = [1, 2], ([3], {"k": 4}), {"m": [5]}, Plain([6])

    plain = unwrap_deep([done("x"), flat, nested, table, data])

    assert isinstance(plain, list)
    assert plain[0] == "x"
    assert plain[1] is flat
    assert plain[2] is nested
    assert plain[3] is table
    assert plain[4] is data


def test_the_caller_keeps_the_containers_with_futures() -> None:
    future = done(1)
    inner = {"k": future}
    argument = [inner, Plain(future)]

    plain = unwrap_deep(argument)

    assert plain == [{"k": 1}, Plain(1)]
    assert argument == [{"k": future}, Plain(future)]
    assert argument[0] is inner


def test_fields_that_the_constructor_does_not_take_are_kept() -> None:
    derived = Derived(done(1))
    derived.total = done(2)

    plain = unwrap_deep(derived)

    assert isinstance(plain, Derived)
    assert (plain.a, plain.total, plain.runs) == (1, 2, 1)


def test_attributes_of_a_dataclass_that_are_no_fields_are_kept_as_they_are() -> None:
    other: Future[object] = Future()
    data = Plain(done(1))
    data.cache = other  # type: ignore[attr-defined]
    slotted = OnSlottedBase(done(2))
    slotted.extra = "extra"

    plain, plain_slotted = unwrap_deep(data), unwrap_deep(slotted)

    assert plain.a == 1  # type: ignore[attr-defined]
    assert plain.cache is other  # type: ignore[attr-defined]
    assert plain_slotted.extra == "extra"  # type: ignore[attr-defined]


def test_a_dataclass_that_is_a_container_keeps_its_items() -> None:
    plain = unwrap_deep(OnList([1, 2], done(3)))

    assert isinstance(plain, OnList)
    assert list(plain) == [1, 2]
    assert plain.a == 3


def test_a_dataclass_with_a_field_that_was_never_set_is_copied_without_it() -> None:
    data = Plain.__new__(Plain)
    data.a = done(1)

    plain = unwrap_deep(data)

    assert plain.a == 1  # type: ignore[attr-defined]
    assert "b" not in vars(plain)


def test_a_container_that_contains_itself_comes_out_containing_its_copy() -> None:
    cyclic: list[object] = [done(1)]
    cyclic.append({"again": cyclic})

    plain = unwrap_deep(cyclic)

    assert isinstance(plain, list)
    assert plain[0] == 1
    assert plain[1]["again"] is plain
    assert plain is not cyclic


def test_a_cycle_through_a_tuple_ends() -> None:
    inner: list[object] = [done(1)]
    outer = (inner,)
    inner.append(outer)

    plain = unwrap_deep(outer)

    assert isinstance(plain, tuple)
    assert plain[0][0] == 1
    assert plain[0][1][0] is plain[0]


def test_a_container_met_twice_is_copied_once() -> None:
    shared = [done(1)]

    plain = unwrap_deep([shared, shared])

    assert isinstance(plain, list)
    assert plain[0] is plain[1]


def test_containers_nested_deeply_are_walked_to_the_ground() -> None:
    nested: object = [done("ground")]
    for _ in range(5000):
        nested = [nested]

    plain = unwrap_deep(nested)

    assert gather_deep(nested)[0].result() == "ground"
    for _ in range(5001):
        assert isinstance(plain, list)
        plain = plain[0]
    assert plain == "ground"


def test_the_shallow_way_looks_at_the_argument_itself_only() -> None:
    future = done(1)
    nested = [future]

    assert gather_shallow(future) == [future]
    assert gather_shallow(nested) == []
    assert unwrap_shallow(future) == 1
    assert unwrap_shallow(nested) is nested


@pytest.mark.parametrize("kind", [list, tuple])
def test_every_way_looks_one_level_into_inputs(kind: type) -> None:
    future, deep = done(1), [done(2)]
    kwargs = {"inputs": kind([future, deep, 3]), "other": [future]}

    assert gather_call((), kwargs, gather_shallow) == [future]
    assert gather_call((), kwargs, gather_deep) == [future, deep[0]]
    assert unwrap_call((), kwargs, unwrap_shallow) == ((), {"inputs": [1, deep, 3], "other": [future]})
    assert unwrap_call((), kwargs, unwrap_deep) == ((), {"inputs": [1, [2], 3], "other": [1]})


def test_a_future_given_twice_is_found_once_in_a_call() -> None:
    future = done(1)

    assert gather_call((future, [future]), {"k": future}, gather_deep) == [future]
    assert unwrap_call((future, 2), {"k": (future,)}, unwrap_deep) == ((1, 2), {"k": (1,)})


def test_flat_arguments_need_no_walk() -> None:
    assert not needs_walk((1, "x", b"", 2.0, None, True, range(3)), {"k": 1j})
    assert needs_walk((1, []), None)
    assert needs_walk((), {"k": object()})


def test_a_future_that_came_into_a_container_after_the_call_is_named() -> None:
    pending: Future[object] = Future()

    with pytest.raises(DataFlowException, match="put into a container after the call") as caught:
        unwrap_deep([done(1), pending])

    assert hex(id(pending)) in str(caught.value)


def test_a_result_that_does_not_fit_into_a_set_is_an_error_of_the_unwrapping() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        unwrap_deep({done([1])})


@pytest.mark.parametrize("value", [None, 3, "x", (done(1),), [done(1), 2], {done(1)}])
def test_a_join_takes_a_future_or_a_list_of_futures_only(value: object) -> None:
    assert joinable_futures(value) is None


def test_a_join_of_nothing_is_a_list_of_nothing() -> None:
    future = done(1)

    assert joinable_futures([]) == []
    assert joinable_futures(future) == [future]
    assert joinable_futures([future, future]) == [future, future]
