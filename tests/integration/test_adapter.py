import os
import threading
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from fanflow.codec.worker_flag import current_worker, in_worker
from fanflow.errors import (
    ConfigurationError,
    ExecutorError,
    InvalidResourceSpecification,
    OptionTypeError,
    PicklingError,
)
from fanflow.executors.adapter import ExecutorAdapter
from fanflow.model.attempts import Lost, Raised, Returned
from fanflow.testing import ManualLoop, RecordingSink, make_launch, tasks
from fanflow.testing.gates import Gate
from fanflow.testing.launches import CountingLatch
from tests.integration.adapter_stand import (
    CONTEXT,
    PATIENCE_S,
    ends,
    one_process,
    run,
    running,
    tell_id_and_wait,
    two_processes,
)


def process_id() -> int:
    return os.getpid()


def is_marked_as_worker() -> bool:
    return in_worker()


def test_attempts_run_in_the_processes_of_the_pool_and_are_marked_as_workers() -> None:
    with running(ExecutorAdapter(two_processes)) as (executor, sink):
        pid, marked = run(executor, sink, make_launch(process_id), make_launch(is_marked_as_worker))

    assert isinstance(pid, Returned)
    assert pid.value != os.getpid()
    assert isinstance(marked, Returned)
    assert marked.value is True
    assert not in_worker()


def test_a_pool_of_threads_gets_the_arguments_themselves_and_says_when_an_attempt_starts() -> None:
    lock = threading.Lock()
    launch = make_launch(tasks.echo, lock)

    with running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        [outcome] = run(executor, sink, launch)

    assert isinstance(outcome, Returned)
    assert outcome.value is lock
    assert sink.started == [launch.attempt]


def test_a_thread_of_the_pool_is_known_as_a_worker_while_it_runs_an_attempt() -> None:
    with ThreadPoolExecutor(1) as pool, running(ExecutorAdapter(pool, label="mine")) as (executor, sink):
        launch = make_launch(current_worker)
        [outcome] = run(executor, sink, launch)
        afterwards = pool.submit(current_worker).result()

    assert isinstance(outcome, Returned)
    assert getattr(outcome.value, "label", None) == "mine"
    assert getattr(outcome.value, "current", None) is launch
    assert afterwards is None


def test_a_thread_that_pickles_does_not_mark_the_kernels_process_as_a_worker() -> None:
    spec = ExecutorAdapter(lambda: ThreadPoolExecutor(1), serialize=True)

    with running(spec) as (executor, sink):
        [outcome] = run(executor, sink, make_launch(is_marked_as_worker))

    assert isinstance(outcome, Returned)
    assert outcome.value is False


def test_an_exception_from_a_thread_shows_the_users_frames_first() -> None:
    with running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        [outcome] = run(executor, sink, make_launch(tasks.raise_value_error, "x"))

    assert isinstance(outcome, Raised)
    traceback = outcome.error.__traceback__
    assert traceback is not None
    assert traceback.tb_frame.f_code.co_name == "raise_value_error"


def test_an_argument_that_cannot_be_pickled_is_named_and_its_latch_is_not_claimed() -> None:
    launch = make_launch(tasks.echo, {"handle": threading.Lock()})
    launch.latch = latch = CountingLatch()

    with running(ExecutorAdapter(two_processes)) as (executor, sink):
        [outcome] = run(executor, sink, launch)

    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, PicklingError)
    assert outcome.error.path == "args[0]['handle']"
    assert latch.claims == 0


def test_resources_are_refused_and_named() -> None:
    launch = make_launch(tasks.add, 1, 2)
    launch.resources = {"cores": 4}

    with running(ExecutorAdapter(lambda: ThreadPoolExecutor(1))) as (executor, sink):
        [outcome] = run(executor, sink, launch)

    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, InvalidResourceSpecification)
    assert outcome.error.invalid_keys == {"cores"}


def test_close_leaves_a_given_pool_open_and_shuts_one_it_made() -> None:
    made: list[ThreadPoolExecutor] = []

    def make() -> Executor:
        made.append(ThreadPoolExecutor(1))
        return made[-1]

    with ThreadPoolExecutor(1) as given:
        for spec in (ExecutorAdapter(given), ExecutorAdapter(make)):
            with running(spec) as (executor, sink):
                run(executor, sink, make_launch(tasks.add, 1, 1))

        assert given.submit(tasks.add, 2, 3).result() == 5
    with pytest.raises(RuntimeError):
        made[0].submit(tasks.add, 2, 3)


def test_close_kills_processes_that_do_not_end_in_time() -> None:
    with Gate() as gate:
        executor, sink = ExecutorAdapter(one_process).build(CONTEXT), RecordingSink()
        executor.start(sink, ManualLoop())
        launch = make_launch(tell_id_and_wait, gate.directory)
        executor.submit([launch])
        gate.wait_for_arrivals(1, PATIENCE_S)

        executor.close(drain=True, deadline=0.1)

        [outcome] = ends(sink, [launch])
    assert isinstance(outcome, Lost)
    assert isinstance(outcome.cause, ExecutorError)
    # That the process is gone is what the check for things left behind sees.


def test_a_factory_is_called_at_each_build_and_its_error_names_the_executor() -> None:
    def refuse() -> Executor:
        raise OSError("no such cluster")

    with pytest.raises(ConfigurationError, match=r"label='far'.*OSError: no such cluster"):
        ExecutorAdapter(refuse, label="far").build(CONTEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"make": 3}, "make takes a concurrent.futures.Executor"),
        ({"make": dict}, "a factory of a concurrent.futures.Executor"),
        ({"label": ""}, "label takes a string that is not empty"),
        ({"serialize": 1}, "serialize takes True, False or None"),
        ({"capacity": True}, "capacity takes a whole number or None"),
    ],
)
def test_a_wrong_option_is_named_at_load(options: dict[str, object], message: str) -> None:
    spec = ExecutorAdapter(one_process)
    for name, value in options.items():
        setattr(spec, name, value)

    with pytest.raises(OptionTypeError, match=message):
        spec.build(CONTEXT)


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        ExecutorAdapter(one_process, capacity=0).build(CONTEXT)


def test_capacity_is_what_was_said_or_what_the_pool_says() -> None:
    with ThreadPoolExecutor(3) as pool:
        own, said = ExecutorAdapter(pool), ExecutorAdapter(pool, capacity=7)
        capacities = [own.build(CONTEXT).capacity, said.build(CONTEXT).capacity]

    assert capacities == [3, 7]
