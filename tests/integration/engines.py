"""A pilot engine for tests: local managers, two workers in all."""

from dataclasses import replace
from pathlib import Path

from fanflow import DataFlowKernel
from fanflow.ids import ExecutorLabel
from fanflow.pilot import manager
from fanflow.pilot.client import ManagerNews
from fanflow.pilot.running import Engine
from fanflow.pilot.transport import TcpSettings, TcpTransport
from fanflow.spi.executor import BuildContext, Executor


class PassiveSource:
    """Hears of everything, and does nothing about it."""

    def managers_changed(self, header: ManagerNews) -> None:
        pass

    def submitted(self) -> None:
        pass

    def describe(self) -> str:
        return "where no manager has come yet"

    def abandon(self) -> None:
        pass

    def end(self) -> None:
        pass

    def join(self, seconds: float) -> None:
        pass


class OneBlock(PassiveSource):
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
                max_message=engine.max_message,
            )
            encoded = manager.encode_config(config)
            engine.fork_server.start("fanflow.pilot.manager", encoded, lambda status: None)


class TwoWorkers:
    """Specification of an engine with local managers.

    Args:
        managers: How many.
        slots: Workers of each.
        max_message: Bytes of one call's arguments or of one result; None: the default.
        beats_ms: Period and threshold of heartbeats; None: the default.
    """

    label = "engine"

    def __init__(
        self,
        managers: int = 1,
        slots: int = 2,
        *,
        max_message: int | None = None,
        beats_ms: tuple[int, int] | None = None,
    ) -> None:
        self._managers, self._slots = managers, slots
        self._max_message, self._beats_ms = max_message, beats_ms

    def build(self, context: BuildContext) -> Executor:
        block = OneBlock(context.run_dir / "manager", self._managers, self._slots)
        engine = Engine(ExecutorLabel(self.label), "a-run", block)
        if self._max_message is not None:
            engine.max_message = self._max_message
        if self._beats_ms is not None:
            period, threshold = self._beats_ms
            engine.settings = replace(engine.settings, heartbeat_ms=period, threshold_ms=threshold)
        return engine


def engine_of(kernel: DataFlowKernel) -> Engine:
    """The engine that the kernel runs tasks on."""
    engine = kernel.kernel.executors[ExecutorLabel("engine")]
    assert isinstance(engine, Engine)
    return engine


class TwoWorkersOverTcp:
    """The same, with encrypted connections over the loopback interface."""

    label = "engine"

    def build(self, context: BuildContext) -> Executor:
        blocks = OneBlock(context.run_dir / "manager")
        settings = TcpSettings(key_directory=str(context.run_dir / "keys"), is_local=True)
        return Engine(ExecutorLabel(self.label), "a-run", blocks, TcpTransport(settings))
