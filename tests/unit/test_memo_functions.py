"""A function is the same in every process until its text, closure or defaults change."""

import functools
import importlib.util
import linecache
import os
import py_compile
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from fanflow import join_app, python_app
from fanflow.memo.errors import MemoKeyError
from fanflow.memo.functions import encode_code
from fanflow.memo.ids import id_for_memo

Make = Callable[..., Callable[..., object]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a module and imports it anew; gives its function `f`."""

    def make(text: str, *, file: str = "made.py", name: str = "made_module") -> Callable[..., object]:
        path = tmp_path / file
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        linecache.checkcache(str(path))
        return load(path, name)

    return make


def load(path: Path, name: str) -> Callable[..., object]:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, kept = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = kept
    return module.f


def from_exec(text: str) -> Callable[..., object]:
    names: dict[str, Callable[..., object]] = {"__name__": "typed_in"}
    exec(textwrap.dedent(text), names)  # noqa: S102 - what a prompt does
    return names["f"]


PLAIN = "def f(x):\n    return x + 1\n"


def test_a_function_imported_again_is_the_same(make: Make) -> None:
    assert id_for_memo(make(PLAIN)) == id_for_memo(make(PLAIN))


def test_a_function_stays_the_same_when_it_moves_inside_its_module(make: Make) -> None:
    assert id_for_memo(make("import os\nX = 1\n\n\n" + PLAIN)) == id_for_memo(make(PLAIN))


def test_where_there_is_source_its_text_counts_and_no_bytecode(make: Make) -> None:
    function = make(PLAIN)

    assert PLAIN.encode() in id_for_memo(function)
    assert encode_code(function.__code__) not in id_for_memo(function)
    assert id_for_memo(make("def f(x):\n    return x + 1  # better\n")) != id_for_memo(function)


def test_decorators_do_not_count(make: Make) -> None:
    decorated = "def plain(function):\n    return function\n\n@plain\n@plain\n" + PLAIN

    assert id_for_memo(make(decorated)) == id_for_memo(make(PLAIN))


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x + 2\n",
        "def f(x):\n    return x - 1\n",
        "def f(x, y=1):\n    return x + y\n",
        "def f(x):\n    'documented'\n    return x + 1\n",
        "async def f(x):\n    return x + 1\n",
        "def f(x):\n    return g + 1\n",
        "class f:\n    def f(self, x):\n        return x + 1\n",
    ],
)
def test_another_text_is_another_function(make: Make, text: str) -> None:
    assert id_for_memo(make(text)) != id_for_memo(make(PLAIN))


@pytest.mark.parametrize("build", [from_exec, None], ids=["no source", "source"])
def test_the_edited_body_of_an_inner_function_counts(
    make: Make, build: Callable[[str], Callable[..., object]] | None
) -> None:
    text = "def f(x):\n    def inner():\n        return {constant}\n    return inner() + x\n"
    build = build or make

    assert id_for_memo(build(text.format(constant=1))) != id_for_memo(build(text.format(constant=2)))
    assert id_for_memo(build(text.format(constant=1))) != id_for_memo(build(text.format(constant=True)))
    assert id_for_memo(build(text.format(constant="-0.0"))) != id_for_memo(build(text.format(constant="0.0")))


def test_the_same_text_in_another_module_is_another_function(make: Make) -> None:
    assert id_for_memo(make(PLAIN, name="other")) != id_for_memo(make(PLAIN))


def test_without_source_the_bytecode_counts() -> None:
    one, same, other = from_exec(PLAIN), from_exec("\n\n\n" + PLAIN), from_exec(PLAIN.replace("1", "2"))

    assert id_for_memo(one) == id_for_memo(same)
    assert id_for_memo(one) != id_for_memo(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f = lambda x: x + 1", "f = lambda x: x + 2"),
        ("f = lambda x: x.a", "f = lambda x: x.b"),
        ("f, g = lambda x: x + 1, lambda x: x + 2", "g, f = lambda x: x + 1, lambda x: x + 2"),
        ("f = lambda x: x in {1, 2}", "f = lambda x: x in {1, 3}"),
        ("f = lambda x: (yield x)", "f = lambda x: (yield x, x)"),
        (
            "def f():\n    try:\n        g()\n        h()\n    except E:\n        pass\n",
            "def f():\n    g()\n    try:\n        h()\n    except E:\n        pass\n",
        ),
    ],
)
def test_functions_without_source_differ_by_what_they_do(one: str, other: str) -> None:
    assert id_for_memo(from_exec(one)) == id_for_memo(from_exec(one))
    assert id_for_memo(from_exec(one)) != id_for_memo(from_exec(other))


def test_lambdas_of_one_line_are_told_apart(make: Make) -> None:
    text = "f, g = lambda x: x + 1, lambda x: x + 2\n"

    one = make(text)
    other = one.__globals__["g"]

    assert id_for_memo(one) != id_for_memo(other)


def test_a_file_edited_after_the_import_does_not_speak_for_the_old_code(make: Make, tmp_path: Path) -> None:
    running = make(PLAIN, file="edited.py")
    edited = PLAIN.replace("1", "2")
    (tmp_path / "edited.py").write_text(edited)
    fresh = load(tmp_path / "edited.py", "made_module")

    assert running(1) == 2
    assert id_for_memo(running) != id_for_memo(fresh)
    assert id_for_memo(fresh) == id_for_memo(make(edited))


def test_a_function_whose_source_is_gone_has_its_bytecode(make: Make, tmp_path: Path) -> None:
    make(PLAIN, file="gone.py")
    compiled = py_compile.compile(str(tmp_path / "gone.py"), cfile=str(tmp_path / "gone.pyc"))
    (tmp_path / "gone.py").unlink()
    linecache.checkcache(str(tmp_path / "gone.py"))

    one, other = (load(Path(str(compiled)), "made_module") for _ in range(2))

    assert id_for_memo(one) == id_for_memo(other)
    assert encode_code(one.__code__) in id_for_memo(one)


def test_a_source_that_is_no_python_is_not_used(make: Make, tmp_path: Path) -> None:
    running = make(PLAIN, file="broken.py")
    (tmp_path / "broken.py").write_text("def f(:\n")

    assert encode_code(running.__code__) in id_for_memo(running)


def test_a_function_reloaded_in_place_is_another(make: Make) -> None:
    function = make(PLAIN)
    before = id_for_memo(function)

    function.__code__ = make(PLAIN.replace("1", "2"), file="again.py").__code__

    assert id_for_memo(function) != before


def adder(step: object) -> Callable[[int], object]:
    def add(x: int) -> object:
        return (x, step)

    return add


def test_values_of_the_closure_count() -> None:
    assert id_for_memo(adder(1)) == id_for_memo(adder(1))
    assert id_for_memo(adder(1)) != id_for_memo(adder(2))
    assert id_for_memo(adder([1])) != id_for_memo(adder((1,)))


def test_a_closure_is_looked_at_anew() -> None:
    held = [1]
    function = adder(held)
    before = id_for_memo(function)
    held.append(2)

    assert id_for_memo(function) != before


def test_a_closure_variable_of_unknown_type_is_named() -> None:
    with pytest.raises(MemoKeyError, match=r"^unknown type for memoization: .* at obj\.<closure step>\[0\];"):
        id_for_memo(adder([iter(())]))


def test_sentinels_are_equal() -> None:
    assert id_for_memo(adder(object())) == id_for_memo(adder(object()))


def test_values_of_defaults_count(make: Make) -> None:
    text = "V = {value}\ndef f(x, y=V, *, z=V):\n    return x\n"

    assert id_for_memo(make(text.format(value=1))) == id_for_memo(make(text.format(value=1)))
    assert id_for_memo(make(text.format(value=1))) != id_for_memo(make(text.format(value=2)))


def test_a_default_does_not_pass_for_another_parameters(make: Make) -> None:
    text = "A, B = {values}\ndef f(*, a=A, b=B):\n    return a\n"

    assert id_for_memo(make(text.format(values="1, 2"))) != id_for_memo(make(text.format(values="2, 1")))


def test_local_functions_that_call_themselves_or_each_other_have_an_identity() -> None:
    def local(step: int) -> tuple[Callable[[int], int], Callable[[int], int]]:
        def even(n: int) -> int:
            return step if n == 0 else odd(n - 1)

        def odd(n: int) -> int:
            return 0 if n == 0 else even(n - 1)

        return even, odd

    assert id_for_memo(local(1)) == id_for_memo(local(1))
    assert id_for_memo(local(1)[0]) != id_for_memo(local(2)[0])
    assert id_for_memo(local(1)[0]) != id_for_memo(local(1)[1])


def test_an_empty_closure_variable_is_no_error() -> None:
    def outer() -> Callable[[], object]:
        def inner() -> object:
            return late

        if not inner:
            late = 1
        return inner

    assert id_for_memo(outer()) == id_for_memo(outer())


def test_a_version_replaces_text_closure_and_defaults() -> None:
    one, other, newer = adder(1), adder(iter(())), adder(1)
    one.__fanflow_version__ = other.__fanflow_version__ = "1"
    newer.__fanflow_version__ = "2"

    assert id_for_memo(one) == id_for_memo(other)
    assert id_for_memo(one) != id_for_memo(newer)
    assert id_for_memo(one) != id_for_memo(adder(1))


def test_a_cached_function_is_what_it_wraps() -> None:
    one, other = functools.cache(adder(1)), functools.cache(adder(2))

    assert id_for_memo(one) == id_for_memo(functools.lru_cache(5)(adder(1)))
    assert id_for_memo(one) != id_for_memo(other)


def test_an_app_in_a_closure_counts_as_its_function() -> None:
    def apps(step: int) -> object:
        @python_app
        def leaf() -> int:
            return step

        @join_app
        def root(n: int) -> object:
            return root(n - 1) if n else leaf()

        return root.func

    assert id_for_memo(apps(1)) == id_for_memo(apps(1))
    assert id_for_memo(apps(1)) != id_for_memo(apps(2))


def test_a_method_counts_with_its_object() -> None:
    assert id_for_memo(Path("a").exists) == id_for_memo(Path("a").exists)
    assert id_for_memo(Path("a").exists) != id_for_memo(Path("b").exists)
    assert id_for_memo(Path("a").exists) != id_for_memo(Path("a").is_dir)


PROGRAM = """
import math, sys
from pathlib import Path
from fanflow.memo.keys import memo_key
def f(x, y={"k": {1, 2, "three"}}, *rest, **more):
    return x in {"a", "b", "c"}
def maker(value):
    def g(x):
        return value
    return g
values = [{"a", "b", "c"}, {"x": {1.5, b"x", None}}, frozenset("hello"), Path("p"), math.sin, f]
values.append(lambda x: x in {"p", "q"})
for function in (f, maker({"s", "t"}), maker(f), eval("lambda x: x in {'p', 'q', 'r'}")):
    print(memo_key(function, "name", (values,), {}))
print(memo_key(f, "f", (values, 2, values), {"b": 1, "a": {"u", "v"}}))
"""


def test_keys_do_not_depend_on_the_process(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)

    outputs = [
        subprocess.run(
            [sys.executable, str(script)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    ]

    assert outputs[0] == outputs[1]
    assert len(set(outputs[0].split())) == 5
