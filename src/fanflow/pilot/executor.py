"""`HighThroughputExecutor`: the public, settable half of the pilot engine."""

from __future__ import annotations

import inspect
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from fanflow.errors import ConfigurationError
from fanflow.pilot import options
from fanflow.pilot.building import build_engine
from fanflow.pilot.facade import PilotFacade
from fanflow.pilot.manager_selector import ManagerSelector, RandomManagerSelector
from fanflow.pilot.options import PERIOD, THRESHOLD, ErrorHandler
from fanflow.pilot.running import Engine
from fanflow.pilot.wire import MAX_PAYLOAD_BYTES
from fanflow.providers.adapted import provider_spec
from fanflow.providers.local import LocalProvider
from fanflow.run_dirs import make_run_dir
from fanflow.spi.executor import BuildContext
from fanflow.spi.provider import ProviderSpec

_OWNER = options.OWNER
_SELECTOR = RandomManagerSelector()

_OPTIONS = (
    "label", "launch_cmd", "interchange_launch_cmd", "address", "loopback_address", "worker_port",
    "worker_port_range", "interchange_port_range", "storage_access", "working_dir", "worker_debug",
    "cores_per_worker", "mem_per_worker", "max_workers_per_node", "cpu_affinity", "available_accelerators",
    "prefetch_capacity", "heartbeat_threshold", "heartbeat_period", "drain_period", "poll_period",
    "address_probe_timeout", "worker_logdir_root", "manager_selector", "block_error_handler", "encrypted",
    "remote_monitoring_radio", "max_message",
)  # fmt: skip


class HighThroughputExecutor(PilotFacade):
    """Runs apps in worker processes, on this machine or on the nodes of batch jobs.

    One interchange process queues tasks, one manager on each node runs workers, each worker runs one task
    at a time. Blocks (batch jobs) come from the provider and follow the load. Workers that die are
    replaced; what ran on them is reported with the cause.

    Options can be set as attributes until the configuration is loaded; one object can be loaded again.

    Args:
        label: Its name in a configuration.
        provider: Obtains blocks. None: `LocalProvider()`, this machine.
        launch_cmd: Command that starts the workers of a node; the word `process_worker_pool.py` in it
            becomes the right program. None: the program itself.
        interchange_launch_cmd: Has no effect: the interchange is forked.
        address: Address of this host, a number or a name, at which workers reach it. None: they try all.
        loopback_address: The same for workers on this host that need a port.
        worker_port: Port for workers, which then use it even on this host. None: one of
            `worker_port_range`, where no Unix socket will do.
        worker_port_range: First port that may be used, and the one after the last.
        interchange_port_range: Has no effect: no port is used.
        storage_access: Staging providers; kept for the staging layer.
        working_dir: Where staged files go; kept for the staging layer.
        worker_debug: Fills `{debug}` in a `launch_cmd`; the logs of managers are the same either way.
        cores_per_worker: Cores that each worker needs; below 1, workers share them.
        mem_per_worker: GB that each worker needs.
        max_workers_per_node: Most workers of a node. None: as many as fit.
        cpu_affinity: Cores that each worker keeps to: `none`, `block`, `block-reverse`, `alternating`, or
            `list:0-3:4-7`, one part for each worker.
        available_accelerators: Number of accelerators of a node, or their names; each worker gets one.
        prefetch_capacity: Tasks that a manager holds beyond its workers. 0: as many as short tasks need.
        heartbeat_threshold: Seconds of silence after which a manager counts as lost. Left alone: the
            run's default, 30 (120 for programs that import the alias), but at least two periods.
        heartbeat_period: Seconds between two signs of life. Left alone: 5 (30 through the alias), but half
            the threshold at most.
        drain_period: Seconds after which a manager takes no new tasks; it ends when it has none.
        poll_period: Has no effect: nothing is polled.
        address_probe_timeout: Seconds for a manager to find an address that answers. None: 30.
        worker_logdir_root: Directory for the logs of managers and workers. None: the run directory.
        manager_selector: Which managers get tasks first.
        block_error_handler: True: give up when every one of the first blocks has failed. False: never.
            A function of the executor and the statuses by block: as it says.
        encrypted: False is ignored: what leaves this host is always encrypted.
        remote_monitoring_radio: Kept for the monitoring layer.
        max_message: Bytes of the arguments of one call, or of one result; what is larger is an error.

    Raises:
        OptionTypeError: One option has a value of a wrong type.
        ConfigurationError: Something else is wrong; the message lists all of it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the signature of the public contract
        self,
        label: str = "HighThroughputExecutor",
        provider: object = None,
        launch_cmd: str | None = None,
        interchange_launch_cmd: Sequence[str] | None = None,
        address: str | None = None,
        loopback_address: str = "127.0.0.1",
        worker_port: int | None = None,
        worker_port_range: tuple[int, int] | None = (54000, 55000),
        interchange_port_range: tuple[int, int] | None = (55000, 56000),
        storage_access: Sequence[object] | None = None,
        working_dir: str | None = None,
        worker_debug: bool = False,
        cores_per_worker: float = 1.0,
        mem_per_worker: float | None = None,
        max_workers_per_node: int | None = None,
        cpu_affinity: str = "none",
        available_accelerators: int | Sequence[str] = (),
        prefetch_capacity: int = 0,
        heartbeat_threshold: float = THRESHOLD,
        heartbeat_period: float = PERIOD,
        drain_period: float | None = None,
        poll_period: int = 10,
        address_probe_timeout: float | None = None,
        worker_logdir_root: str | None = None,
        manager_selector: ManagerSelector = _SELECTOR,
        block_error_handler: bool | ErrorHandler = True,
        encrypted: bool = True,
        remote_monitoring_radio: object = None,
        *,
        max_message: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        given: dict[str, object] = dict(locals())
        self.label = label
        self.provider: ProviderSpec = LocalProvider() if provider is None else provider_spec(_OWNER, provider)
        self.__dict__.update({name: given[name] for name in _OPTIONS})
        self._check()

    def _options(self) -> dict[str, object]:
        values: dict[str, object] = self.__dict__
        return {name: values[name] for name in _OPTIONS}

    def _check(self) -> None:
        options.check(self._options())

    def build(self, context: BuildContext) -> Engine:
        """Make the running half.

        Raises:
            OptionTypeError: An option that was set since has a value of a wrong type.
            ConfigurationError: Something else is wrong; the message lists all of it.
        """
        self._check()
        if self._driver is not None:
            raise ConfigurationError(f"executor {self.label!r} runs by itself: shut it down before load()")
        for text in self._ineffective():
            warnings.warn(text, UserWarning, stacklevel=2)
        frozen = options.freeze(self._options(), context)
        self._engine, self._blocks = build_engine(frozen, self.provider, context, self)
        self.run_dir, self.run_id = self._used = str(context.run_dir), context.run_id
        return self._engine

    def _ineffective(self) -> list[str]:
        values = self._options()
        texts: list[str] = []
        if not values["encrypted"]:
            texts.append(
                f"{_OWNER}(encrypted=False) is ignored: what leaves this host is always encrypted; "
                f"remove the option"
            )
        if values["interchange_launch_cmd"] is not None:
            texts.append(f"{_OWNER}(interchange_launch_cmd=...) is ignored: the interchange is forked")
        return texts

    def _standalone_context(self) -> BuildContext:
        used_run_dir, used_run_id = self._used
        if self.run_dir in (PilotFacade.run_dir, used_run_dir):  # nobody has set another one
            run_dir = make_run_dir(Path("runinfo"), type(self).__name__)
        else:
            run_dir = Path(self.run_dir).absolute()
        run_id = self.run_id if self.run_id not in (None, used_run_id) else None
        return BuildContext(run_dir=run_dir, run_id=run_id or str(uuid.uuid4()))

    @property
    def logdir(self) -> str:
        """Directory of this executor in the run directory."""
        return str(Path(self.run_dir) / self.label)

    @property
    def worker_logdir(self) -> str:
        """Directory with the logs of managers and workers, one below it for each block."""
        root = cast("str | None", self._options()["worker_logdir_root"])
        return str(Path(root) / self.label) if root is not None else self.logdir

    def __repr__(self) -> str:
        shown = [f"label={self.label!r}", f"provider={self.provider!r}"]
        values = self._options()
        for name, parameter in inspect.signature(HighThroughputExecutor).parameters.items():
            if name in values and name != "label" and repr(values[name]) != repr(parameter.default):
                shown.append(f"{name}={values[name]!r}")
        return f"HighThroughputExecutor({', '.join(shown)})"
