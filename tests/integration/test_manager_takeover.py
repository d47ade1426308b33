"""A real manager whose interchange is replaced; the test plays both interchanges."""

from pathlib import Path

from fanflow.pilot import wire
from tests.integration.manager_stand import DEADLINE, manager
from tests.integration.manager_tasks import count_and_pause, double, nothing, pause
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


def test_a_manager_that_was_given_up_begins_anew_however_often_it_is_told(tmp_path: Path) -> None:
    with manager(tmp_path) as stand:
        stand.run(nothing)
        stand.registered = None

        for _ in range(5):  # one for each message that it sent before it read the first
            stand.say(wire.Refused("unknown manager: register first"))
        stand.connect()

        assert stand.run(double, 4) == 8
