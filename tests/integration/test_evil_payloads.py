"""What cannot be sent, or harms whoever rebuilds it, ends its own task and nothing else."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

import fanflow
from fanflow import Config, DataFlowKernel
from fanflow.codec.pickling import UnpicklingError
from fanflow.errors import AppTimeout, PicklingError, RemoteError
from fanflow.pilot.errors import WorkerLost
from fanflow.testing import evil
from tests.integration import evil_tasks
from tests.integration.engines import TwoWorkers, engine_of
from tests.integration.evil_tasks import add
from tests.integration.scripts import run
from tests.integration.test_printing import ROOT
from tests.unit.evil_exceptions import CASES

PATIENCE_S = 20.0
NEIGHBOURS = 100


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkers()])) as kernel:
        yield kernel


@pytest.fixture
def neighbours(kernel: DataFlowKernel) -> Iterator[None]:
    """Tasks before and after what a test does: they come to no harm."""
    before = [add(number) for number in range(NEIGHBOURS)]
    yield
    after = [add(number) for number in range(NEIGHBOURS)]
    for futures in (before, after):
        assert [future.result(PATIENCE_S) for future in futures] == list(range(1, NEIGHBOURS + 1))


@pytest.mark.usefixtures("neighbours")
def test_every_odd_exception_ends_its_own_task_with_type_text_and_traceback() -> None:
    wrong: list[str] = []
    for number, case in enumerate(CASES):
        began = time.monotonic()
        error = evil_tasks.raise_case(number).exception(PATIENCE_S)
        took = time.monotonic() - began
        notes = "\n".join(getattr(error, "__notes__", ()))
        try:
            text = f"{type(error).__name__}: {error}\n{notes}"
        except BaseException:  # noqa: BLE001 - its own code
            text = f"{type(error).__name__}\n{notes}"
        if type(error).__name__ != case.comes_back_as or case.shows not in text:
            wrong.append(f"{case.name}: {text[:300]}")
        if "in raise_case" not in text + str(getattr(error, "traceback", "")):
            wrong.append(f"{case.name}: no traceback in {text[:300]}")
        if took > 1.0:
            wrong.append(f"{case.name}: {took:.1f} s")

    assert not wrong


@pytest.mark.usefixtures("neighbours")
def test_odd_exceptions_by_the_hundred_do_not_touch_each_other() -> None:
    names = list(evil.FACTORIES) * 10
    futures = [evil_tasks.raise_made(name) for name in names]
    healthy = [add(number) for number in range(1000)]

    errors = [future.exception(PATIENCE_S) for future in futures]
    types = [{type(error).__name__ for error in errors[place :: len(evil.FACTORIES)]}
             for place in range(len(evil.FACTORIES))]  # fmt: skip

    assert None not in errors
    assert all(len(found) == 1 for found in types)
    assert [future.result(PATIENCE_S) for future in healthy] == list(range(1, 1001))


@pytest.mark.usefixtures("neighbours")
def test_an_exception_whose_module_is_only_on_the_worker_comes_back_as_text() -> None:
    error = evil_tasks.raise_of_missing_module().exception(PATIENCE_S)

    assert isinstance(error, RemoteError)
    assert "only_on_the_worker.FleetingError: here today" in str(error)


@pytest.mark.usefixtures("neighbours")
def test_a_result_whose_module_is_only_on_the_worker_says_so() -> None:
    error = evil_tasks.return_of_missing_module().exception(PATIENCE_S)

    assert isinstance(error, UnpicklingError)
    assert "only_on_the_worker" in str(error)


def test_a_thousand_poisoned_results_in_a_row_harm_nobody(kernel: DataFlowKernel) -> None:
    poisoned = [evil_tasks.return_sealed() for _ in range(1000)]
    trapped = [evil_tasks.return_trapped() for _ in range(100)]
    healthy = [add(number) for number in range(1000)]

    errors = [future.exception(PATIENCE_S) for future in poisoned]

    assert [future.result(PATIENCE_S) for future in healthy] == list(range(1, 1001))
    assert all(isinstance(error, UnpicklingError) for error in errors)
    assert "this value cannot be unpickled" in str(errors[0])
    assert all("a trap" in str(future.exception(PATIENCE_S)) for future in trapped)


@pytest.mark.parametrize(
    ("module", "name", "args", "shows"),
    [
        ("os", "_exit", (3,), "exit status 3"),
        ("os", "abort", (), "SIGABRT"),
        ("tests.integration.evil_tasks", "crash", (), "SIGSEGV"),
    ],
)
@pytest.mark.usefixtures("neighbours")
def test_a_result_that_ends_whoever_unpickles_it_ends_a_worker(
    module: str, name: str, args: tuple[object, ...], shows: str
) -> None:
    error = evil_tasks.return_made(module, name, *args).exception(PATIENCE_S)

    assert isinstance(error, WorkerLost)
    assert shows in "\n".join(error.__notes__)


@pytest.mark.usefixtures("neighbours")
def test_a_result_that_needs_more_memory_than_there_is_ends_its_task() -> None:
    error = evil_tasks.return_made("tests.integration.evil_tasks", "grow").exception(PATIENCE_S)

    assert isinstance(error, UnpicklingError)
    assert "MemoryError" in str(error)


@pytest.mark.usefixtures("neighbours")
def test_a_result_that_blocks_whoever_unpickles_it_meets_its_walltime() -> None:
    future = evil_tasks.return_made("time", "sleep", 60, walltime=0.5)

    assert isinstance(future.exception(PATIENCE_S), AppTimeout)


@pytest.mark.usefixtures("neighbours")
def test_a_result_that_blocks_the_client_alone_holds_up_no_other() -> None:
    evil_tasks.CLIENT_MAY_GO_ON.clear()
    client = os.getpid()
    stuck = evil_tasks.return_made("tests.integration.evil_tasks", "wait_at_client", client)
    others = [evil_tasks.return_plain(number) for number in range(100)]
    errors = [evil_tasks.raise_made("no text") for _ in range(10)]

    assert [future.result(PATIENCE_S).value for future in others] == list(range(100))
    assert all(future.exception(PATIENCE_S) is not None for future in errors)
    assert not stuck.done()
    evil_tasks.CLIENT_MAY_GO_ON.set()
    assert stuck.result(PATIENCE_S) == "went on"


def test_a_kernel_ends_in_time_while_results_block_its_client() -> None:
    evil_tasks.CLIENT_MAY_GO_ON.clear()
    with fanflow.load(Config(executors=[TwoWorkers()])) as kernel:
        stuck = evil_tasks.return_made("tests.integration.evil_tasks", "wait_at_client", os.getpid())
        other = evil_tasks.return_plain(1)
        assert add(1).result(PATIENCE_S) == 2
        assert other.result(PATIENCE_S).value == 1
        ends_at = threading.Timer(15, evil_tasks.CLIENT_MAY_GO_ON.set)
        ends_at.start()
        kernel.cleanup()
    was_blocked = not evil_tasks.CLIENT_MAY_GO_ON.is_set()
    ends_at.cancel()
    ends_at.join()
    evil_tasks.CLIENT_MAY_GO_ON.set()

    assert was_blocked
    assert stuck.exception(0) is not None


@pytest.mark.usefixtures("neighbours")
def test_an_argument_that_cannot_be_sent_is_named_and_nothing_is_sent(kernel: DataFlowKernel) -> None:
    error = evil_tasks.return_plain([1, {"k": threading.Lock()}]).exception(PATIENCE_S)

    assert isinstance(error, PicklingError)
    assert "args[0][1]['k']" in str(error)


@pytest.mark.usefixtures("neighbours")
def test_an_argument_that_the_worker_cannot_rebuild_ends_its_task() -> None:
    error = evil_tasks.return_plain(evil.SealedValue()).exception(PATIENCE_S)

    assert isinstance(error, UnpicklingError)
    assert "argument of app 'return_plain'" in str(error)


@pytest.mark.usefixtures("neighbours")
def test_an_argument_that_ends_the_worker_ends_its_task() -> None:
    error = evil_tasks.return_plain(evil_tasks.Made(os._exit, 4)).exception(PATIENCE_S)

    assert isinstance(error, WorkerLost)
    assert "exit status 4" in "\n".join(error.__notes__)


@pytest.mark.usefixtures("neighbours")
def test_a_result_that_cannot_be_sent_is_named() -> None:
    error = evil_tasks.return_lock().exception(PATIENCE_S)

    assert isinstance(error, PicklingError)
    assert "result['deep'][1]" in str(error)


@pytest.mark.usefixtures("neighbours")
def test_a_result_that_is_nested_too_deeply_is_refused() -> None:
    error = evil_tasks.return_nested(100_000).exception(PATIENCE_S)

    assert isinstance(error, PicklingError)
    assert "nested" in str(error)


@pytest.mark.usefixtures("neighbours")
def test_a_deep_result_comes_back_where_the_task_has_raised_the_recursion_limit() -> None:
    value = evil_tasks.return_nested(5_000, limit=20_000).result(PATIENCE_S)

    depth = 0
    while value:
        depth, value = depth + 1, value[0]  # type: ignore[index]
    assert depth == 5_000


@pytest.mark.usefixtures("neighbours")
def test_a_task_that_leaves_no_room_on_the_stack_ends_with_an_error_or_its_worker() -> None:
    error = evil_tasks.return_nested(200_000, limit=1_000_000_000).exception(PATIENCE_S)

    assert isinstance(error, PicklingError | WorkerLost | RecursionError)


def test_nothing_that_was_refused_is_kept(kernel: DataFlowKernel) -> None:
    futures = [evil_tasks.return_plain(threading.Lock()) for _ in range(10)]
    futures += [evil_tasks.return_sealed() for _ in range(10)]

    assert all(isinstance(future.exception(PATIENCE_S), PicklingError) for future in futures)
    assert not engine_of(kernel).core.open


def test_classes_of_the_script_come_back_as_themselves() -> None:
    ended = run(f"""
        sys.path.insert(0, {str(ROOT)!r})
        from tests.integration.engines import TwoWorkers
        fanflow.load(Config(executors=[TwoWorkers()]))

        class Point:
            def __init__(self, x):
                self.x = x

        class PointError(Exception):
            def __init__(self, point, code):
                super().__init__(f"point {{point.x}}")
                self.point = point

        @python_app
        def make(x):
            return [Point(x)]

        @python_app
        def fail(x):
            raise PointError(Point(x), 3)

        point = make(3).result()[0]
        error = fail(4).exception()
        say([type(point) is Point, point.x, type(error) is PointError, error.point.x, error])
        fanflow.dfk().cleanup()
    """)

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "[True, 3, True, 4, PointError('point 4')]\n"
