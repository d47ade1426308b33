"""A pilot engine for tests: one local manager with two workers."""

import zmq

from fanflow.ids import ExecutorLabel
from fanflow.pilot import manager
from fanflow.pilot.running import Engine
from fanflow.spi.executor import BuildContext, Executor


class TwoWorkers:
    """Specification of an engine with one local manager."""

    label = "engine"

    def build(self, context: BuildContext) -> Executor:
        logs = str(context.run_dir / "manager")

        def start_manager(engine: Engine) -> None:
            config = manager.ManagerConfig(address=engine.manager_url, block="0", slots=2, log_directory=logs)
            engine.fork_server.start(
                "fanflow.pilot.manager", manager.encode_config(config), lambda status: None
            )

        return Engine(ExecutorLabel(self.label), "a-run", start_manager, planned=2)


def warm_zero_copy() -> None:
    """The first message that zmq sends without copying starts a thread of zmq's own, for good."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind("inproc://warm")
        other.connect("inproc://warm")
        one.send(b"." * (1 << 17), copy=False)
        other.recv()
