"""Calls and outcomes as bytes: each failure harms its own attempt, and says what it is."""

import functools
import gc
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from fanflow.codec import calls
from fanflow.codec.calls import pack_call, run_packed, unpack_outcome
from fanflow.codec.pickling import UnpicklingError
from fanflow.codec.worker_flag import current_worker, in_worker, mark_worker_thread
from fanflow.errors import PicklingError
from fanflow.ids import AttemptId
from fanflow.model.attempts import Launch, Raised, Returned
from fanflow.testing import make_launch, tasks
from fanflow.testing.evil import SealedValue

ATTEMPT = AttemptId(7)


def outcome_of(launch: Launch) -> Returned | Raised:
    return unpack_outcome(run_packed(pack_call(launch)), ATTEMPT, launch.name)


def value_of(launch: Launch) -> object:
    outcome = outcome_of(launch)
    assert isinstance(outcome, Returned)
    return outcome.value


def error_of(launch: Launch) -> BaseException:
    outcome = outcome_of(launch)
    assert isinstance(outcome, Raised)
    return outcome.error


def run_elsewhere(call: Path) -> bytes:
    """Run the packed call in another process, which is no copy of this one."""
    program = (
        "import sys; from fanflow.codec.calls import run_packed; "
        "sys.stdout.buffer.write(run_packed(open(sys.argv[1], 'rb').read()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(call)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def fleeting_module(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec("def function(): return 1\nclass Value: pass\n", module.__dict__)  # noqa: S102 - a module made by hand
    return module


def test_arguments_and_keywords_arrive() -> None:
    assert value_of(make_launch(tasks.describe_call, 1, [2], k={3})) == ((1, [2]), {"k": {3}})


def test_any_mapping_serves_as_keywords() -> None:
    launch = make_launch(tasks.describe_call)
    launch.kwargs = types.MappingProxyType({"k": 1})

    assert value_of(launch) == ((), {"k": 1})


def test_a_call_of_an_importable_function_travels_by_reference() -> None:
    packed = pack_call(make_launch(tasks.add, 1, 2))

    assert len(packed) < 200
    assert b"cloudpickle" not in packed


def test_the_bytes_of_a_function_are_made_once_and_forgotten_with_it() -> None:
    class Counting:
        pickled = 0

        def __reduce__(self) -> tuple[Callable[[], int], tuple[()]]:
            Counting.pickled += 1
            return (int, ())

    marker = Counting()

    def function() -> object:
        return marker

    for _ in range(3):
        pack_call(make_launch(function))
    assert Counting.pickled == 1

    before = len(calls._heads)
    del function
    gc.collect()
    assert len(calls._heads) == before - 1


def test_a_function_under_another_name_is_packed_under_that_name() -> None:
    first, second = make_launch(tasks.make_sealed), make_launch(tasks.make_sealed)
    second.name = "other"

    for launch in (first, second, first):
        assert repr(launch.name) in str(error_of(launch))


def test_state_of_a_callable_object_is_sent_as_it_is_at_each_call() -> None:
    values: list[int] = [1]
    function = functools.partial(tasks.echo, values)
    first = value_of(make_launch(function))
    values.append(2)

    assert first == [1]
    assert value_of(make_launch(function)) == [1, 2]
    assert value_of(make_launch(values.count, 2)) == 1


def test_a_function_keeps_what_it_remembers_from_call_to_call_in_one_process() -> None:
    seen: list[int] = []

    def function() -> int:
        seen.append(1)
        return len(seen)

    assert [value_of(make_launch(function)) for _ in range(2)] == [1, 2]
    assert seen == []


def test_the_memory_of_functions_is_bounded() -> None:
    for number in range(600):
        assert value_of(make_launch(functools.partial(tasks.add, number), 1)) == number + 1

    assert len(calls._callees) <= 256


def test_an_argument_that_cannot_be_pickled_is_named() -> None:
    launch = make_launch(tasks.describe_call, 1, key=[threading.Lock()])

    with pytest.raises(PicklingError) as info:
        pack_call(launch)

    assert info.value.what == "argument of app 'describe_call'"
    assert info.value.path == "kwargs['key'][0]"


def test_a_function_that_cannot_be_pickled_is_named_with_what_it_holds() -> None:
    handle = threading.Lock()

    def function() -> object:
        return handle

    with pytest.raises(PicklingError) as info:
        pack_call(make_launch(function))

    assert info.value.what == "the function of app 'function'"
    assert info.value.path == "function.<closure handle>"


def test_a_result_that_cannot_be_pickled_is_named() -> None:
    error = error_of(make_launch(lambda: {"handle": threading.Lock()}))

    assert isinstance(error, PicklingError)
    assert error.what == "the result of app '<lambda>'"
    assert error.path == "result['handle']"


def test_a_result_that_cannot_be_unpickled_harms_only_itself() -> None:
    poisoned = [run_packed(pack_call(make_launch(tasks.make_sealed))) for _ in range(1000)]

    for data in poisoned:
        outcome = unpack_outcome(data, ATTEMPT, "sealed")
        assert isinstance(outcome, Raised)
        assert isinstance(outcome.error, UnpicklingError)
        assert isinstance(outcome.error.__cause__, RuntimeError)
    assert "the result of app 'sealed' was received but cannot be rebuilt" in str(outcome.error)
    assert "this value cannot be unpickled" in str(outcome.error)


@pytest.mark.parametrize("data", [b"", b"E", b"Ex", b"\x80\x05", b"nonsense", pickle.dumps(1)[:-1]])
def test_a_damaged_outcome_is_an_error_of_its_attempt(data: bytes) -> None:
    outcome = unpack_outcome(data, ATTEMPT)

    assert isinstance(outcome, Raised)
    assert outcome.attempt == ATTEMPT


@pytest.mark.parametrize("data", [b"", b"\0\0\0\4abcd", b"\xff\xff\xff\xff"])
def test_a_damaged_call_is_an_error_and_not_an_exception(data: bytes) -> None:
    assert isinstance(unpack_outcome(run_packed(data), ATTEMPT), Raised)


def test_an_argument_that_cannot_be_unpickled_is_the_attempts_error() -> None:
    error = error_of(make_launch(tasks.echo, SealedValue()))

    assert isinstance(error, UnpicklingError)
    assert "argument of app 'echo'" in str(error)


def test_a_module_that_is_missing_at_the_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = fleeting_module("fleeting_codec_module")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        by_function = pack_call(make_launch(vars(module)["function"]))
        by_argument = pack_call(make_launch(tasks.echo, vars(module)["Value"]()))

    for packed in (by_function, by_argument):
        outcome = unpack_outcome(run_packed(packed), ATTEMPT)
        assert isinstance(outcome, Raised)
        assert isinstance(outcome.error, UnpicklingError)
        assert "No module named 'fleeting_codec_module'" in str(outcome.error)


def test_an_exception_as_a_value_is_a_value() -> None:
    assert isinstance(value_of(make_launch(tasks.make_exception, "x")), ValueError)


def test_a_class_of_main_comes_back_as_the_same_class() -> None:
    cls = type("OfScript", (), {"__module__": "__main__"})

    assert type(value_of(make_launch(tasks.echo, cls()))) is cls


def test_the_traceback_of_a_function_that_was_sent_names_its_file() -> None:
    script: dict[str, Callable[[], object]] = {"__name__": "__main__"}  # type: ignore[dict-item]
    exec(compile("def fail():\n    return (lambda: 1 / 0)()\n", "/srv/ada/script.py", "exec"), script)  # noqa: S102

    error = error_of(make_launch(script["fail"]))

    note = "".join(error.__notes__)
    assert note.count('File "/srv/ada/script.py", line 2') == 2


def test_large_values_arrive_whole() -> None:
    data = tasks.make_bytes(5_000_000)

    assert value_of(make_launch(tasks.echo, data)) == data


def test_running_a_call_in_the_process_that_packed_it_does_not_make_it_a_worker() -> None:
    assert value_of(make_launch(in_worker)) is False


def test_a_process_that_runs_anothers_call_is_a_worker_and_says_so_to_the_function(tmp_path: Path) -> None:
    (tmp_path / "call").write_bytes(pack_call(make_launch(in_worker)))

    outcome = unpack_outcome(run_elsewhere(tmp_path / "call"), ATTEMPT)

    assert isinstance(outcome, Returned)
    assert outcome.value is True


def test_a_forked_child_is_a_worker_even_for_calls_that_its_parent_has_run() -> None:
    packed = pack_call(make_launch(in_worker))
    run_packed(packed)
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writer, run_packed(packed))
        os._exit(0)
    os.waitpid(child, 0)
    data = os.read(reader, 1000)
    os.close(reader)
    os.close(writer)

    outcome = unpack_outcome(data, ATTEMPT)
    assert isinstance(outcome, Returned)
    assert outcome.value is True


def test_a_call_of_a_script_function_runs_in_a_process_with_another_main(tmp_path: Path) -> None:
    script = types.ModuleType("__main__")
    exec("factor = 3\ndef times(x): return x * factor\n", script.__dict__)  # noqa: S102 - a script made by hand
    (tmp_path / "call").write_bytes(pack_call(make_launch(vars(script)["times"], 7)))

    outcome = unpack_outcome(run_elsewhere(tmp_path / "call"), ATTEMPT)

    assert isinstance(outcome, Returned)
    assert outcome.value == 21


def test_the_mark_of_a_worker_thread_is_seen_in_that_thread_only() -> None:
    seen: list[object] = []
    mark_worker_thread("me")
    try:
        other = threading.Thread(target=lambda: seen.append(current_worker()))
        other.start()
        other.join()
        seen.append(current_worker())
    finally:
        mark_worker_thread(None)

    assert seen == [None, "me"]
    assert current_worker() is None


def test_calls_are_packed_while_another_thread_is_importing_cloudpickle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half_imported = types.ModuleType("cloudpickle")
    monkeypatch.setitem(sys.modules, "cloudpickle", half_imported)

    assert value_of(make_launch(tasks.echo, "words")) == "words"
