"""Whatever an executor looks like, what a policy decides keeps to the limits and comes to rest."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fanflow.pilot.scaling import POLICIES
from fanflow.spi.scaling import BlockLoad, ScalingDecision, ScalingPolicy, ScalingView


@st.composite
def views(draw: st.DrawFn) -> ScalingView:
    blocks: list[BlockLoad] = []
    for number in range(draw(st.integers(0, 8))):
        held = draw(st.integers(0, 2))
        idle_s = 0.0 if held else draw(st.none() | st.floats(0, 300))
        blocks.append(BlockLoad(name=str(number), tasks=held, idle_s=idle_s))
    tasks = sum(block.tasks for block in blocks) + draw(st.integers(0, 40) | st.just(0))
    return ScalingView(
        tasks=tasks,
        idle_s=0.0 if tasks else draw(st.floats(0, 300)),
        blocks=blocks,
        slots_per_block=draw(st.integers(1, 4)),
        minimum=draw(st.integers(0, 5)),
        maximum=draw(st.integers(0, 8)),
        parallelism=draw(st.floats(0, 1)),
        max_idletime_s=draw(st.sampled_from([0.0, 120.0])),
    )


policies = st.sampled_from(list(POLICIES.values()))


def after(view: ScalingView, decision: ScalingDecision) -> ScalingView:
    """The executor when everything has happened that was decided, and nothing else."""
    kept = [block for block in view.blocks if block.name not in decision.end]
    new = [BlockLoad(name=f"new{number}", tasks=0, idle_s=0.0) for number in range(decision.start)]
    return replace(view, blocks=[*kept, *new])


@given(views(), policies)
def test_no_decision_leads_above_the_limit(view: ScalingView, policy: ScalingPolicy) -> None:
    decision = policy(view)

    assert decision.start >= 0
    if decision.start:
        assert len(view.blocks) + decision.start <= view.maximum


@given(views(), policies)
def test_only_blocks_without_tasks_are_given_back_and_the_least_is_kept(
    view: ScalingView, policy: ScalingPolicy
) -> None:
    held = {block.name: block.tasks for block in view.blocks}

    end = policy(view).end

    assert len(set(end)) == len(end)
    assert not any(held[name] for name in end)
    if end:
        assert len(held) - len(end) >= max(min(view.minimum, view.maximum), 1 if view.tasks else 0)


@given(views(), policies)
def test_a_policy_does_not_start_and_end_at_once_nor_take_back_what_it_did(
    view: ScalingView, policy: ScalingPolicy
) -> None:
    first = policy(view)

    second = policy(after(view, first))

    assert not (first.start and first.end)
    assert not (first.start and second.end)
    assert not (first.end and second.start)


@given(views(), policies)
def test_a_policy_comes_to_rest(view: ScalingView, policy: ScalingPolicy) -> None:
    for _ in range(10):
        view = after(view, policy(view))

    assert policy(view) == ScalingDecision()
