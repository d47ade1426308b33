"""A pilot engine for tests: local managers, two workers in all."""

from pathlib import Path

import zmq

from fanflow.ids import ExecutorLabel
from fanflow.pilot import manager
from fanflow.pilot.client import ManagerNews
from fanflow.pilot.running import Engine
from fanflow.spi.executor import BuildContext, Executor


class OneBlock:
    """Starts managers once, and never again.

    Args:
        logs: Their directory.
        managers: How many.
        slots: Workers of each.
    """

    def __init__(self, logs: Path, managers: int = 1, slots: int = 2) -> None:
        self._logs, self._managers, self._slots = logs, managers, slots
        self.planned = managers * slots

    def begin(self, engine: Engine) -> None:
        for number in range(self._managers):
            config = manager.ManagerConfig(
                access=engine.admit(str(number)),
                block=str(number),
                slots=self._slots,
                log_directory=str(self._logs / str(number)),
            )
            encoded = manager.encode_config(config)
            engine.fork_server.start("fanflow.pilot.manager", encoded, lambda status: None)

    def managers_changed(self, header: ManagerNews) -> None:
        pass

    def end(self) -> None:
        pass


class TwoWorkers:
    """Specification of an engine with one local manager."""

    label = "engine"

    def build(self, context: BuildContext) -> Executor:
        return Engine(ExecutorLabel(self.label), "a-run", OneBlock(context.run_dir / "manager"))


def warm_zero_copy() -> None:
    """The first message that zmq sends without copying starts a thread of zmq's own, for good."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind("inproc://warm")
        other.connect("inproc://warm")
        one.send(b"." * (1 << 17), copy=False)
        other.recv()
