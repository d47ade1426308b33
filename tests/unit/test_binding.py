import contextlib
import inspect
import operator
import timeit
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanflow.apps.binding import SPECIAL_KEYWORDS, Binder

NAMES = ["self", "function", "args", "kwargs", "a", "b", "inputs", "stdout", "walltime"]
KINDS = [
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
]
UNIQUE_KINDS = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6))
    kinds = sorted(draw(st.sampled_from(KINDS)) for _ in names)
    parameters: list[Parameter] = []
    has_default = False
    for name, kind in zip(names, kinds, strict=True):
        if kind in UNIQUE_KINDS:
            if all(one.kind is not kind for one in parameters):
                parameters.append(Parameter(name, kind))
            continue
        wants_default = draw(st.booleans())
        if kind is not Parameter.KEYWORD_ONLY:  # a positional one after a default has one itself
            wants_default = has_default = has_default or wants_default
        default = "default" if wants_default else Parameter.empty
        parameters.append(Parameter(name, kind, default=default))
    return Signature(parameters)


CALLS = st.tuples(
    st.lists(st.integers(), max_size=6).map(tuple),
    st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(), max_size=4),
)


def function_with(signature: Signature) -> Callable[..., object]:
    made: dict[str, Callable[..., object]] = {}
    exec(f"def app{signature}: pass", made)  # noqa: S102 - `Signature.bind` differs from real calls in places
    return made["app"]


def python_accepts(signature: Signature, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool:
    """What a call does when the special keywords are left out that the function has no place for."""
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    by_name = {
        one.name
        for one in signature.parameters.values()
        if one.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    }
    passed = {
        name: value
        for name, value in kwargs.items()
        if name not in SPECIAL_KEYWORDS or name in by_name or Parameter.VAR_KEYWORD in kinds
    }
    try:
        function_with(signature)(*args, **passed)
    except TypeError:
        return False
    return True


@settings(max_examples=800)
@given(signatures(), CALLS)
def test_the_binder_decides_as_python_does(
    signature: Signature, call: tuple[tuple[int, ...], dict[str, int]]
) -> None:
    args, kwargs = call
    binder = Binder(function_with(signature), "app")

    try:
        binder.check(args, kwargs)
        accepted = True
    except TypeError:
        accepted = False

    assert accepted == python_accepts(signature, args, kwargs), f"app{signature} called with {args}, {kwargs}"


@settings(max_examples=100)
@given(signatures(), CALLS)
def test_a_check_changes_no_argument(
    signature: Signature, call: tuple[tuple[int, ...], dict[str, int]]
) -> None:
    args, kwargs = call
    before = dict(kwargs)

    with contextlib.suppress(TypeError):
        Binder(function_with(signature), "app").check(args, kwargs)

    assert kwargs == before


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"zz": 2}, "got an unexpected keyword argument 'zz'"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
    ],
)
def test_a_wrong_call_is_named_with_the_app_and_its_signature(
    args: tuple[int, ...], kwargs: dict[str, int], said: str
) -> None:
    def shifted(a: int, b: int = 2) -> int:
        return a + b

    with pytest.raises(TypeError) as caught:
        Binder(shifted, "shifted").check(args, kwargs)

    assert str(caught.value) == f"shifted() {said}; its signature is shifted(a: int, b: int = 2) -> int"


def test_a_missing_keyword_is_named() -> None:
    def named(*, key: int) -> int:
        return key

    binder = Binder(named, "named")

    binder.check((), {"key": 1})
    with pytest.raises(TypeError, match=r"named\(\) missing a required (keyword-only )?argument: 'key'"):
        binder.check((), {})


def test_a_positional_parameter_cannot_be_given_by_its_name() -> None:
    def first(a: int, /) -> int:
        return a

    with pytest.raises(TypeError, match=r"^first\(\) "):
        Binder(first, "first").check((), {"a": 1})


def test_a_function_without_a_readable_signature_takes_every_call() -> None:
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(max)

    Binder(max, "max").check((1, 2), {"key": abs})


def test_a_builtin_with_a_signature_is_checked() -> None:
    binder = Binder(operator.add, "add")

    binder.check((1, 2), {})
    with pytest.raises(TypeError, match=r"add\(\)"):
        binder.check((1,), {})


def test_only_special_parameters_with_a_default_are_defaults() -> None:
    def command(text: str = "hello", inputs: tuple[()] = (), *, stdout: str = "log", walltime: int) -> str:
        return text

    assert Binder(command, "command").defaults == {"inputs": (), "stdout": "log"}


def test_a_function_takes_a_keyword_that_it_names_or_all_of_them() -> None:
    def named(stdout: str) -> None: ...
    def all_of_them(**kwargs: str) -> None: ...
    def by_place(stdout: str, /, *inputs: str) -> None: ...

    taken = {
        function.__name__: [name for name in ("stdout", "inputs") if Binder(function, "app").takes(name)]
        for function in (named, all_of_them, by_place)
    }

    assert taken == {"named": ["stdout"], "all_of_them": ["stdout", "inputs"], "by_place": []}


def test_a_check_costs_a_fraction_of_what_the_standard_binding_costs() -> None:
    def function(a: int, b: int = 2, *, c: int = 3) -> int:
        return a + b + c

    binder, signature = Binder(function, "function"), inspect.signature(function)
    kwargs = {"c": 4}

    plain, named, standard = (
        min(timeit.repeat(call, number=2000, repeat=5)) / 2000 * 1e6
        for call in (
            lambda: binder.check((1, 2), {}),
            lambda: binder.check((1,), kwargs),
            lambda: signature.bind(1, c=4),
        )
    )

    print(f"check {plain:.2f} us, with a keyword {named:.2f} us; Signature.bind {standard:.2f} us")
    assert plain < standard / 4
    assert named < standard
