"""Puts an engine together from an executor's options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from fanflow.codec.pickling import dumps
from fanflow.errors import ConfigurationError
from fanflow.ids import ExecutorLabel
from fanflow.launchers.simple import SimpleLauncher
from fanflow.launchers.single_node import SingleNodeLauncher
from fanflow.pilot.addresses import own_addresses
from fanflow.pilot.block_errors import Executor as PublicExecutor
from fanflow.pilot.block_errors import handler_for
from fanflow.pilot.block_jobs import BlockJobs, ForkedJobs, ProviderJobs
from fanflow.pilot.block_source import BlockSource
from fanflow.pilot.blocks import Blocks
from fanflow.pilot.launch_command import launch_command
from fanflow.pilot.manager_selector import ManagerSelector, RandomManagerSelector
from fanflow.pilot.node_facts import look_at_node
from fanflow.pilot.options import PilotOptions
from fanflow.pilot.running import Engine
from fanflow.pilot.transport import TcpSettings, TcpTransport, Transport, UnixTransport
from fanflow.pilot.worker_plan import NodeFacts, NodePlan, NoRoomError, plan_workers
from fanflow.providers.local import LocalProvider
from fanflow.spi.executor import BuildContext
from fanflow.spi.provider import ProviderSpec


@dataclass(frozen=True, slots=True)
class ScriptContext:
    """What a provider is built with."""

    script_dir: Path
    """Directory for job scripts and their output, absolute."""


def build_engine(
    options: PilotOptions, provider: ProviderSpec, context: BuildContext, executor: PublicExecutor
) -> tuple[Engine, Blocks]:
    """The running half of an executor, and the part of it that has the blocks.

    Args:
        options: Frozen.
        provider: Obtains blocks.
        context: Of the run.
        executor: The public half, which error handlers are given.

    Raises:
        ConfigurationError: The options do not fit this machine, or the provider's are wrong.
    """
    if not sys.platform.startswith("linux"):
        raise ConfigurationError(
            f"HighThroughputExecutor(label={options.label!r}) needs Linux, and this is {sys.platform}; "
            f"use ThreadPoolExecutor, or ExecutorAdapter with a process pool"
        )
    launch_command(options, Path("manager.json"), "0", 1, options.log_root)  # a mistake shows at once
    scripts = ScriptContext(context.run_dir / "submit_scripts")
    selector = b"" if type(options.selector) is RandomManagerSelector else _pickled(options.selector)
    copies = forked_copies(options, provider)
    source = BlockSource(
        options=options,
        provider=provider,
        context=context,
        plan=expected_plan(options, provider),
        copies=copies,
        jobs=_jobs_of(provider, scripts, forks=copies > 0),
        on_trouble=handler_for(executor, options.error_handler),
        directory=os.getcwd(),
        path=tuple(sys.path),
        argv=tuple(sys.argv),
    )
    blocks = Blocks(source)
    engine = Engine(
        ExecutorLabel(options.label), context.run_id, blocks, transport_for(options, provider, context)
    )
    engine.max_message = options.max_message
    engine.settings = replace(
        engine.settings,
        heartbeat_ms=_milliseconds(options.heartbeat_period),
        threshold_ms=_milliseconds(options.heartbeat_threshold),
    )
    engine.selector = selector
    return engine, blocks


def _pickled(selector: ManagerSelector) -> bytes:
    try:
        return dumps(selector)
    except Exception as error:
        raise ConfigurationError(
            f"HighThroughputExecutor(manager_selector={selector!r}) cannot be sent to the interchange, "
            f"where it runs: {type(error).__name__}: {error}"
        ) from error


def _milliseconds(period: timedelta) -> int:
    return max(1, round(period.total_seconds() * 1000))


def _jobs_of(
    provider: ProviderSpec, scripts: ScriptContext, *, forks: bool
) -> Callable[[Engine, Blocks], BlockJobs]:
    if forks:
        return lambda engine, blocks: ForkedJobs(engine.fork_server, scripts.script_dir, blocks.look)
    running = provider.build(scripts)
    return lambda engine, blocks: ProviderJobs(running, blocks.chores)


def transport_for(options: PilotOptions, provider: ProviderSpec, context: BuildContext) -> Transport:
    """A Unix socket where nothing can leave this host, else encrypted TCP.

    Raises:
        ConfigurationError: The address is wrong; opened later, it may also find the port taken.
    """
    launcher = type(provider.launcher) if isinstance(provider, LocalProvider) else None
    stays = launcher in (SimpleLauncher, SingleNodeLauncher)  # others may lead to other nodes of our job
    if stays and options.worker_port is None and options.launch_cmd is None:
        return UnixTransport(options.probe_timeout.total_seconds())
    settings = TcpSettings(
        key_directory=str(context.run_dir / options.label / "keys"),
        is_local=stays or (launcher is not None and not own_addresses()),
        address=options.address,
        loopback_address=options.loopback_address,
        worker_port=options.worker_port,
        worker_port_range=options.worker_port_range,
        probe_timeout_s=options.probe_timeout.total_seconds(),
    )
    return TcpTransport(settings)


def forked_copies(options: PilotOptions, provider: ProviderSpec) -> int:
    """Managers of a block that can be forked on this host, with the same result as by a script; else 0."""
    if type(provider) is not LocalProvider or options.launch_cmd is not None or provider.worker_init.strip():
        return 0
    if type(provider.launcher) is SimpleLauncher:
        return 1
    return provider.nodes_per_block if type(provider.launcher) is SingleNodeLauncher else 0


def expected_plan(options: PilotOptions, provider: ProviderSpec) -> NodePlan | None:
    """The workers that each node will have; None where only the node can tell.

    Raises:
        ConfigurationError: Not one worker has room.
    """
    if isinstance(provider, LocalProvider):
        facts = look_at_node()
    elif provider.cores_per_node is not None:
        facts = NodeFacts(cores=float(provider.cores_per_node), memory_gb=provider.mem_per_node)
    elif options.workers.max_workers_per_node is not None:
        most = options.workers.max_workers_per_node * options.workers.cores_per_worker
        facts = NodeFacts(cores=max(1.0, most), memory_gb=provider.mem_per_node)
    else:
        return None
    try:
        return plan_workers(options.workers, facts)
    except NoRoomError as error:
        raise ConfigurationError(f"HighThroughputExecutor(label={options.label!r}): {error}") from error
