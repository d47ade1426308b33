import enum
import inspect
import subprocess
import sys

import pytest

import fanflow

# What programs may rely on. A change here is a change for users: it belongs in the CHANGELOG.
SURFACE = {
    "AUTO_LOGNAME": "-1",
    "App": "(func, data_flow_kernel=None, executors='all', cache=False, ignore_for_cache=None)",
    "AppFuture": "(task, kernel)",
    "DataFuture": "(fut, file_obj, tid)",
    "File": "(url)",
    "PoolExecutor": "(config=None, dfk=None, executors='all')",
    "PoolExecutor.get_app": "(self, fn)",
    "PoolExecutor.map": "(self, fn, *iterables, timeout=None, chunksize=1, buffersize=None)",
    "PoolExecutor.shutdown": "(self, wait=True, *, cancel_futures=False)",
    "PoolExecutor.submit": "(self, fn, /, *args, **kwargs)",
    "DataFlowKernel": "(config=None)",
    "DataFlowKernel.cleanup": "(self)",
    "DataFlowKernel.wait_for_current_tasks": "(self)",
    "HighThroughputExecutor": "(label='HighThroughputExecutor', provider=None, launch_cmd=None, "
    "interchange_launch_cmd=None, address=None, loopback_address='127.0.0.1', worker_port=None, "
    "worker_port_range=(54000, 55000), interchange_port_range=(55000, 56000), storage_access=None, "
    "working_dir=None, worker_debug=False, cores_per_worker=1.0, mem_per_worker=None, "
    "max_workers_per_node=None, cpu_affinity='none', available_accelerators=(), prefetch_capacity=0, "
    "heartbeat_threshold=120, heartbeat_period=30, drain_period=None, poll_period=10, "
    "address_probe_timeout=None, worker_logdir_root=None, manager_selector=RandomManagerSelector(), "
    "block_error_handler=True, encrypted=True, remote_monitoring_radio=None, *, max_message=4294967296)",
    "HighThroughputExecutor.connected_blocks": "(self)",
    "HighThroughputExecutor.connected_managers": "(self)",
    "HighThroughputExecutor.connected_managers_packages": "(self)",
    "HighThroughputExecutor.outstanding": "(self)",
    "HighThroughputExecutor.scale_in": "(self, blocks, max_idletime=None)",
    "HighThroughputExecutor.scale_in_facade": "(self, n, max_idletime=None)",
    "HighThroughputExecutor.scale_out_facade": "(self, n)",
    "HighThroughputExecutor.set_bad_state_and_fail_all": "(self, exception)",
    "HighThroughputExecutor.shutdown": "(self, timeout=10.0)",
    "HighThroughputExecutor.start": "(self)",
    "HighThroughputExecutor.status": "(self)",
    "HighThroughputExecutor.submit": "(self, func, resource_specification, *args, **kwargs)",
    "HighThroughputExecutor.submit_payload": "(self, context, buffer)",
    "InlineExecutor": "(label='inline')",
    "ThreadPoolExecutor": "(label='threads', max_threads=2, thread_name_prefix=None, storage_access=None, "
    "working_dir=None, remote_monitoring_radio=None)",
    "as_completed": "(futures, timeout=None, *, limit=None)",
    "bash_app": "(function=None, data_flow_kernel=None, cache=False, executors='all', ignore_for_cache=None)",
    "clear": "()",
    "dfk": "()",
    "gather": "(*futures, return_partial=False)",
    "join_app": "(function=None, data_flow_kernel=None, cache=False, ignore_for_cache=None)",
    "load": "(config=None)",
    "map": "(function, /, *iterables)",
    "python_app": "(function=None, data_flow_kernel=None, cache=False, executors='all', "
    "ignore_for_cache=None)",
    "wait": "(futures, timeout=None, return_when='ALL_COMPLETED')",
    "wait_for_current_tasks": "()",
}

NAMES = {
    "AUTO_LOGNAME",
    "App",
    "AppFuture",
    "Config",
    "DataFlowKernel",
    "DataFlowKernelLoader",
    "DataFuture",
    "ExecutorAdapter",
    "File",
    "HighThroughputExecutor",
    "InlineExecutor",
    "PoolExecutor",
    "ThreadPoolExecutor",
    "__version__",
    "as_completed",
    "bash_app",
    "clear",
    "dfk",
    "gather",
    "join_app",
    "load",
    "map",
    "python_app",
    "set_file_logger",
    "set_stream_logger",
    "wait",
    "wait_for_current_tasks",
}

FUTURE_MEMBERS = {
    "add_done_callback",
    "cancel",
    "cancelled",
    "done",
    "exception",
    "explain",
    "outputs",
    "result",
    "running",
    "stderr",
    "stdout",
    "task_record",
    "task_status",
    "tid",
}


def shape(value: object) -> str:
    """Parameters without their types; for a constant its value."""
    if not callable(value):
        return repr(value)
    signature = inspect.signature(value)
    parameters = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_the_public_names_are_these() -> None:
    assert set(fanflow.__all__) == NAMES
    assert fanflow.__all__ == sorted(fanflow.__all__)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(fanflow, name)

    assert name in dir(fanflow)
    if callable(value) or isinstance(value, enum.EnumType):
        assert inspect.getdoc(value), f"{name} has no docstring"


@pytest.mark.parametrize("name", SURFACE)
def test_what_is_called_keeps_its_parameters(name: str) -> None:
    value: object = fanflow
    for part in name.split("."):
        value = getattr(value, part)

    assert shape(value) == SURFACE[name]


def test_a_future_has_the_members_that_programs_use() -> None:
    assert set(dir(fanflow.AppFuture)) >= FUTURE_MEMBERS


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fanflow' has no attribute 'Parallel'"):
        _ = fanflow.Parallel  # type: ignore[attr-defined]  # that is the mistake


def test_a_star_import_gives_the_public_names() -> None:
    program = "from fanflow import *; print(len([n for n in dir() if n in __import__('fanflow').__all__]))"

    printed = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert printed.stdout == f"{len(NAMES)}\n"
