"""Equal values have equal keys and different values different ones, whatever they are made of."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from fanflow.memo.ids import id_for_memo
from fanflow.memo.keys import memo_key

TEXT = st.text(st.characters(), max_size=5)  # lone surrogates too
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | TEXT
    | st.binary(max_size=5)
    | st.binary(max_size=5).map(bytearray)
    | st.dates()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids()
    | st.sampled_from([int, str, len, ..., range(3), Path("a")])
)
KEYS = st.integers(-3, 3) | TEXT | st.booleans() | st.tuples(st.integers(-3, 3), TEXT)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
        | st.frozensets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def spelled(value: object) -> object:
    """A value in terms of text, by other means than those under test: type and contents, no order of sets."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return (kind, *map(spelled, value))
    if isinstance(value, dict):
        return (kind, frozenset((spelled(key), spelled(item)) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return (kind, frozenset(map(spelled, value)))
    return (kind, repr(value))


def shuffled(value: object, random: Random) -> object:
    """An equal value whose dicts and sets were filled in another order."""
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    if isinstance(value, tuple):
        return tuple(shuffled(item, random) for item in value)
    if isinstance(value, dict):
        items = list(value.items())
        random.shuffle(items)
        return {key: shuffled(item, random) for key, item in items}
    if isinstance(value, set | frozenset):
        items = list(value)
        random.shuffle(items)
        return type(value)(items)
    return value


@given(VALUES, VALUES)
def test_keys_are_equal_exactly_when_values_are(one: object, other: object) -> None:
    assert (id_for_memo(one) == id_for_memo(other)) == (spelled(one) == spelled(other))


@given(st.lists(VALUES, min_size=2, max_size=12))
def test_no_two_values_share_a_key_and_none_is_the_start_of_another(values: list[object]) -> None:
    encoded = {spelled(value): id_for_memo(value) for value in values}

    assert len(set(encoded.values())) == len(encoded)
    for one in encoded.values():
        assert not any(other is not one and other.startswith(one) for other in encoded.values())


@given(VALUES, st.randoms(use_true_random=False))
def test_order_of_filling_does_not_count(value: object, random: Random) -> None:
    assert id_for_memo(shuffled(value, random)) == id_for_memo(value)


@given(VALUES)
def test_a_copy_has_the_same_key(value: object) -> None:
    assert id_for_memo(pickle.loads(pickle.dumps(value))) == id_for_memo(value)


@given(VALUES, VALUES)
def test_a_change_deep_inside_changes_the_key(one: object, other: object) -> None:
    def inside(value: object) -> object:
        return {"a": [("x" * 600, value), {"b": (value,)}]}

    assert (id_for_memo(inside(one)) == id_for_memo(inside(other))) == (spelled(one) == spelled(other))


def target(a: object, b: object = None, *, c: object = ()) -> object:
    return a, b, c


@given(VALUES, VALUES, VALUES)
def test_every_spelling_of_a_call_has_one_key(a: object, b: object, c: object) -> None:
    spellings: list[tuple[tuple[object, ...], dict[str, object]]] = [
        ((a, b), {"c": c}),
        ((a,), {"c": c, "b": b}),
        ((), {"b": b, "c": c, "a": a}),
    ]

    assert len({memo_key(target, "target", args, kwargs) for args, kwargs in spellings}) == 1


@given(VALUES, VALUES, VALUES)
def test_arguments_do_not_change_places(a: object, b: object, c: object) -> None:
    same = spelled(a) == spelled(b)

    assert (memo_key(target, "t", (a, b), {"c": c}) == memo_key(target, "t", (b, a), {"c": c})) == same


@settings(max_examples=3)
@given(st.lists(VALUES, min_size=10, max_size=30))
def test_keys_are_the_same_in_every_process(values: list[object]) -> None:
    program = (
        "import pickle, sys; from fanflow.memo.ids import id_for_memo; "
        "values = pickle.load(sys.stdin.buffer); print(id_for_memo(values).hex())"
    )

    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=pickle.dumps(values),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=30,
        )
        assert done.stdout.decode().strip() == id_for_memo(values).hex()
