from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

import fanflow
from fanflow import AUTO_LOGNAME, Config, DataFlowKernel, ThreadPoolExecutor, bash_app, python_app


@python_app
def every(**kwargs: object) -> dict[str, object]:
    return kwargs


@bash_app
def spoken(text: str, stdout: object = AUTO_LOGNAME, stderr: object = AUTO_LOGNAME) -> str:
    return f"echo {text}"


def test_the_constant_is_the_one_that_existing_programs_may_have_written_out() -> None:
    assert AUTO_LOGNAME == -1


def test_an_automatic_name_is_made_from_the_task(kernel: DataFlowKernel) -> None:
    every().result()

    future = every(stdout=AUTO_LOGNAME, stderr=AUTO_LOGNAME, label="two")

    folder = f"{kernel.run_dir}/task_logs/0000"
    assert future.stdout == f"{folder}/task_0001_every_two.stdout"
    assert future.stderr == f"{folder}/task_0001_every_two.stderr"
    assert future.result()["stdout"] == future.stdout


def test_the_kernel_names_the_file_of_a_record_in_the_same_way(kernel: DataFlowKernel) -> None:
    future = every(stdout=AUTO_LOGNAME, label="two")

    record = {"id": 0, "func_name": "every", "kwargs": {"label": "two"}}
    assert kernel.default_std_autopath(record, "stdout") == future.stdout
    record = {"id": 12345, "func_name": "f", "kwargs": {}}
    assert (
        kernel.default_std_autopath(record, "stderr")
        == f"{kernel.run_dir}/task_logs/0001/task_12345_f.stderr"
    )


def test_a_program_may_name_the_files_itself() -> None:
    seen: list[Mapping[str, object]] = []

    def name(record: Mapping[str, object], stream: str) -> str:
        seen.append(record)
        return f"{record['func_name']}-{record['id']}.{stream}"

    with fanflow.load(Config(executors=[ThreadPoolExecutor()], std_autopath=name)):
        future = every(stdout=AUTO_LOGNAME, stderr=AUTO_LOGNAME, extra=3)

    assert (future.stdout, future.stderr) == ("every-0.stdout", "every-0.stderr")
    assert [cast("Mapping[str, object]", record["kwargs"])["extra"] for record in seen] == [3, 3]


def test_calls_are_told_apart_by_their_numbers(kernel: DataFlowKernel) -> None:
    paths = [str(spoken(f"{number}").stdout) for number in range(3)]

    assert [Path(path).name for path in paths] == [f"task_{number:04}_spoken.stdout" for number in range(3)]


def test_a_default_in_the_signature_names_a_file_for_each_call(kernel: DataFlowKernel) -> None:
    first, second = spoken("one"), spoken("two")

    fanflow.gather(first, second).result()

    assert Path(str(first.stdout)).read_text() == "one\n"
    assert Path(str(second.stdout)).read_text() == "two\n"
    assert "task_0001_spoken.stderr" in str(second.stderr)


def test_a_number_that_only_looks_like_the_constant_is_no_automatic_name(kernel: DataFlowKernel) -> None:
    future = every(stdout=-1.0)

    assert future.stdout == -1.0


def test_files_of_many_tasks_are_spread_over_directories(kernel: DataFlowKernel) -> None:
    record = {"id": 1_234_567, "func_name": "f", "kwargs": {}}

    assert kernel.default_std_autopath(record, "stdout").endswith("/task_logs/0123/task_1234567_f.stdout")


def test_a_name_that_cannot_be_made_is_the_callers_error_and_costs_no_other_task() -> None:
    def broken(record: Mapping[str, object], stream: str) -> str:
        raise LookupError(f"no name for {stream}")

    with fanflow.load(Config(executors=[ThreadPoolExecutor()], std_autopath=broken)) as kernel:
        with pytest.raises(LookupError, match="no name for stdout"):
            every(stdout=AUTO_LOGNAME)

        assert every(a=1).result() == {"a": 1}
        kernel.wait_for_current_tasks()
