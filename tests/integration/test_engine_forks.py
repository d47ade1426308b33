"""A process forked from a client of the engine gets clear errors, and its parent does not notice."""

import os
import signal

import psutil

from tests.integration.scripts import Script, run
from tests.integration.test_printing import ROOT
from tests.leaks import wait_until

ENGINE = f"""
        sys.path.insert(0, {str(ROOT)!r})
        from tests.integration.engines import TwoWorkers
        fanflow.load(Config(executors=[TwoWorkers()]))

        @python_app
        def double(value):
            return 2 * value

        @python_app
        def wait_for(path):
            while not os.path.exists(path):
                time.sleep(0.01)
            return "waited"

        double(1).result()
        pending = wait_for(os.path.abspath("go"))
"""

FINISH = """
        open("go", "w").close()
        say(pending.result())
        say(sum(double(n).result() for n in range(100)))
        fanflow.dfk().cleanup()
"""


def test_a_forked_child_cannot_call_apps_and_its_parent_goes_on() -> None:
    ended = run(
        ENGINE
        + """
        child = os.fork()
        if child == 0:
            for ask in (lambda: double(1), lambda: pending.result()):
                try:
                    say(ask())
                except BaseException as error:
                    say(type(error).__name__)
            sys.exit(7)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
        + FINISH
    )

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "NoDataFlowKernelError\nNoDataFlowKernelError\n7\nwaited\n9900\n"


def test_a_pool_of_processes_beside_the_engine_works() -> None:
    ended = run(
        ENGINE
        + """
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            say(pool.map(abs, range(-3, 0)))
        """
        + FINISH
    )

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "[3, 2, 1]\nwaited\n9900\n"


def test_children_that_end_in_every_way_leave_the_engine_alone() -> None:
    ended = run(
        ENGINE
        + """
        ways = [lambda: os._exit(0), sys.exit, os.abort, lambda: fanflow.dfk().cleanup() or sys.exit()]
        for leave in ways:
            child = os.fork()
            if child == 0:
                leave()
            os.waitpid(child, 0)
        """
        + FINISH
    )

    assert (ended.status, "Traceback" in ended.err) == (0, False)
    assert ended.out == "waited\n9900\n"


def test_a_forked_child_may_load_an_engine_of_its_own() -> None:
    ended = run(
        ENGINE
        + """
        child = os.fork()
        if child == 0:
            with fanflow.load(Config(executors=[TwoWorkers()])):
                say(double(21).result())
            sys.exit(0)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
        + FINISH
    )

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "42\n0\nwaited\n9900\n"


def test_a_forked_child_does_not_keep_the_engine_of_a_killed_client() -> None:
    code = (
        ENGINE
        + """
        import psutil
        engine = [process.pid for process in psutil.Process().children(recursive=True)]
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        say("pids " + " ".join(map(str, [child, os.getpid(), *engine])) + " ready")
        time.sleep(60)
    """
    )
    with Script(code) as script:
        out = script.wait_for("ready")
        child, client, *engine = [int(word) for word in out.split("pids ")[1].split()[:-1]]

        os.kill(client, signal.SIGKILL)
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in engine), 10)
        left = [pid for pid in engine if psutil.pid_exists(pid)]
        os.kill(child, signal.SIGKILL)

    assert len(engine) >= 5
    assert not left
