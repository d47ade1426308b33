import os
import pickle
import signal

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanflow.apps.bash_command import BashCall
from fanflow.errors import (
    AppBadFormatting,
    BashAppNoReturn,
    BashExitFailure,
    ConfigurationError,
    MissingInputsError,
)
from fanflow.model.files import File


def module_level(text: str) -> str:
    return f"test {text} = warm"


def test_the_result_of_a_command_that_ends_well_is_zero() -> None:
    assert BashCall("app", lambda: "true")() == 0


def test_the_body_gets_its_arguments() -> None:
    got: list[object] = []

    def body(a: object, *rest: object, b: object, c: object = 3) -> str:
        got.extend([a, rest, b, c])
        return "true"

    BashCall("app", body)(1, 2, b="b")

    assert got == [1, (2,), "b", 3]


def test_special_arguments_reach_a_body_that_takes_them_and_no_other() -> None:
    got: list[object] = []

    def some(stdout: object = None, inputs: object = ()) -> str:
        got.append((stdout, inputs))
        return "true"

    def every(**kwargs: object) -> str:
        got.append(kwargs)
        return "true"

    special = {
        "stdout": "log",
        "inputs": [1],
        "label": "x",
        "walltime": 9,
        "parsl_resource_specification": {},
    }
    BashCall("some", some)(**special)
    BashCall("every", every)(**special)
    BashCall("none", lambda: "true")(**special)

    assert got == [("log", [1]), special]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), (("given",), {}), ((), {"stdout": "given"})])
def test_a_special_argument_comes_from_the_call_or_else_from_the_signature(
    args: tuple[str, ...], kwargs: dict[str, str]
) -> None:
    def body(stdout: object = "default") -> str:
        return "echo hello"

    BashCall("app", body)(*args, **kwargs)

    with open("given" if args or kwargs else "default") as log:
        assert log.read() == "hello\n"


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "got None: app 'app' returned nothing"),
        (3, "got int from app 'app'; return a str .* or a list"),
        (b"true", "got bytes"),
        (("true",), "got tuple"),
        ([], "does not begin with a program"),
        (["", "x"], "does not begin with a program"),
        (["ls", File("x")], "with File at index 1; .* convert each item with str"),
        ("echo \0", "NUL character at position 5"),
        (["echo", "a\0"], "NUL character at position 1"),
        ("echo \ud800", "cannot be encoded"),
    ],
)
def test_what_is_no_command_is_refused_with_the_fix(returned: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        BashCall("app", lambda: returned)()


def test_the_contract_text_begins_the_refusal() -> None:
    with pytest.raises(ValueError, match=r"^Expected a str for bash_app commandline, got "):
        BashCall("app", lambda: 3)()


def test_an_attribute_error_in_the_body_says_that_there_is_no_command() -> None:
    with pytest.raises(BashAppNoReturn, match=r"'app'.*has no attribute 'nothing'") as caught:
        BashCall("app", lambda: object().nothing)()  # type: ignore[attr-defined]

    assert isinstance(caught.value.__cause__, AttributeError)


def test_an_index_error_in_the_body_is_a_formatting_error() -> None:
    with pytest.raises(AppBadFormatting, match=r"'app'.*IndexError"):
        BashCall("app", lambda inputs: f"cat {inputs[1]}")(inputs=[1])


def test_any_other_error_of_the_body_stays_itself() -> None:
    with pytest.raises(ZeroDivisionError):
        BashCall("app", lambda: str(1 // 0))()


@pytest.mark.parametrize("walltime", ["3", True, [1], 0, -1, float("nan")])
def test_a_wrong_walltime_is_refused_before_the_body_runs(walltime: object) -> None:
    with pytest.raises(ConfigurationError, match="walltime takes"):
        BashCall("app", lambda: pytest.fail("the body ran"))(walltime=walltime)


@pytest.mark.parametrize("option", ["inputs", "outputs"])
def test_inputs_and_outputs_have_to_be_lists(option: str) -> None:
    with pytest.raises(TypeError, match=f"{option} takes a list"):
        BashCall("app", lambda: "true")(**{option: "data.csv"})


@pytest.mark.parametrize("options", [{"inputs": [File("none")]}, {"outputs": [File("none/out")]}])
def test_missing_files_are_found_before_the_body_runs(options: dict[str, object]) -> None:
    with pytest.raises(MissingInputsError, match="none"):
        BashCall("app", lambda: pytest.fail("the body ran"))(**options)


def test_a_callable_without_a_signature_gets_no_special_arguments() -> None:
    commands = {"key": "echo hello"}

    BashCall("app", commands.pop)("key", stdout="log")

    with open("log") as log:
        assert log.read() == "hello\n"


def test_a_call_travels_by_pickle() -> None:
    call = BashCall("app", module_level, grace=0.5)
    call("warm")

    copy = pickle.loads(pickle.dumps(call))

    assert (copy.name, copy.body, copy.grace) == ("app", module_level, 0.5)
    assert cloudpickle.loads(cloudpickle.dumps(BashCall("other", lambda: "true")))() == 0


@pytest.mark.parametrize("command", ["--version", "-c true", "+x"])
def test_a_command_that_looks_like_an_option_is_a_command(command: str) -> None:
    with pytest.raises(BashExitFailure, match="exit code 127"):
        BashCall("app", lambda: command)()


def passed_through(words: list[str]) -> list[str]:
    BashCall("app", lambda: ["printf", "%s\\0", "first", *words])(stdout=("words", "w"))
    with open("words", "rb") as written:
        return written.read().decode().split("\0")[1:-1]


@settings(max_examples=40)
@given(
    st.lists(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=8)
)
def test_every_text_without_nul_passes_an_argument_vector_unharmed(words: list[str]) -> None:
    assert passed_through(words) == words


def test_no_shell_sees_an_argument_vector() -> None:
    words = ["$(touch canary)", "`touch canary`", "; touch canary", "a'b\"c d", "line\nbreak", "*", "\u2028"]

    passed = passed_through(words)

    assert passed == words
    assert not os.path.exists("canary")


def test_the_signal_names_are_those_of_this_system() -> None:
    with pytest.raises(BashExitFailure) as caught:
        BashCall("app", lambda: f"kill -{signal.SIGUSR1.value} $$")()

    assert caught.value.exitcode == 128 + signal.SIGUSR1
    assert caught.value.__notes__ == ["the command was killed by SIGUSR1"]
