"""The public executor before, between and after its runs, and when it is used from several threads."""

import copy
import itertools
import pickle
import threading
import time
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import pytest

import fanflow
from fanflow import Config, HighThroughputExecutor, python_app
from fanflow.errors import ConfigurationError, ExecutorError, WaitInCallbackError
from fanflow.model.jobs import JobState
from fanflow.providers import LocalProvider
from tests.leaks import wait_until

PATIENCE_S = 20.0
AT_ONCE_S = 2.0


@python_app
def square(number: int) -> int:
    return number * number


def test_one_that_has_ended_answers_at_once() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    executor.submit(abs, {}, -1).result(PATIENCE_S)
    executor.shutdown()
    start = time.monotonic()

    statuses = executor.status()

    assert list(statuses) == ["0"]
    assert executor.outstanding() == 0
    assert executor.connected_managers() == []
    with pytest.raises(ExecutorError, match="has ended"):
        executor.scale_out(1)
    with pytest.raises(ExecutorError, match="has ended"):
        executor.scale_in(1)
    with pytest.raises(ExecutorError, match=r"start\(\) it again"):
        executor.submit(abs, {}, 1)
    assert time.monotonic() - start < AT_ONCE_S


def test_questions_that_are_open_when_it_ends_get_an_error_at_once() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    entered, leaves = threading.Event(), threading.Event()

    def keep_it_busy() -> None:
        entered.set()
        leaves.wait(PATIENCE_S)

    executor.engine.mailbox.post(keep_it_busy)
    entered.wait(PATIENCE_S)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            executor.scale_out(1)
        except ExecutorError as error:
            raised.append(error)

    closing = threading.Thread(target=executor.shutdown)
    closing.start()
    wait_until(lambda: executor.engine.is_closed, PATIENCE_S)
    asking = threading.Thread(target=ask)
    asking.start()
    start = time.monotonic()
    leaves.set()
    for thread in (asking, closing):
        thread.join(PATIENCE_S)

    assert len(raised) == 1
    assert time.monotonic() - start < 5.0


def test_one_that_a_kernel_runs_cannot_be_started() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    with fanflow.load(Config(executors=[executor])):
        with pytest.raises(ConfigurationError, match="run by a kernel"):
            executor.start()
        assert square(2).result(timeout=PATIENCE_S) == 4


def test_copies_of_one_that_runs_have_its_options_and_nothing_that_runs() -> None:
    executor = HighThroughputExecutor("pool", max_workers_per_node=1)
    with fanflow.load(Config(executors=[executor])):
        square(2).result(timeout=PATIENCE_S)

        copies = [copy.copy(executor), copy.deepcopy(executor), pickle.loads(pickle.dumps(executor))]

        for other in copies:
            assert repr(other) == repr(executor)
            with pytest.raises(ExecutorError, match="not running"):
                other.connected_managers()


def test_without_a_kernel_each_run_has_a_numbered_directory_unless_one_was_set(tmp_path: Path) -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    seen: list[str] = []
    for directory in (None, None, "mine"):
        if directory is not None:
            executor.run_dir = directory
        executor.start()
        executor.submit(abs, {}, -1).result(PATIENCE_S)
        seen.append(executor.run_dir)
        executor.shutdown()

    assert seen == [str(tmp_path / name) for name in ("runinfo/000", "runinfo/001", "mine")]
    assert all(Path(path, executor.label, "block-0").is_dir() for path in seen)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "runinfo"]


def test_logs_and_directories_of_earlier_runs_do_not_matter(tmp_path: Path) -> None:
    for _ in range(2):
        executor = HighThroughputExecutor(
            max_workers_per_node=1,
            provider=LocalProvider(worker_init="true"),
            worker_logdir_root=str(tmp_path / "logs"),
        )
        executor.run_dir = str(tmp_path / "run")
        executor.start()
        assert executor.submit(abs, {}, -1).result(PATIENCE_S) == 1
        executor.shutdown()


def test_calls_that_come_while_it_ends_have_an_outcome() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    futures: list[Future[object]] = []
    begun = threading.Event()

    def submit() -> None:
        for number in itertools.count():
            try:
                futures.append(executor.submit(abs, {}, -number))
            except ExecutorError:
                return
            if number == 50:
                begun.set()

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(PATIENCE_S)

    executor.shutdown()

    for thread in threads:
        thread.join(PATIENCE_S)
    assert not wait(futures, PATIENCE_S).not_done
    errors = {type(future.exception()) for future in futures}
    assert errors <= {type(None), CancelledError}


def test_a_callback_that_shuts_its_executor_down_is_told() -> None:
    executor = HighThroughputExecutor(max_workers_per_node=1)
    executor.start()
    raised: list[BaseException] = []
    asked = threading.Event()

    def end(future: object) -> None:
        try:
            executor.shutdown()
        except WaitInCallbackError as error:
            raised.append(error)
        asked.set()

    executor.submit(abs, {}, 1).add_done_callback(end)

    assert asked.wait(PATIENCE_S)
    assert len(raised) == 1
    assert executor.submit(abs, {}, -1).result(PATIENCE_S) == 1
    executor.shutdown()


def test_blocks_are_asked_for_and_given_back_from_several_threads_at_once() -> None:
    provider = LocalProvider(init_blocks=0, max_blocks=1)
    executor = HighThroughputExecutor(max_workers_per_node=1, provider=provider)
    with fanflow.load(Config(executors=[executor], strategy="none")):
        names: list[str] = []
        given_back: list[str] = []

        def scale() -> None:
            for _ in range(2):
                names.extend(executor.scale_out(1))
                given_back.extend(executor.scale_in(1))

        threads = [threading.Thread(target=scale) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

        assert sorted(names) == sorted(given_back) == ["0", "1", "2", "3", "4", "5"]
        wait_until(lambda: all(one.terminal for one in executor.status().values()), PATIENCE_S)
        assert {one.state for one in executor.status().values()} == {JobState.SCALED_IN}
