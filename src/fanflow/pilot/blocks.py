"""The blocks of one executor: obtained, watched, scaled and given back. Kernel thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from fanflow.errors import ConfigurationError
from fanflow.ids import JobId
from fanflow.model.jobs import JobStatus
from fanflow.pilot import wire
from fanflow.pilot.block_core import Block, BlockCore
from fanflow.pilot.block_source import BlockSource
from fanflow.pilot.chores import Chores
from fanflow.pilot.client import Facts, ManagerNews
from fanflow.pilot.running import Engine
from fanflow.pilot.scaling import POLICIES, longest_idle
from fanflow.pilot.whereabouts import tell_of_blocks
from fanflow.spi.scaling import BlockLoad, ScalingView

_log = logging.getLogger("fanflow")

_SOON_S: Final = 0.5
"""Until a job is looked at whose managers are gone: it takes a moment to end."""

_MOST_TOLD: Final = 3
"""Of the latest blocks, where somebody wonders why no worker is there."""


class Blocks:
    """An executor's blocks.

    Args:
        source: Where they come from.
    """

    def __init__(self, source: BlockSource) -> None:
        self._source = source
        self._core = BlockCore(source.provider.max_blocks)
        self._policy = POLICIES[source.context.strategy]
        self.waits_for_orders = False
        """Nothing is obtained before somebody asks for it or submits something."""
        self.connected: list[str] = []
        """Blocks of which a manager has ever connected, in that order."""
        self._idle_since = 0.0
        """When there were no open attempts any more; monotonic seconds."""
        self._is_asking = False
        """The interchange has been asked how busy its managers are."""
        self._has_begun = self._has_ended = False
        self._is_looking = self._looks_soon = False
        self._told_pause = 0.0
        self._told_status = ""

    @property
    def initial(self) -> int:
        """Blocks to obtain first."""
        return min(self._source.provider.init_blocks, self._source.provider.max_blocks)

    @property
    def workers_per_node(self) -> int:
        """Workers that a node is expected to have."""
        return self._source.workers_per_node

    @property
    def planned(self) -> int:
        """Workers that there will be soon."""
        return self._source.slots_per_block * len(self._core.active())

    def sentence(self) -> str:
        """The plan, in words."""
        return self._source.sentence()

    def describe(self) -> str:
        """Why no worker is connected, in words. Any thread."""
        return tell_of_blocks(list(self._core.blocks.values())[-_MOST_TOLD:], self._loop.now())

    def statuses(self) -> dict[str, JobStatus]:
        """What is known of every block, ended ones included. Any thread."""
        return self._core.statuses()

    def jobs(self) -> dict[str, str]:
        """The jobs of blocks, by name. Any thread."""
        blocks = list(self._core.blocks.values())
        return {block.name: block.job for block in blocks if block.job is not None}

    # -- life -------------------------------------------------------------------------------------

    def begin(self, engine: Engine) -> None:
        self._engine, self._loop = engine, engine.loop
        self.chores = Chores(engine.mailbox.post, f"fanflow-blocks-{engine.label}")
        self._jobs = self._source.jobs(engine, self)
        self._has_begun = True
        self._idle_since = self._loop.now()
        engine.gives_up = False
        if not self.waits_for_orders:
            self.scale_out(self.initial)
        self._scale_later()
        self._look_later()

    def abandon(self) -> None:
        self._core.abandon(self._loop.now())
        self._perform()

    def end(self) -> None:
        if self._has_begun and not self._has_ended:
            self._has_ended = True
            jobs = self._core.jobs()
            self._jobs.close(jobs)
            self.chores.close()

    def join(self, seconds: float) -> None:
        """Wait until the provider has cancelled all jobs. Not the kernel thread."""
        if self._has_begun and not self.chores.join(seconds):
            _log.error(
                "executor %r: provider %s still has not cancelled its jobs after %.0f s; look for them there",
                self._engine.label,
                self._source.provider.label,
                seconds,
            )

    def managers_changed(self, header: ManagerNews) -> None:
        if isinstance(header, wire.ManagerJoined):
            if header.block not in self.connected:
                self.connected.append(header.block)
            self._core.manager_joined(header.block, header.uid, self._loop.now())
        else:
            if isinstance(header, wire.ManagerRefused) or header.is_failure:
                self._core.manager_failed(header.block, header.uid, f"manager {header.uid}: {header.reason}")
            self._core.manager_left(header.block, header.uid, self._loop.now())
            if self._core.is_deserted(header.block):
                self._look_soon()
        self._perform()

    def submitted(self) -> None:
        """Attempts have come: without any block, the first one is asked for at once."""
        if not self._core.active() and not self._has_ended:
            if self.waits_for_orders and not self._core.blocks:
                self.scale_out(max(1, self.initial))
            else:
                self._scale()

    # -- scaling ----------------------------------------------------------------------------------

    def scale_out(self, count: int) -> list[str]:
        """Ask for so many more blocks; returns their names."""
        names = self._core.request(count, self._loop.now())
        self._perform()
        return names

    def scale_in(self, count: int, idle_s: float | None, on_chosen: Callable[[list[str]], None]) -> None:
        """Give blocks back, those idle longest first.

        Args:
            count: How many at most.
            idle_s: Only those that are empty and have been idle for longer.
            on_chosen: Takes their names.
        """

        def choose(facts: Facts) -> None:
            chosen = longest_idle(self._view(facts), count, idle_s)
            self._core.drain(chosen, self._loop.now())
            self._perform()
            on_chosen(list(chosen))

        self._engine.question("managers", choose)

    def _scale_later(self) -> None:
        period = self._source.context.strategy_period.total_seconds()
        self._loop.call_at(self._loop.now() + period, self._scale_regularly)

    def _scale_regularly(self) -> None:
        if not self._has_ended:
            self._scale()
            self._scale_later()

    def _scale(self) -> None:
        """Let the policy decide; it needs to know how busy managers are only to give blocks back."""
        now = self._loop.now()
        if self._engine.core.open:
            self._idle_since = now
        if not self._engine.is_usable:
            return
        active = len(self._core.active())
        may_shrink = active > self._source.provider.min_blocks
        if may_shrink and len(self._engine.core.open) < active * self._source.slots_per_block:
            if not self._is_asking:
                self._is_asking = True
                self._engine.question("managers", self._decide)
        else:
            self._decide([])

    def _decide(self, facts: Facts) -> None:
        self._is_asking = False
        if self._has_ended or not self._engine.is_usable:
            return
        decision = self._policy(self._view(facts))
        now = self._loop.now()
        if decision.start:
            self._core.request(decision.start, now, by_policy=True)
        if decision.end:
            self._core.drain(decision.end, now)
        self._perform()

    def _view(self, facts: Facts) -> ScalingView:
        provider, now = self._source.provider, self._loop.now()
        tasks: dict[str, int] = {}
        idle: dict[str, float] = {}
        for one in facts:
            name = str(one["block_id"])
            tasks[name] = tasks.get(name, 0) + cast("int", one["tasks"])
            idle[name] = min(idle.get(name, float("inf")), cast("float", one["idle_duration"]))
        return ScalingView(
            tasks=len(self._engine.core.open),
            idle_s=0.0 if self._engine.core.open else now - self._idle_since,
            blocks=[
                BlockLoad(name=block.name, tasks=tasks.get(block.name, 0), idle_s=idle.get(block.name))
                for block in self._core.active()
            ],
            slots_per_block=self._source.slots_per_block,
            minimum=provider.min_blocks,
            maximum=provider.max_blocks,
            parallelism=provider.parallelism,
            max_idletime_s=self._source.context.max_idletime.total_seconds(),
        )

    # -- looking ----------------------------------------------------------------------------------

    def _look_later(self) -> None:
        self._loop.call_at(self._loop.now() + self._jobs.polling_interval, self._look_regularly)

    def _look_regularly(self) -> None:
        if not self._has_ended:
            self.look()
            self._look_later()

    def _look_soon(self) -> None:
        """Once for all that happens at about the same time."""
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.call_at(self._loop.now() + _SOON_S, self.look)

    def look(self) -> None:
        """Ask for the status of all jobs."""
        self._looks_soon = False
        jobs = self._core.jobs()
        if jobs and not self._has_ended and not self._is_looking:  # a slow provider is not asked twice
            self._is_looking = True
            self._jobs.poll(jobs, lambda found: self._looked(jobs, found))

    def _looked(self, jobs: Sequence[JobId], found: Mapping[JobId, JobStatus] | Exception) -> None:
        self._is_looking = False
        if isinstance(found, Exception):
            if str(found) != self._told_status:  # once, and not every few seconds
                self._told_status = str(found)
                _log.warning("executor %r: how its blocks are is not known: %s", self._engine.label, found)
            return
        self._told_status = ""
        self._core.looked(jobs, found, self._loop.now())
        self._perform()

    # -- orders -----------------------------------------------------------------------------------

    def _perform(self) -> None:
        """Do what the rules want, until they want nothing more."""
        if self._has_ended:
            return
        while True:
            orders = self._core.take_orders()
            for block in orders.ended:
                self._ended(block)
            if orders.drain:
                self._drain(orders.drain)
            if orders.cancel:
                self._jobs.cancel(orders.cancel)
            for name in orders.submit:
                self._submit(name)
            if not orders.submit:
                break
        self._tell_pause()

    def _drain(self, names: Sequence[str]) -> None:
        def on_answer(facts: Facts) -> None:
            self._core.held(names)
            self._perform()

        self._engine.drain(names)
        self._engine.question("managers", on_answer)  # whose answer shows that the order was followed

    def _tell_pause(self) -> None:
        if self._core.paused_until > self._told_pause:
            self._told_pause = self._core.paused_until
            _log.warning(
                "executor %r asks for no blocks for %.0f s: the last ones failed; status() says how",
                self._engine.label,
                self._told_pause - self._loop.now(),
            )

    def _ended(self, block: Block) -> None:
        self._engine.revoke(block.name)
        status = block.status
        _log.info(
            "block %s of executor %r is %s: %s",
            block.name,
            self._engine.label,
            block.state.value,
            status.message or status.status_name,
        )
        statuses = self.statuses()
        has_worked = any(one.worked for one in self._core.blocks.values())
        self.chores.do(lambda: self._source.on_trouble(statuses, has_worked), self._on_handled)

    def _on_handled(self, answer: Exception | None) -> None:
        if answer is not None:
            _log.error("the block error handler of executor %r failed: %s", self._engine.label, answer)
        if not self._has_ended:
            self._scale()  # a block that ended may have to be replaced

    def _submit(self, name: str) -> None:
        try:
            request, configs = self._source.request(name, self._engine.admit(name))
        except (OSError, ConfigurationError) as error:  # a full disk, for example
            self._on_submitted(name, error)
        else:
            self._jobs.submit(request, configs, lambda answer: self._on_submitted(name, answer))

    def _on_submitted(self, name: str, answer: JobId | Exception) -> None:
        now = self._loop.now()
        if isinstance(answer, Exception):
            _log.error("block %s of executor %r: no job: %s", name, self._engine.label, answer)
            self._core.refused(name, f"{type(answer).__name__}: {answer}", now)
        else:
            self._core.submitted(name, answer, now)
        self._perform()
