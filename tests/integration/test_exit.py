"""How scripts end: with what is open, with errors, and under Ctrl-C."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.scripts import Script, run
from tests.leaks import wait_until

NOISE = ("Traceback", "Exception ignored", "Error in atexit", "Fatal", "daemon threads")


def test_the_embedded_default_waits_for_its_tasks_and_says_nothing_when_they_are_quick() -> None:
    ended = run("""
        warm_up()
        for number in range(4):
            give(number)
    """)

    assert (ended.status, ended.err) == (0, "")
    assert sorted(ended.said) == ["ran 0", "ran 1", "ran 2", "ran 3"]


def test_the_embedded_default_says_after_a_second_what_it_waits_for() -> None:
    ended = run("""
        give(give(1, 1.3))
        give("quick")
    """)

    assert ended.status == 0
    assert ended.said == ["ran quick", "ran 1", "ran 1"]
    assert ended.err == ("fanflow: the script has ended; waiting for 2 tasks (Ctrl-C cancels them)\n")


def test_tasks_that_callbacks_and_joins_submit_are_waited_for_too() -> None:
    ended = run("""
        warm_up()

        @join_app
        def later():
            return give("joined", 0.05)

        def submit_next(future):
            if future.result() < 3:
                give(future.result() + 1).add_done_callback(submit_next)

        give(0).add_done_callback(submit_next)
        later()
    """)

    assert (ended.status, ended.err) == (0, "")
    assert sorted(ended.said) == ["ran 0", "ran 1", "ran 2", "ran 3", "ran joined"]


@pytest.mark.parametrize(
    ("mode", "ran"),
    [("wait", ["ran first", "ran queued"]), ("cleanup", ["ran first"]), ("skip", ["ran first"])],
)
def test_a_loaded_kernel_follows_its_exit_mode(mode: str, ran: list[str]) -> None:
    ended = run(f"""
        fanflow.load(Config(executors=[ThreadPoolExecutor(max_threads=1)], exit_mode={mode!r}))
        started = threading.Event()

        @python_app
        def first():
            started.set()
            time.sleep(0.3)
            say("ran first")

        first()
        started.wait()
        give("queued")
    """)

    dropped = "fanflow: the script has ended before its tasks; those are dropped"
    assert ended.status == 0
    assert ended.err == ("" if mode == "wait" else f"{dropped} (exit_mode={mode!r})\n")
    assert ended.out.split("\n")[:-1] == ran


def test_forgotten_kernels_end_with_the_script_too() -> None:
    ended = run("""
        fanflow.load(config(exit_mode="wait"))
        give(1, 0.2)
        fanflow.clear()
        other = fanflow.DataFlowKernel(config(exit_mode="wait"))
        python_app(give.func, data_flow_kernel=other)(2, 0.2)
        del other
    """)

    assert (ended.status, ended.err) == (0, "")
    assert sorted(ended.out.split()) == ["1", "2", "ran", "ran"]


def test_an_exception_in_the_script_is_shown_and_not_waited_with() -> None:
    ended = run("""
        give(give("never", 0.1), 100)
        give("started", 0.5)
        raise ValueError("of the script")
    """)

    assert ended.status == 1
    assert ended.err.count("Traceback") == 1
    assert ended.err.endswith("ValueError: of the script\n")
    assert ended.seconds < 8


@pytest.mark.parametrize(("leave", "status"), [("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('no')", 1)])
def test_sys_exit_keeps_its_status_and_waits_as_an_end_does(leave: str, status: int) -> None:
    ended = run(f"""
        warm_up()
        give("late", 0.2)
        {leave}
    """)

    assert ended.status == status
    assert ended.said == ["ran late"]
    assert ended.err == ("no\n" if "no" in leave else "")


def test_a_failed_task_nobody_asked_for_does_not_change_the_status() -> None:
    ended = run("""
        @python_app
        def fail():
            raise ValueError("nobody asks")

        fail()
    """)

    assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize("load", ["", "fanflow.load(config())"], ids=["embedded", "threads"])
def test_ctrl_c_while_a_result_is_waited_for_cancels_and_ends(load: str) -> None:
    with Script(f"""
        {load}

        @python_app
        def block():
            say("blocks")
            mark("started")
            time.sleep(0.5)

        after = give(block())
        wait_for_mark("started")
        say_when_main_waits()
        after.result()
    """) as script:
        script.wait_for("main waits")
        script.press_ctrl_c()
        ended = script.end()

    assert ended.status == -signal.SIGINT
    assert ended.err.count("Traceback") == 1
    assert ended.err.endswith("KeyboardInterrupt\n")
    assert ended.said == ["blocks", "main waits"]
    assert ended.seconds < 8


def test_ctrl_c_kills_what_does_not_end_in_a_worker_and_leaves_no_process() -> None:
    with Script("""
        @python_app
        def for_ever():
            open("pid", "w").write(str(os.getpid()))
            mark("started")
            while True:
                try:
                    time.sleep(0.01)
                except BaseException:
                    pass

        task = for_ever()
        wait_for_mark("started")
        say_when_main_waits()
        task.result()
    """) as script:
        script.wait_for("main waits")
        began = time.monotonic()
        script.press_ctrl_c()
        ended = script.end()

    assert ended.status == -signal.SIGINT
    assert time.monotonic() - began < 5
    assert ended.err.count("Traceback") == 1
    wait_until(lambda: not psutil.pid_exists(int(Path("pid").read_text(encoding="ascii"))), 5)


def test_ctrl_c_in_a_with_block_cancels_what_has_not_started() -> None:
    with Script("""
        @python_app
        def block():
            say("blocks")
            time.sleep(0.5)

        try:
            with fanflow.load(config(exit_mode="wait")):
                task = [block() for _ in range(2)]
                after = [give(number) for number in range(5)]
                say_when_main_waits()
                task[0].result()
        except KeyboardInterrupt:
            say(f"cancelled {sum(future.cancelled() for future in after)}")
    """) as script:
        script.wait_for("main waits")
        script.interrupt()
        ended = script.end()

    assert (ended.status, ended.err) == (0, "")
    assert ended.out.replace("blocks\n", "") == "main waits\ncancelled 5\n"


def test_a_thread_that_never_ends_is_named_and_a_second_ctrl_c_leaves_at_once() -> None:
    with Script("""
        fanflow.load(config())

        @python_app
        def for_ever():
            say("started")
            while True:
                time.sleep(0.01)

        task = for_ever()
        say_when_main_waits()
        task.result()
    """) as script:
        script.wait_for("main waits")
        script.interrupt()
        script.wait_for("tasks still run and get ten seconds to end: for_ever", in_errors=True)
        script.interrupt()
        ended = script.end()

    assert ended.status == -signal.SIGINT
    assert ended.seconds < 8
    assert not any(noise in ended.err for noise in NOISE)


def test_ctrl_c_while_the_end_of_the_script_waits_cancels_and_a_second_one_leaves() -> None:
    with Script("""
        fanflow.load(config(exit_mode="wait"))

        @python_app
        def for_ever():
            say("started")
            while True:
                time.sleep(0.01)

        for_ever()
        give(for_ever())
    """) as script:
        script.wait_for("started")
        script.wait_for("waiting for 3 tasks", in_errors=True)
        script.interrupt()
        script.wait_for("cancelling; Ctrl-C again leaves at once", in_errors=True)
        script.interrupt()
        ended = script.end()

    assert not any(noise in ended.err for noise in NOISE), ended.err
    assert ended.status == -signal.SIGINT
    assert ended.seconds < 10


def test_ctrl_c_while_the_embedded_default_waits_at_the_end_kills_what_runs() -> None:
    with Script("""
        @python_app
        def for_ever():
            while True:
                time.sleep(0.01)

        give(for_ever())
    """) as script:
        script.wait_for("waiting for 2 tasks", in_errors=True)
        began = time.monotonic()
        script.press_ctrl_c()
        ended = script.end()

    assert (ended.status, ended.err) == (-signal.SIGINT, "fanflow: cancelling; Ctrl-C again leaves at once\n")
    assert time.monotonic() - began < 5


def test_a_pool_of_processes_ends_with_the_script() -> None:
    ended = run("""
        import math
        from concurrent.futures import ProcessPoolExecutor
        from fanflow import ExecutorAdapter

        if __name__ == "__main__":
            pool = ExecutorAdapter(lambda: ProcessPoolExecutor(2), label="processes")
            fanflow.load(Config(executors=[pool], exit_mode="wait"))
            root = python_app(math.sqrt)
            root(4).add_done_callback(lambda future: say(future.result()))
            fanflow.gather(root(9), root(16)).result()
    """)

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "2.0\n"


def test_a_script_that_cleans_up_itself_ends_quietly() -> None:
    ended = run("""
        with fanflow.load(config()):
            give(1).result()
        kernel = fanflow.load(config())
        give(2).result()
        kernel.cleanup()
        kernel.cleanup()
    """)

    assert (ended.status, ended.err, ended.out) == (0, "", "ran 1\nran 2\n")
