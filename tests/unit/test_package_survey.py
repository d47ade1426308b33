"""What the interchange says of its managers, asked in the middle of their lives."""

from collections.abc import Sequence

from fanflow.pilot import wire
from fanflow.pilot.interchange_core import InterchangeCore
from fanflow.pilot.registration import InterchangeSettings

SETTINGS = InterchangeSettings(run_id="run", python="3.11", fanflow="1")


class Stand:
    """An interchange with managers `a`, `b`, ..."""

    def __init__(self, names: str = "ab") -> None:
        self.core = InterchangeCore(SETTINGS)
        for name in names:
            self.register(name)
        self.core.take_outbox()

    def register(self, name: str, trouble: str = "") -> None:
        node = wire.NodeDescription(python="3.11.9", os="Linux", drains=9.0, plan="2 workers, 0 cores idle")
        header = wire.Register(
            wire.VERSION, name, "7", f"host-{name}", 1, "3.11", "1", "3", 2, trouble=trouble, node=node
        )
        self.core.from_manager(name.encode(), [wire.encode(header)], 1.0)

    def says(self, name: str, header: wire.Message, now: float = 1.0) -> None:
        self.core.from_manager(name.encode(), [wire.encode(header), b""], now)

    def ask(self, number: int, what: str, now: float = 0.0) -> None:
        self.core.from_client([wire.encode(wire.Ask(number, what))], now)

    def give(self, *attempts: int) -> None:
        self.core.from_client([wire.encode(wire.Function(0, b"")), b"f"])
        items = [wire.TaskItem(attempt, 0, 0) for attempt in attempts]
        self.core.from_client([wire.encode(wire.Tasks(items)), b""])
        self.core.take_outbox()

    def messages(self) -> tuple[list[object], list[tuple[str, object]]]:
        """Those for the client, and those for managers by name."""
        outbox = self.core.take_outbox()
        return (
            [wire.decode_to_client(frames[0]) for frames in outbox.to_client],
            [(name.decode(), wire.decode_to_manager(frames[0])) for name, frames in outbox.to_manager],
        )

    def facts(self, now: float) -> Sequence[dict[str, object]]:
        self.ask(1, "managers", now)
        (answer,), _ = self.messages()
        assert isinstance(answer, wire.Answer)
        return answer.facts


def test_packages_are_asked_for_once_and_answered_when_all_have_said() -> None:
    stand = Stand()

    stand.ask(4, "packages")
    assert stand.messages() == ([], [("a", wire.Ask(4, "packages")), ("b", wire.Ask(4, "packages"))])
    stand.ask(5, "packages")
    assert stand.messages() == ([], [])
    stand.says("a", wire.Answer(4, [{"numpy": "2"}]))
    assert stand.messages() == ([], [])
    stand.says("b", wire.Answer(4, [{"numpy": "1"}]))

    facts = [
        {"manager": "a", "hostname": "host-a", "packages": {"numpy": "2"}},
        {"manager": "b", "hostname": "host-b", "packages": {"numpy": "1"}},
    ]
    assert stand.messages()[0] == [wire.Answer(4, facts), wire.Answer(5, facts)]
    stand.ask(6, "packages")
    assert stand.messages() == ([wire.Answer(6, facts)], [])


def test_a_manager_that_is_lost_holds_up_no_answer() -> None:
    stand = Stand()
    stand.ask(4, "packages")
    stand.says("a", wire.Answer(4, [{"numpy": "2"}]))

    stand.core.connection_ended(b"b")

    answers = [message for message in stand.messages()[0] if isinstance(message, wire.Answer)]
    (answer,) = answers
    assert [facts["manager"] for facts in answer.facts] == ["a"]


def test_without_managers_the_answer_comes_at_once() -> None:
    stand = Stand("")

    stand.ask(1, "packages")

    assert stand.messages() == ([wire.Answer(1, [])], [])


def test_a_manager_is_idle_since_its_last_attempt_ended() -> None:
    stand = Stand("a")
    before = stand.facts(5.0)[0]
    stand.give(1, 2)
    busy = stand.facts(6.0)[0]
    stand.says("a", wire.Results([wire.ResultItem(1, 0), wire.ResultItem(2, 0)]), now=7.0)
    stand.messages()
    after = stand.facts(9.5)[0]

    assert (before["idle_duration"], before["tasks"]) == (4.0, 0)
    assert (busy["idle_duration"], busy["tasks"]) == (0.0, 2)
    assert (after["idle_duration"], after["tasks"], after["tasks_done"]) == (2.5, 0, 2)


def test_facts_have_the_names_that_programs_know() -> None:
    facts = Stand("a").facts(1.0)[0]

    assert facts["manager"] == "a"
    assert facts["block_id"] == "7"
    assert facts["worker_count"] == 2
    assert facts["active"] is True
    assert facts["draining"] is False
    assert facts["python_version"] == "3.11.9"
    assert facts["parsl_version"] == facts["fanflow_version"] == "1"
    assert facts["drain_time"] == 9.0
    assert facts["plan"] == "2 workers, 0 cores idle"


def test_a_manager_that_drains_says_so() -> None:
    stand = Stand("a")

    stand.says("a", wire.Drain())

    facts = stand.facts(1.0)[0]
    assert (facts["active"], facts["draining"]) == (False, True)


def test_what_was_on_the_way_to_a_manager_that_left_runs_elsewhere_without_blame() -> None:
    stand = Stand("a")
    stand.give(1)

    stand.says("a", wire.Leave("its time is over"))

    results, left = stand.messages()[0]
    assert isinstance(results, wire.Results)
    assert results.items[0].lost is not None
    assert (results.items[0].lost.cause, results.items[0].lost.blames_task) == ("drained", False)
    assert left == wire.ManagerLeft("a", "7", "host-a", "its time is over")


def test_a_manager_in_trouble_is_refused_with_its_own_words() -> None:
    stand = Stand("")

    stand.register("a", trouble="no worker has room")

    told, sent = stand.messages()
    assert told == [wire.ManagerRefused("a", "7", "host-a", "no worker has room")]
    assert sent == [("a", wire.Refused("no worker has room"))]
