"""Payloads of any size travel both ways, while heartbeats go on and nothing piles up on the way."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

import fanflow
from fanflow import Config, DataFlowKernel, python_app
from fanflow.pilot import wire
from fanflow.pilot.errors import MessageTooLargeError
from fanflow.pilot.worker_records import PACKET_PAYLOAD
from tests.integration.engines import TwoWorkers, engine_of
from tests.leaks import wait_until

PATIENCE_S = 50.0
MIB = 1 << 20
BEATS_MS = (200, 2000)

EDGES = sorted(
    size + difference
    for size in (1, PACKET_PAYLOAD, wire.INLINE_LIMIT, MIB, wire.CHUNK_BYTES, 2 * wire.CHUNK_BYTES)
    for difference in (-60, -1, 0, 1)
    if size + difference >= 0
)
"""Around every size at which something is done in another way; pickling adds some bytes."""


@pytest.fixture
def kernel() -> Iterator[DataFlowKernel]:
    with fanflow.load(Config(executors=[TwoWorkers(beats_ms=BEATS_MS)])) as kernel:
        yield kernel


@python_app
def digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


@python_app
def echo(data: bytes) -> bytes:
    return data


@python_app
def make(size: int, fill: int = 0) -> bytes:
    return bytes([fill]) * size


@python_app
def measure(data: object) -> int:
    return len(data)  # type: ignore[arg-type]


@python_app
def add(a: int) -> int:
    return a + 1


@python_app
def wait_for_file(path: str, data: bytes) -> int:
    while not os.path.exists(path):
        time.sleep(0.01)
    return len(data)


def interchange_of(kernel: DataFlowKernel) -> psutil.Process:
    return psutil.Process(engine_of(kernel).fork_server.pids[1])


@contextmanager
def growth_of(process: psutil.Process) -> Iterator[list[int]]:
    """The most by which a process's memory grows meanwhile, in bytes."""
    before = process.memory_info().rss
    most = [0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        is_over.set()
        watcher.join()
        print("interchange grew by", most[0] >> 20, "MiB")


def no_manager_was_lost(caplog: pytest.LogCaptureFixture) -> bool:
    return not any("left:" in record.getMessage() for record in caplog.records)


def test_payloads_around_every_limit_come_back_as_they_were(kernel: DataFlowKernel) -> None:
    payloads = [os.urandom(size) for size in EDGES]

    futures = [echo(payload) for payload in payloads]

    for payload, future in zip(payloads, futures, strict=True):
        assert future.result(PATIENCE_S) == payload


def test_arrays_come_back_as_they_were(kernel: DataFlowKernel) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.arange(size) for size in (1, 10_000, 3_000_000)]

    futures = [echo(array) for array in arrays]

    for array, future in zip(arrays, futures, strict=True):
        assert numpy.array_equal(future.result(PATIENCE_S), array)


def test_several_results_of_100_mb_at_once_starve_no_heartbeat_and_do_not_pile_up(
    kernel: DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    add(0).result(PATIENCE_S)

    with growth_of(interchange_of(kernel)) as most:
        futures = [make(100 * MIB, number) for number in range(3)]
        small = [add(number) for number in range(200)]
        results = [future.result(PATIENCE_S) for future in futures]

    assert [(len(result), result[0]) for result in results] == [(100 * MIB, n) for n in range(3)]
    assert [future.result(PATIENCE_S) for future in small] == list(range(1, 201))
    assert most[0] <= 200 * MIB
    assert no_manager_was_lost(caplog)


def test_arguments_of_100_mb_wait_at_the_client_until_managers_take_them(
    kernel: DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    add(0).result(PATIENCE_S)
    data = b"x" * (100 * MIB)

    with growth_of(interchange_of(kernel)) as most:
        futures = [measure(data) for _ in range(4)]
        small = [add(number) for number in range(200)]
        assert [future.result(PATIENCE_S) for future in small] == list(range(1, 201))
        assert [future.result(PATIENCE_S) for future in futures] == [100 * MIB] * 4

    assert most[0] <= 200 * MIB
    assert no_manager_was_lost(caplog)


def test_large_arguments_of_queued_tasks_stay_at_the_client(kernel: DataFlowKernel) -> None:
    blockers = [wait_for_file(os.path.abspath("go"), b"") for _ in range(2)]
    data = b"x" * (16 * MIB)
    wait_until(lambda: 1 in engine_of(kernel).fork_server.pids, 10)

    with growth_of(interchange_of(kernel)) as most:
        core = engine_of(kernel).core
        queued = [measure(data) for _ in range(20)]
        small = [add(number) for number in range(500)]
        wait_until(lambda: len(core._flight.sent) >= 2, 10)  # and hardly more, as long as nothing ends
        open("go", "w").close()
        assert [future.result(PATIENCE_S) for future in queued] == [16 * MIB] * 20

    assert most[0] <= wire.TASKS_WINDOW + 64 * MIB
    assert [future.result(PATIENCE_S) for future in (*blockers, *small)] == [0, 0, *range(1, 501)]


def test_large_results_wait_at_their_manager_while_the_client_is_busy() -> None:
    with fanflow.load(Config(executors=[TwoWorkers(managers=2, slots=2)])) as kernel:
        assert add(0).result(PATIENCE_S) == 1
        hold, held = threading.Event(), threading.Event()

        def block(_: object) -> None:  # the kernel thread
            held.set()
            hold.wait(10)

        add(1).add_done_callback(block)
        assert held.wait(PATIENCE_S)
        with growth_of(interchange_of(kernel)) as most:
            futures = [make(48 * MIB) for _ in range(6)]
            hold.set()
            results = [len(future.result(PATIENCE_S)) for future in futures]

    assert results == [48 * MIB] * 6
    assert most[0] <= 160 * MIB


def test_a_cancelled_large_call_makes_room_for_the_next(kernel: DataFlowKernel) -> None:
    blockers = [wait_for_file(os.path.abspath("go"), b"") for _ in range(2)]
    data = b"x" * (40 * MIB)
    queued = [measure(data) for _ in range(6)]

    assert all(future.cancel() for future in queued[:5])
    open("go", "w").close()

    assert queued[5].result(PATIENCE_S) == 40 * MIB
    assert [future.result(PATIENCE_S) for future in blockers] == [0, 0]


def test_large_calls_survive_a_new_interchange(kernel: DataFlowKernel) -> None:
    data = b"x" * (24 * MIB)
    path = os.path.abspath("go")
    running = [wait_for_file(path, data) for _ in range(2)]
    queued = [measure(data) for _ in range(8)]
    core = engine_of(kernel).core
    wait_until(lambda: len(core._flight.on_the_ground()) >= 2, 10)

    interchange_of(kernel).send_signal(signal.SIGKILL)
    open("go", "w").close()

    assert [future.result(PATIENCE_S) for future in (*running, *queued)] == [24 * MIB] * 10
    assert not core._flight.sent


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_result_and_an_argument_of_a_gigabyte_starve_no_heartbeat(
    kernel: DataFlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    add(0).result(PATIENCE_S)

    with growth_of(interchange_of(kernel)) as most:
        made = make(1024 * MIB)
        small = [add(number) for number in range(200)]
        assert [future.result(PATIENCE_S) for future in small] == list(range(1, 201))
        data = made.result(5 * PATIENCE_S)
        assert len(data) == 1024 * MIB
        assert measure(data).result(5 * PATIENCE_S) == 1024 * MIB

    assert most[0] <= 2048 * MIB
    assert no_manager_was_lost(caplog)


def test_what_is_larger_than_max_message_is_refused_at_once() -> None:
    limit = 8 * MIB
    with fanflow.load(Config(executors=[TwoWorkers(max_message=limit)])):
        assert len(make(limit - 100).result(PATIENCE_S)) == limit - 100
        began = time.monotonic()
        errors = [make(limit).exception(PATIENCE_S), measure(b"x" * limit).exception(PATIENCE_S)]
        took = time.monotonic() - began

        assert measure(b"x" * (limit - 100)).result(PATIENCE_S) == limit - 100

    assert all(isinstance(error, MessageTooLargeError) for error in errors)
    assert all("at most 8,388,608 bytes may be sent" in str(error) for error in errors)
    assert "'measure'" in str(errors[1])
    assert took < 2.0
