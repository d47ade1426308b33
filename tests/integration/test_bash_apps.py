import threading
from pathlib import Path

import pytest

import fanflow
from fanflow import (
    AUTO_LOGNAME,
    AppFuture,
    Config,
    DataFlowKernel,
    File,
    bash_app,
    python_app,
)
from fanflow.config.defaults import PARSL, select_defaults
from fanflow.errors import (
    AppTimeout,
    BadStdStreamFile,
    BashExitFailure,
    DependencyError,
    MissingInputsError,
    MissingOutputs,
)
from tests.leaks import held_processes, wait_until


@bash_app
def shell(command: str) -> str:
    return command


@bash_app
def program(*words: str) -> list[str]:
    return list(words)


@bash_app
def copied(inputs: list[File], outputs: list[File], stdout: str = AUTO_LOGNAME) -> str:  # type: ignore[assignment]
    return f"echo copying; cp {inputs[0]} {outputs[0]}"


def text(path: object) -> str:
    return Path(str(path)).read_text()


def test_the_result_of_a_command_is_its_exit_status(kernel: DataFlowKernel) -> None:
    assert shell("true").result() == 0
    assert program("true").result() == 0


def test_the_commands_arguments_may_be_futures(kernel: DataFlowKernel) -> None:
    @python_app
    def word() -> str:
        return "hello"

    program("sh", "-c", 'echo "$0" > said', word()).result()

    assert text("said") == "hello\n"


def test_streams_go_where_the_call_says(kernel: DataFlowKernel) -> None:
    future = shell("echo out; echo err >&2", stdout="o", stderr=("e", "w"))

    assert future.result() == 0
    assert text(future.stdout) == "out\n"
    assert text("e").splitlines()[-1] == "err"
    assert future.stderr == ("e", "w")


def test_automatic_names_are_below_the_run_directory(kernel: DataFlowKernel) -> None:
    future = shell("echo out; echo err >&2", stdout=AUTO_LOGNAME, stderr=AUTO_LOGNAME, label="first")

    assert future.result() == 0
    assert future.stdout == f"{kernel.run_dir}/task_logs/0000/task_0000_shell_first.stdout"
    assert text(future.stdout) == "out\n"
    assert text(future.stderr).endswith("err\n")


def test_the_future_of_a_stream_that_is_a_file_ends_with_the_task(kernel: DataFlowKernel) -> None:
    future = shell("echo out", stdout=File("out.txt"))

    assert isinstance(future.stdout, fanflow.DataFuture)
    assert text(future.stdout.result()) == "out\n"
    assert future.done()


def test_files_flow_from_command_to_command(kernel: DataFlowKernel) -> None:
    first = shell("echo text > a.txt", outputs=[File("a.txt")])
    second = copied(inputs=[first.outputs[0]], outputs=[File("b.txt")])
    third = copied(inputs=[second.outputs[0]], outputs=[File("c.txt")])

    assert text(third.outputs[0].result()) == "text\n"
    assert text(second.stdout) == "copying\n"
    assert str(second.stdout).endswith(f"task_{second.tid:04}_copied.stdout")


def test_a_failing_command_says_how_and_what_it_wrote(kernel: DataFlowKernel) -> None:
    future = shell("echo broken >&2; exit 3", stderr="e")

    with pytest.raises(BashExitFailure) as caught:
        future.result()
    assert str(caught.value) == "bash_app shell failed with unix exit code 3"
    assert (caught.value.app_name, caught.value.exitcode) == ("shell", 3)
    assert caught.value.stderr_tail == "broken"


def test_the_failure_of_a_command_reaches_who_waits_for_its_file(kernel: DataFlowKernel) -> None:
    first = shell("exit 3", outputs=[File("a.txt")])
    second = copied(inputs=[first.outputs[0]], outputs=[File("b.txt")])

    with pytest.raises(DependencyError) as caught:
        second.result()
    assert isinstance(caught.value.__cause__, BashExitFailure)


def test_an_output_that_did_not_come_is_named(kernel: DataFlowKernel) -> None:
    future = shell("true", outputs=[File("absent.txt")])

    with pytest.raises(MissingOutputs, match=r"absent\.txt.*Missing outputs from app shell"):
        future.result()
    assert isinstance(future.outputs[0].exception(), MissingOutputs)


def test_an_input_that_is_not_there_is_named(kernel: DataFlowKernel) -> None:
    with pytest.raises(MissingInputsError, match=r"'absent\.txt' of app 'shell'"):
        shell("true", inputs=[File("absent.txt")]).result()


@pytest.mark.parametrize("stdout", [("out.txt", "r"), (AUTO_LOGNAME, "w"), 7], ids=str)
def test_a_stream_that_cannot_be_is_named(kernel: DataFlowKernel, stdout: object) -> None:
    with pytest.raises(BadStdStreamFile):
        shell("true", stdout=stdout).result()


@pytest.mark.parametrize("returned", [None, 3, ["echo", 3], []], ids=repr)
def test_a_body_that_returns_no_command_is_told_what_to_return(
    kernel: DataFlowKernel, returned: object
) -> None:
    app = bash_app(lambda: returned)  # type: ignore[arg-type, return-value]  # that is the mistake

    with pytest.raises(ValueError, match="Expected a str for bash_app commandline, got"):
        app().result()


def test_the_body_has_the_special_keywords_that_it_names(kernel: DataFlowKernel) -> None:
    @bash_app
    def named(walltime: float, inputs: list[object], **more: object) -> str:
        return f"echo {walltime} {inputs} {sorted(more)}"

    named(walltime=9.5, inputs=[1], stdout="o", label="x").result()

    assert text("o") == "9.5 [1] [label, stdout]\n"


def test_a_command_ends_with_its_walltime(kernel: DataFlowKernel) -> None:
    future = shell("sleep 60 & sleep 60", walltime=0.2)

    with pytest.raises(AppTimeout, match=r"^App shell exceeded walltime: 0\.2 seconds$"):
        future.result(timeout=10)
    assert not held_processes()


def test_a_running_command_can_be_cancelled(kernel: DataFlowKernel) -> None:
    future = shell("touch started; sleep 60")
    wait_until(Path("started").exists, 10)

    assert future.cancel()

    assert future.cancelled()
    wait_until(lambda: not held_processes(), 10)
    assert not held_processes()
    assert shell("true").result() == 0


def test_many_commands_share_few_threads(kernel: DataFlowKernel) -> None:
    futures = [shell(f"echo {number} > {number}.txt") for number in range(20)]

    assert fanflow.gather(futures).result() == [0] * 20
    assert sorted(int(text(f"{number}.txt")) for number in range(20)) == list(range(20))
    assert threading.active_count() < 8


def test_an_error_in_the_body_of_existing_programs_is_in_the_future() -> None:
    before = select_defaults(PARSL)
    try:
        with fanflow.load(Config()):
            future: AppFuture[int] = shell("a", "b")

            with pytest.raises(TypeError, match=r"shell\(\) too many"):
                future.result()
    finally:
        select_defaults(before)
