import functools
import inspect
import operator
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import cloudpickle
import pytest

import fanflow
from fanflow import App, Config, DataFlowKernel, ThreadPoolExecutor, bash_app, join_app, python_app
from fanflow.config.defaults import PARSL, select_defaults
from fanflow.errors import NestedAppError, NoDataFlowKernelError, OptionTypeError, TaskExitedError

SOURCE = Path(fanflow.__file__).parents[1]


@pytest.fixture
def parsl_defaults() -> Iterator[None]:
    before = select_defaults(PARSL)
    yield
    select_defaults(before)


@python_app
def doubled(number: int) -> int:
    """Twice the number."""
    return 2 * number


def tripled(number: int, *, plus: int = 0) -> int:
    """Three times the number."""
    return 3 * number + plus


class Shelf:
    """Apps are found here by their qualified names."""

    @staticmethod
    @python_app
    def halved(number: int) -> float:
        return number / 2


# -- making apps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorate",
    [python_app, python_app(), python_app(cache=False, executors=["threads"]), python_app(executors="all")],
    ids=["bare", "empty", "options", "all"],
)
def test_a_decorator_works_bare_and_with_options(
    kernel: DataFlowKernel, decorate: Callable[[object], App[..., int]]
) -> None:
    app = decorate(tripled)

    assert app(2, plus=1).result() == 7


@pytest.mark.parametrize("decorate", [python_app, bash_app, join_app])
def test_an_app_looks_like_its_function(decorate: Callable[[object], App[..., int]]) -> None:
    app = decorate(tripled)

    assert app.__name__ == "tripled"
    assert app.__qualname__ == "tripled"
    assert app.__doc__ == "Three times the number."
    assert app.__module__ == tripled.__module__
    assert app.func is tripled
    assert inspect.signature(app) == inspect.signature(tripled)
    assert inspect.getsource(cast("Callable[..., object]", app)) == inspect.getsource(tripled)
    assert repr(app) == f"<{decorate.__name__} {tripled.__module__}.tripled>"


def test_an_app_knows_its_options(kernel: DataFlowKernel) -> None:
    app = python_app(
        tripled, data_flow_kernel=kernel, cache=True, executors=["threads"], ignore_for_cache=["plus"]
    )

    assert app.data_flow_kernel is kernel
    assert (app.cache, app.executors, app.ignore_for_cache) == (True, ["threads"], ["plus"])


def test_a_partial_function_is_an_app_with_the_name_of_the_whole(kernel: DataFlowKernel) -> None:
    app = python_app(functools.partial(functools.partial(tripled, plus=1), 5))

    future = app()

    assert future.result() == 16
    assert app.__name__ == "tripled"
    assert "tripled" in repr(app)
    assert "(tripled)" in repr(future)


def test_an_object_that_can_be_called_is_an_app(kernel: DataFlowKernel) -> None:
    class Adder:
        def __call__(self, number: int) -> int:
            return number + 1

    app = python_app(Adder())

    assert app(1).result() == 2
    assert app.__name__ == "Adder"
    assert "Adder" in repr(app)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "result"),
    [
        (max, (1, 5), {}, 5),
        (operator.add, (1, 5), {}, 6),
        (dict, (), {"inside": 1}, {"inside": 1}),
        (lambda *args, **kwargs: (args, kwargs), (1,), {"args": 2}, ((1,), {"args": 2})),
    ],
)
def test_any_function_is_an_app(
    kernel: DataFlowKernel,
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    result: object,
) -> None:
    assert python_app(function)(*args, **kwargs).result() == result


def test_parameters_may_have_any_name(kernel: DataFlowKernel) -> None:
    @python_app
    def named(self: int, function: int, args: int, kwargs: int, fn: int, name: int) -> list[int]:
        return [self, function, args, kwargs, fn, name]

    assert named(self=1, function=2, args=3, kwargs=4, fn=5, name=6).result() == [1, 2, 3, 4, 5, 6]


def test_an_app_in_a_class_is_called_without_the_object(kernel: DataFlowKernel) -> None:
    class Model:
        fit = python_app(tripled)

    assert Model.fit(1).result() == Model().fit(1).result() == 3
    assert Shelf.halved(3).result() == Shelf().halved(3).result() == 1.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"executors": "typo"},
            r"executors takes a list of labels, or 'all' \(did you mean executors=\['typo'\]\?\)",
        ),
        ({"executors": []}, "executors takes a list of labels"),
        ({"executors": [3]}, "executors takes a list of labels"),
        ({"executors": None}, "executors takes a list of labels"),
        ({"cache": "yes"}, "cache takes True or False, not str"),
        ({"cache": 1}, "cache takes True or False, not int"),
        ({"ignore_for_cache": "seed"}, "ignore_for_cache takes a list of argument names, not str"),
        ({"ignore_for_cache": [1]}, "ignore_for_cache takes a list of argument names, not list"),
        ({"data_flow_kernel": "mine"}, "data_flow_kernel takes a DataFlowKernel, not str"),
    ],
)
def test_an_option_of_a_wrong_type_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionTypeError, match=said) as caught:
        cast("Callable[..., object]", python_app)(tripled, **options)

    assert isinstance(caught.value, TypeError)
    assert str(caught.value).startswith("python_app(")


@pytest.mark.parametrize(
    "wrong",
    [3, "text", classmethod(tripled), doubled, bash_app(tripled)],
    ids=lambda wrong: type(wrong).__name__,
)
def test_only_a_function_becomes_an_app(wrong: object) -> None:
    with pytest.raises(OptionTypeError, match="function takes a plain function"):
        cast("Callable[[object], object]", python_app)(wrong)


def test_a_bash_app_cannot_be_async() -> None:
    async def command() -> str:
        return "true"

    with pytest.raises(OptionTypeError, match="without async"):
        cast("Callable[[object], object]", bash_app)(command)


# -- sending apps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("app", [doubled, Shelf.halved], ids=["module", "class"])
def test_an_app_that_can_be_imported_is_pickled_by_name(app: App[[int], float]) -> None:
    assert pickle.loads(pickle.dumps(app)) is app
    assert len(pickle.dumps(app)) < 200


def test_an_app_under_another_name_is_pickled_with_its_function(kernel: DataFlowKernel) -> None:
    app = python_app(tripled, executors=["threads"], ignore_for_cache=["plus"])

    arrived = cast("App[[int], int]", pickle.loads(pickle.dumps(app)))

    assert arrived is not app
    assert arrived(2).result() == 6
    assert (arrived.executors, arrived.cache, arrived.ignore_for_cache) == (["threads"], False, ["plus"])


@pytest.mark.parametrize("decorate", [python_app, bash_app, join_app])
def test_an_app_keeps_its_kind_and_leaves_its_kernel_behind(
    kernel: DataFlowKernel, decorate: Callable[..., App[..., object]]
) -> None:
    app = decorate(lambda: "true", data_flow_kernel=kernel)

    arrived = cast("App[..., object]", cloudpickle.loads(cloudpickle.dumps(app)))

    assert type(arrived) is type(app)
    assert arrived.data_flow_kernel is None


def test_an_app_of_a_script_works_in_another_process() -> None:
    secret = 40
    app = python_app(lambda number: number + secret)
    Path("app.pickle").write_bytes(cloudpickle.dumps(app))
    reads = "import pickle, fanflow; app = pickle.load(open('app.pickle', 'rb')); print(app(2).result())"

    ended = subprocess.run(
        [sys.executable, "-c", reads],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (ended.stdout, ended.stderr, ended.returncode) == ("42\n", "", 0)


# -- calling apps ---------------------------------------------------------------------------------


def test_a_wrong_call_raises_in_the_caller(kernel: DataFlowKernel) -> None:
    with pytest.raises(TypeError, match=r"doubled\(\) .* its signature is doubled\(number: int\) -> int"):
        doubled(1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nunber'"):
        doubled(1, nunber=1)

    assert kernel.task_count == 0
    assert doubled(1).result() == 2


def test_existing_programs_find_a_wrong_call_in_the_future(parsl_defaults: None) -> None:
    with fanflow.load(Config()):
        future = doubled(1, 2)

        with pytest.raises(TypeError, match=r"doubled\(\) too many positional arguments"):
            future.result()
        assert future.task_status() == "failed"
        assert doubled(1).result() == 2


def test_an_unknown_label_is_named_with_those_that_there_are(kernel: DataFlowKernel) -> None:
    app = python_app(tripled, executors=["gpu"])

    with pytest.raises(ValueError, match=r"'tripled' requested invalid executor 'gpu'.* has 'threads'"):
        app(1)

    assert doubled(1).result() == 2


def test_a_label_is_looked_for_in_the_kernel_of_each_call() -> None:
    app = python_app(tripled, executors=["one"])
    with fanflow.load(Config(executors=[ThreadPoolExecutor("one")])):
        assert app(1).result() == 3

    with (
        fanflow.load(Config(executors=[ThreadPoolExecutor("two")])),
        pytest.raises(ValueError, match="invalid executor 'one'"),
    ):
        app(1)


def test_an_app_runs_on_the_executors_that_it_names() -> None:
    @python_app(executors=["two"])
    def thread() -> str:
        return threading.current_thread().name

    with fanflow.load(Config(executors=[ThreadPoolExecutor("one"), ThreadPoolExecutor("two")])):
        assert {thread().result().rpartition("_")[0] for _ in range(20)} == {"ThreadPoolExecutor-two"}


def test_an_app_may_have_a_kernel_of_its_own(kernel: DataFlowKernel) -> None:
    with DataFlowKernel(Config(executors=[ThreadPoolExecutor("own")])) as own:
        app = python_app(tripled, data_flow_kernel=own)

        assert app(1).result() == 3
        assert (own.task_count, kernel.task_count) == (1, 0)

    with pytest.raises(NoDataFlowKernelError, match="'tripled' has been cleaned up"):
        app(1)


def test_an_app_starts_the_embedded_default_when_nothing_is_loaded() -> None:
    try:
        assert doubled(2).result() == 4
        assert fanflow.dfk().is_embedded
    finally:
        fanflow.dfk().cleanup()


def test_existing_programs_must_load_first(parsl_defaults: None) -> None:
    with pytest.raises(NoDataFlowKernelError, match="Must first load config"):
        doubled(2)


def test_an_app_called_by_a_task_is_an_error_that_names_the_way_out(kernel: DataFlowKernel) -> None:
    @python_app
    def outer() -> int:
        return doubled(1).result()

    with pytest.raises(NestedAppError, match=r"'doubled' was called inside a running task.*@join_app"):
        outer().result()

    assert kernel.task_count == 1


def test_a_join_app_calls_apps_on_the_kernel_that_runs_it(kernel: DataFlowKernel) -> None:
    @join_app
    def outer(number: int) -> fanflow.AppFuture[int]:
        return doubled(doubled(number))

    with DataFlowKernel(Config()) as own:
        app = join_app(outer.func, data_flow_kernel=own)

        assert app(1).result() == 4
        assert (own.task_count, kernel.task_count) == (3, 0)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_task_that_ends_the_process_fails_alone(kernel: DataFlowKernel, error: BaseException) -> None:
    @python_app
    def leave() -> None:
        raise error

    futures = [leave() for _ in range(4)]

    for future in futures:
        with pytest.raises(TaskExitedError) as caught:
            future.result()
        assert caught.value.__cause__ is error
    assert doubled(1).result() == 2


def test_the_exception_of_a_task_is_the_exception_itself(kernel: DataFlowKernel) -> None:
    error = ValueError("mine")

    @python_app
    def fail() -> None:
        raise error

    assert fail().exception() is error
