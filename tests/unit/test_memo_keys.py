"""A call has one key however it is spelled, and a clear error when it can have none."""

import functools
import gc
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fanflow.memo import keys
from fanflow.memo.keys import MemoKeyError, check_ignored, key_fields, memo_key
from fanflow.model.files import File

AUTO_LOGNAME = -1
SENTINEL = object()


def plain(a: object, b: object = 2, *, c: object = 3) -> object:
    return a, b, c


def open_ended(a: object, b: object = 2, *rest: object, c: object = 3, **more: object) -> object:
    return a, b, rest, c, more


def positional(a: object, /, **more: object) -> object:
    return a, more


def with_files(inputs: object = (), outputs: object = (), stdout: object = AUTO_LOGNAME) -> object:
    return inputs, outputs, stdout


def with_limits(x: object, walltime: object = None) -> object:
    return x, walltime


def with_sentinel(x: object = SENTINEL, y: object = ()) -> object:
    return x, y


def key(
    function: Callable[..., object], *args: object, ignored: tuple[str, ...] = (), **kwargs: object
) -> str:
    return memo_key(function, "app", args, kwargs, ignored)


def test_a_key_is_forty_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{40}", key(plain, 1))


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, 2), {}),
        ((1, 2), {"c": 3}),
        ((1,), {"b": 2}),
        ((), {"c": 3, "b": 2, "a": 1}),
        ((1,), {"c": 3}),
    ],
)
@pytest.mark.parametrize("function", [plain, open_ended])
def test_spellings_of_one_call_share_a_key(
    function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    assert key(function, *args, **kwargs) == key(function, 1)


def test_different_calls_have_different_keys() -> None:
    calls = [
        key(plain, 1), key(plain, True), key(plain, "1"), key(plain, 2), key(plain, 2, 1), key(plain, 1, 3),
        key(plain, 1, c=2), key(plain, 1, c=3.0), key(plain, [1]), key(open_ended, 1), key(open_ended, 1, 2,
        3), key(open_ended, 1, 2, 3, 4), key(open_ended, 1, 2, 4, 3), key(open_ended, 1, 2, (3, 4)),
        key(open_ended, 1, d=3), key(open_ended, 1, e=3), key(open_ended, 1, d=3, e=3), key(positional, 1),
        key(positional, 1, a=1), key(positional, 1, a=2), key(positional, 2, a=1), memo_key(plain, "other",
        (1,), {}),
    ]  # fmt: skip

    assert len(set(calls)) == len(calls)


def test_the_order_of_keywords_does_not_count() -> None:
    assert key(open_ended, 1, x=1, y=2) == key(open_ended, 1, y=2, x=1)


def test_ignored_arguments_do_not_count_however_they_are_given() -> None:
    same = key(plain, 1, ignored=("b",))

    assert key(plain, 1, 5, ignored=("b",)) == same
    assert key(plain, 1, b=threading.Lock(), ignored=("b",)) == same
    assert key(plain, 2, 5, ignored=("b",)) != same


def test_further_arguments_can_be_ignored_one_by_one_or_all() -> None:
    same = key(open_ended, 1, 2)

    assert key(open_ended, 1, 2, 3, 4, ignored=("rest",)) == same
    assert key(open_ended, 1, x=1, ignored=("x",)) == same
    assert key(open_ended, 1, x=1, y=2, ignored=("more",)) == same
    assert key(open_ended, 1, x=1, y=2, ignored=("x",)) != same


def test_an_ignored_name_that_the_function_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"app 'app'.*'verbose'.*its parameters are: a, b, c"):
        key(plain, 1, ignored=("verbose",))
    with pytest.raises(ValueError, match="'verbose'"):
        check_ignored(plain, "app", ["a", "verbose"])


@pytest.mark.parametrize("function", [open_ended, positional, dict])
def test_a_function_that_takes_anything_can_ignore_anything(function: Callable[..., object]) -> None:
    check_ignored(function, "app", ["verbose", "stdout"])


def test_every_app_can_ignore_the_keywords_of_every_app() -> None:
    assert key(plain, 1, stdout="a.txt", ignored=("stdout",)) == key(plain, 1)


def test_how_to_run_a_call_does_not_count_unless_the_function_is_told() -> None:
    limits: dict[str, object] = {"parsl_resource_specification": {"cores": 2}, "walltime": 5, "label": "x"}

    assert key(plain, 1, **limits) == key(plain, 1)
    assert key(open_ended, 1, **limits) != key(open_ended, 1)
    assert key(with_limits, 1, walltime=5) != key(with_limits, 1)


def test_what_a_call_writes_counts_by_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = key(with_files, outputs=[File(out)])
    as_input = key(with_files, inputs=[File(out)])
    out.write_text("made")

    assert key(with_files, outputs=[File(out)]) == before
    assert key(with_files, outputs=[File(tmp_path / "other")]) != before
    assert key(with_files, inputs=[File(out)]) != as_input
    assert key(plain, 1, outputs=[File(out)]) != key(plain, 1)
    assert key(plain, 1, stdout="a.txt") != key(plain, 1, stdout="b.txt")


def test_an_automatic_log_name_does_not_count() -> None:
    assert key(plain, 1, stdout=AUTO_LOGNAME, stderr=AUTO_LOGNAME) == key(plain, 1)
    assert key(with_files, stdout=AUTO_LOGNAME) == key(with_files)
    assert key(with_files, stdout=-1.0) != key(with_files)


def test_a_default_that_has_no_encoding_equals_itself() -> None:
    assert key(with_sentinel, SENTINEL) == key(with_sentinel)
    assert key(with_sentinel, y=()) == key(with_sentinel)
    with pytest.raises(MemoKeyError, match=r"at args\[0\]"):
        key(with_sentinel, object())


def test_calls_that_do_not_fit_have_keys_as_they_are_spelled() -> None:
    calls = [key(plain, 1, 2, 3, 4), key(plain, 1, a=1), key(plain, 1, d=4), key(plain), key(plain, 1)]

    assert len(set(calls)) == len(calls)


def test_a_builtin_without_a_known_signature_has_keys() -> None:
    assert key(dict, [(1, 2)], a=1) == key(dict, [(1, 2)], a=1)
    assert key(dict, [(1, 2)]) != key(dict, [(1, 3)])
    assert key(max, 1, 2) != key(min, 1, 2)


def test_a_partial_is_a_function_with_what_it_holds() -> None:
    assert key(functools.partial(plain, 1)) == key(functools.partial(plain, 1))
    assert key(functools.partial(plain, 1)) != key(functools.partial(plain, 2))


def test_an_argument_without_a_key_is_named_with_its_path_and_app() -> None:
    class Config:
        pass

    with pytest.raises(MemoKeyError) as info:
        key(plain, {"x": [Config()]})
    by_name = "kwargs['d']['x']"

    assert str(info.value).startswith(
        f"unknown type for memoization: {Config} at args[0]['x'][0] of app 'app'; "
    )
    assert "@id_for_memo.register(Config)" in str(info.value)
    assert "ignore_for_cache" in str(info.value)
    assert isinstance(info.value, ValueError)
    with pytest.raises(MemoKeyError, match=re.escape(by_name)):
        key(open_ended, 1, d={"x": Config()})


def test_a_function_without_a_key_says_which_variable_is_to_blame() -> None:
    lock = threading.Lock()

    def locked() -> object:
        return lock

    with pytest.raises(MemoKeyError, match=r"lock.* at function\.<closure lock> of app 'app'"):
        key(locked)


def test_fields_tell_why_two_calls_differ() -> None:
    one = dict(key_fields(plain, "app", (1, 5), {}))
    other = dict(key_fields(plain, "app", (1,), {"b": 6}))

    assert list(one) == ["app", "function", "a", "b"]
    assert {name for name in one if one[name] != other[name]} == {"b"}


def test_the_plan_of_a_function_goes_with_it() -> None:
    def local(x: int) -> int:
        return x

    before = len(keys._plans)
    key(local, 1)
    assert len(keys._plans) == before + 1
    del local
    gc.collect()

    assert len(keys._plans) == before


def test_a_function_reloaded_in_place_is_planned_anew() -> None:
    def local(x: int, y: int = 1) -> int:
        return x + y

    key(local, 1)
    local.__defaults__ = (2,)

    assert key(local, 1) == key(local, 1, 2)
    assert key(local, 1) != key(local, 1, 1)


def test_many_threads_make_the_same_keys() -> None:
    expected = key(open_ended, {"a": [1, 2]}, x={1, 2})
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(key(open_ended, {"a": [1, 2]}, x={2, 1}) for _ in range(50))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [expected] * 200


def test_a_key_of_small_arguments_is_quick() -> None:
    rounds: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        for number in range(200):
            memo_key(plain, "app", (number, "text"), {"c": 1.5})
        rounds.append((time.perf_counter() - began) / 200)

    assert min(rounds) < 25e-6
