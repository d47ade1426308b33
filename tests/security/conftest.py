"""An engine behind encrypted TCP, one for the tests of each module."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import fanflow
from fanflow import Config
from fanflow.pilot.access import Access
from fanflow.pilot.running import Engine
from tests.integration.engines import TwoWorkersOverTcp, engine_of
from tests.leaks import descendants, wait_until
from tests.security.peers import access_of, uids

PROCESSES = 6
"""Fork server, interchange, manager, its zygote, two workers."""


@dataclass(frozen=True)
class Guarded:
    """An engine with two workers, and how its interchange is reached."""

    engine: Engine
    access: Access

    @property
    def url(self) -> str:
        return self.access.addresses[0]

    @property
    def interchange(self) -> int:
        """Its process: the fork server starts it first."""
        return min(self.engine.fork_server.pids.items())[1]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    run_dir = str(tmp_path_factory.mktemp("runs"))
    with fanflow.load(Config(executors=[TwoWorkersOverTcp()], run_dir=run_dir)) as kernel:
        engine = engine_of(kernel)
        guarded = Guarded(engine, access_of(engine, "spare"))
        wait_until(lambda: bool(uids(engine)) and len(descendants()) == PROCESSES, 20)
        yield guarded
