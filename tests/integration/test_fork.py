"""A process forked after `load` gets clear errors, and its parent does not notice."""

from tests.integration.scripts import run

CHILD = """
        fanflow.load(config())
        done, pending_on = give("before"), threading.Event()
        done.result()

        @python_app
        def wait():
            pending_on.wait(20)
            return "parent"

        pending = wait()
        while not pending.running():
            time.sleep(0.001)

        def in_child(function):
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                try:
                    say(function())
                except BaseException as error:
                    say(f"{type(error).__name__}: {error}")
                os._exit(7)
            assert os.waitpid(child, 0)[1] == 7 << 8

        def finish():
            pending_on.set()
            say(pending.result())
            give("after").result()
"""


def test_a_call_in_a_forked_child_is_refused_by_name() -> None:
    ended = run(
        CHILD
        + """
        in_child(lambda: give(1))
        finish()
    """
    )

    assert (ended.status, ended.err) == (0, "")
    assert "NoDataFlowKernelError: the kernel of app 'give' belongs to the process that forked" in ended.out
    assert "cleaned up" not in ended.out
    assert ended.out.endswith("parent\nran after\n")


def test_a_forked_child_does_not_wait_for_ever() -> None:
    ended = run(
        CHILD
        + """
        in_child(lambda: pending.result())
        in_child(lambda: pending.exception(5))
        in_child(fanflow.wait_for_current_tasks)
        in_child(lambda: fanflow.dfk().cleanup())
        in_child(lambda: done.result())
        in_child(lambda: done["x":])
        finish()
    """
    )

    lines = ended.out.split("\n")
    assert (ended.status, ended.err) == (0, "")
    assert lines[1].startswith("NoDataFlowKernelError: task 1 belongs to the process")
    assert lines[2].startswith("NoDataFlowKernelError: task 1 belongs to the process")
    assert lines[3].startswith("NoDataFlowKernelError: there are no tasks to wait for")
    assert lines[4:6] == ["None", "before"]
    assert lines[-3:] == ["parent", "ran after", ""]


def test_a_forked_child_may_load_a_kernel_of_its_own() -> None:
    ended = run(
        CHILD
        + """
        def load_here():
            with fanflow.load(config()):
                return give("child").result()

        in_child(load_here)
        finish()
    """
    )

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "ran before\nran child\nchild\nparent\nran after\n"


def test_multiprocessing_after_load_leaves_the_parent_untouched() -> None:
    ended = run(
        CHILD
        + """
        import multiprocessing

        def child(queue):
            try:
                give(1)
            except Exception as error:
                queue.put(str(error))

        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        say(queue.get()[:60])
        process.join()
        finish()
    """
    )

    assert (ended.status, ended.err) == (0, "")
    assert "the kernel of app 'give' belongs to the process that for" in ended.out
    assert ended.out.endswith("parent\nran after\n")


def test_a_forked_child_that_ends_normally_does_not_disturb_its_parent() -> None:
    ended = run(
        CHILD
        + """
        child = os.fork()
        if child == 0:
            sys.exit(4)
        say(os.waitpid(child, 0)[1] >> 8)
        finish()
    """
    )

    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "ran before\n4\nparent\nran after\n"
