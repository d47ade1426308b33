"""What every test gets: a directory of its own, and proof that it left nothing behind."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import settings

from tests.leaks import Left, wait_until

SETTLE_SECONDS = 2.0

settings.register_profile("fanflow", derandomize=True, deadline=None, database=None)
settings.load_profile("fanflow")


# A shell ignores Ctrl-C for what it starts in the background, nohup the end of the terminal; all that the
# tests start would inherit it.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_collection_finish() -> None:
    """What is there now stays: the many full collections in tests need not walk over it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def zero_copy_is_warm() -> None:
    """The first message that zmq sends without copying starts a thread of zmq's own, for good."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind("inproc://warm")
        other.connect("inproc://warm")
        one.send(b"." * (1 << 17), copy=False)
        other.recv()


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, a process or a descriptor behind."""
    before = Left.now()

    yield

    wait_until(lambda: not Left.now().since(before), SETTLE_SECONDS)
    leaked = Left.now().since(before)
    if leaked:
        pytest.fail("this test left behind: " + "; ".join(leaked), pytrace=False)


@pytest.fixture(autouse=True)
def own_directory(
    leaves_nothing_behind: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Path:
    """Each test runs in a directory of its own, untouched by the settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    if request.node.get_closest_marker("live") is None:  # those find their servers in the environment
        for name in [name for name in os.environ if name.startswith("FANFLOW_")]:
            monkeypatch.delenv(name)
    return tmp_path
