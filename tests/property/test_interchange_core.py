"""Whoever dies and in whatever order messages come, each task ends once, and nothing runs without need."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.interchange_stand import World

Events = list[tuple[str, int]]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Managers come and go thousands of times."""
    logger = logging.getLogger("fanflow.pilot")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)


class Script:
    """Things that may happen, each a method with an argument from 0 to 9."""

    def __init__(self, *, has_large_results: bool) -> None:
        self.world = World(has_large_results=has_large_results)

    def _manager(self, which: int):
        return self.world.managers[which % len(self.world.managers)]

    def submit(self, count: int) -> None:
        self.world.submit(count + 1)

    def from_client(self, most: int) -> None:
        self.world.from_client(most + 1)

    def from_manager(self, which: int) -> None:
        self.world.from_manager(self._manager(which), 1 + which // 3)

    def to_manager(self, which: int) -> None:
        self.world.to_manager(self._manager(which), 1 + which // 3)

    def receive(self, most: int) -> None:
        self.world.receive(most + 1)

    def flow(self, how: int) -> None:
        self.world.flow()

    def work(self, most: int) -> None:
        for manager in self.world.managers:
            if not manager.is_dead:
                manager.start()
                manager.finish(most % 3)

    def take_over(self, received: int) -> None:
        self.world.kill_interchange()
        self.world.replace_interchange(received)

    def start(self, which: int) -> None:
        manager = self._manager(which)
        if not manager.is_dead:
            manager.start()

    def finish(self, which: int) -> None:
        manager = self._manager(which)
        if not manager.is_dead:
            manager.finish(1 + which // 5)

    def kill_interchange(self, how: int) -> None:
        self.world.kill_interchange()

    def replace_interchange(self, received: int) -> None:
        self.world.replace_interchange(received)

    def reconnect(self, which: int) -> None:
        self.world.reconnect(self._manager(which))

    def wait_a_little(self, how: int) -> None:
        self.world.wait(0.001)

    def wait_long(self, how: int) -> None:
        self.world.wait((0.5, 3.1, 40.0)[how % 3])

    def kill_manager(self, which: int) -> None:
        self.world.kill_manager(self._manager(which))

    def add_manager(self, how: int) -> None:
        if len(self.world.managers) < 6:
            self.world.add_manager()

    def cancel(self, which: int) -> None:
        self.world.cancel(list(self.world.open)[which::7])

    def drain(self, which: int) -> None:
        manager = self._manager(which)
        if which > 6 and not manager.is_dead:
            manager.drain()


WORK = ("submit", "from_client", "from_manager", "to_manager", "receive", "start", "finish", "flow", "work")
TAKEOVER = ("kill_interchange", "replace_interchange", "take_over", "reconnect", "reconnect", "wait_a_little")
TROUBLE = ("kill_manager", "add_manager", "cancel", "drain", "wait_long")


def scripts(*names: str) -> st.SearchStrategy[Events]:
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 9)), min_size=10, max_size=120)


def play(events: Events, *, has_large_results: bool = False) -> World:
    script = Script(has_large_results=has_large_results)
    for name, argument in events:
        getattr(script, name)(argument)
    script.world.settle()
    return script.world


@settings(max_examples=600)
@given(scripts(*WORK, *WORK, *TAKEOVER, *TROUBLE))
def test_each_task_ends_exactly_once(events: Events) -> None:
    world = play(events, has_large_results=True)

    assert set(world.ends.values()) <= {1}


@settings(max_examples=600)
@given(scripts(*WORK, *WORK, *TAKEOVER))
def test_a_takeover_runs_nothing_again(events: Events) -> None:
    world = play(events)

    starts = [attempt for manager in world.managers for attempt in manager.started]
    assert set(world.ends.values()) <= {1}
    assert len(starts) == len(set(starts)) == len(world.ends)
