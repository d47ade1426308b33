"""When what a task prints is sent to the client."""

import pytest

from fanflow.pilot.task_output import TaskOutput


class Terminal:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []

    def send(self, text: str, is_error: bool) -> None:
        self.lines.append((text, is_error))


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def output(terminal: Terminal) -> TaskOutput:
    return TaskOutput(terminal.send, "worker_0.log")


def test_a_first_line_is_sent_before_the_task_ends(output: TaskOutput, terminal: Terminal) -> None:
    output.take("step 1", is_error=False)
    output.take("\n", is_error=False)

    assert terminal.lines == [("step 1\n", False)]


def test_a_line_soon_after_another_is_sent_before_the_task_ends(
    output: TaskOutput, terminal: Terminal
) -> None:
    output.take("before\n", is_error=False)
    output.flush_task()

    output.take("step 1\n", is_error=True)

    assert terminal.lines == [("before\n", False), ("step 1\n", True)]


def test_a_line_that_is_not_whole_waits(output: TaskOutput, terminal: Terminal) -> None:
    output.take("50%", is_error=False)

    assert terminal.lines == []

    output.flush_task()
    assert terminal.lines == [("50%", False)]


def test_many_lines_are_sent_together(output: TaskOutput, terminal: Terminal) -> None:
    for number in range(1000):
        output.take(f"{number}\n", is_error=False)
    output.flush_task()

    assert "".join(text for text, _ in terminal.lines) == "".join(f"{number}\n" for number in range(1000))
    assert len(terminal.lines) < 100
