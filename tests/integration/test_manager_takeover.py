"""A real manager whose interchange is replaced; the test plays both interchanges."""

from pathlib import Path

from fanflow.pilot import wire
from tests.integration.manager_stand import DEADLINE, manager
from tests.integration.manager_tasks import count_and_pause, pause
from tests.leaks import wait_until


def test_outcomes_that_come_before_the_new_interchange_accepts_are_not_forgotten(tmp_path: Path) -> None:
    with manager(tmp_path, slots=2, prefetch=100) as stand:
        stand.results(stand.submit(pause, [(0.001,)] * 20))  # both workers are there
        started = tmp_path / "started"
        numbers = stand.submit(count_and_pause, [(str(started), 0.02)] * 60)
        wait_until(started.exists, DEADLINE)

        stand.replace()
        assert stand.router.poll(DEADLINE * 1000)
        identity, header = stand.router.recv_multipart()
        registered = wire.decode_from_manager(header)
        assert isinstance(registered, wire.Register)
        wait_until(lambda: started.stat().st_size == 60, DEADLINE)
        stand.identity = identity
        stand.say(wire.Accepted(500, 5000))

        assert set(numbers) & set(registered.holds)
        assert stand.results(numbers) == [None] * 60
