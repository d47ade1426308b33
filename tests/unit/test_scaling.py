from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanflow.config.checks import STRATEGIES
from fanflow.pilot.scaling import POLICIES, htex_auto_scale, longest_idle, none, simple
from fanflow.spi.scaling import BlockLoad, ScalingDecision, ScalingPolicy, ScalingView

NOTHING = ScalingDecision()


def busy(*tasks: int, idle_s: float = 0.0) -> list[BlockLoad]:
    return [
        BlockLoad(name=str(number), tasks=held, idle_s=0.0 if held else idle_s)
        for number, held in enumerate(tasks)
    ]


VIEW = ScalingView(
    tasks=0,
    idle_s=0.0,
    blocks=(),
    slots_per_block=4,
    minimum=0,
    maximum=10,
    parallelism=1.0,
    max_idletime_s=120.0,
)


@pytest.mark.parametrize("policy", [simple, htex_auto_scale])
@pytest.mark.parametrize(
    ("view", "decision"),
    [
        # nothing to do, nothing there
        (VIEW, NOTHING),
        # idle, but not for long enough
        (replace(VIEW, blocks=busy(0, 0), idle_s=120.0), NOTHING),
        # idle for long: shrink to the minimum, longest idle first
        (
            replace(
                VIEW,
                minimum=1,
                idle_s=121.0,
                blocks=[
                    BlockLoad(name="0", tasks=0, idle_s=121.0),
                    BlockLoad(name="1", tasks=0, idle_s=500.0),
                    BlockLoad(name="2", tasks=0, idle_s=200.0),
                ],
            ),
            ScalingDecision(end=("1", "2")),
        ),
        # the minimum is kept without any task, and again when a block has ended
        (replace(VIEW, minimum=2), ScalingDecision(start=2)),
        (replace(VIEW, minimum=2, blocks=busy(0), idle_s=999.0), ScalingDecision(start=1)),
        # more tasks than slots: as many blocks as they need
        (replace(VIEW, tasks=9), ScalingDecision(start=3)),
        (replace(VIEW, tasks=9, blocks=busy(4)), ScalingDecision(start=2)),
        # never beyond the maximum
        (replace(VIEW, tasks=1_000_000, blocks=busy(4, 4), maximum=3), ScalingDecision(start=1)),
        (replace(VIEW, tasks=1_000_000, blocks=busy(4, 4, 4), maximum=3), NOTHING),
        # half as many slots as tasks are enough for this one
        (replace(VIEW, tasks=8, blocks=busy(4), parallelism=0.5), NOTHING),
        (replace(VIEW, tasks=12, blocks=busy(4), parallelism=0.5), ScalingDecision(start=1)),
        # as little as possible, but not nothing
        (replace(VIEW, tasks=1_000, parallelism=0.0), ScalingDecision(start=1)),
        (replace(VIEW, tasks=1_000, blocks=busy(4), parallelism=0.0), NOTHING),
        # the maximum holds, whatever the minimum
        (replace(VIEW, minimum=20), ScalingDecision(start=10)),
        (replace(VIEW, minimum=20, blocks=busy(*[0] * 10), idle_s=999.0), NOTHING),
        # no block may be had
        (replace(VIEW, tasks=5, maximum=0), NOTHING),
    ],
)
def test_both_policies_follow_the_tasks(
    policy: ScalingPolicy, view: ScalingView, decision: ScalingDecision
) -> None:
    assert policy(view) == decision


def test_only_htex_auto_scale_gives_single_idle_blocks_back_while_others_work() -> None:
    view = replace(VIEW, tasks=3, blocks=[*busy(3), BlockLoad(name="1", tasks=0, idle_s=121.0)])

    assert simple(view) == NOTHING
    assert htex_auto_scale(view) == ScalingDecision(end=("1",))


def test_blocks_that_work_or_were_idle_for_a_short_time_stay() -> None:
    view = replace(
        VIEW,
        tasks=2,
        blocks=[*busy(1, 1), BlockLoad(name="2", tasks=0, idle_s=119.0)],
    )

    assert htex_auto_scale(view) == NOTHING


@pytest.mark.parametrize(
    ("tasks", "parallelism", "minimum", "end"),
    [
        (1, 1, 0, "21"),  # twelve slots, one task: two blocks are over
        (4, 1, 0, "21"),
        (5, 1, 0, "2"),
        (8, 1, 0, "2"),
        (9, 1, 0, ""),
        (12, 1, 0, ""),
        (1, 1, 2, "2"),
        (1, 1, 3, ""),
        (8, 0.5, 0, "21"),
        (1, 0, 0, "21"),  # one is left for the work
    ],
)
def test_htex_auto_scale_gives_back_what_the_work_leaves_over(
    tasks: int, parallelism: float, minimum: int, end: str
) -> None:
    blocks = [BlockLoad(name=str(number), tasks=0, idle_s=121.0 + number) for number in range(3)]
    view = replace(VIEW, tasks=tasks, blocks=blocks, parallelism=parallelism, minimum=minimum)

    assert htex_auto_scale(view) == ScalingDecision(end=tuple(end))


def test_what_has_not_begun_is_given_back_first_and_what_works_last() -> None:
    blocks = [
        BlockLoad(name="works", tasks=1, idle_s=0.0),
        BlockLoad(name="idle", tasks=0, idle_s=5.0),
        BlockLoad(name="idle longer", tasks=0, idle_s=9.0),
        BlockLoad(name="begins", tasks=0, idle_s=None),
    ]

    chosen = longest_idle(replace(VIEW, blocks=blocks), 9)

    assert chosen == ("begins", "idle longer", "idle", "works")


def test_a_block_that_begins_stays_while_others_work() -> None:
    view = replace(VIEW, tasks=1, blocks=[*busy(1), BlockLoad(name="1", tasks=0, idle_s=None)])

    assert htex_auto_scale(view) == NOTHING


def test_every_strategy_of_a_configuration_is_a_policy() -> None:
    assert set(POLICIES) == set(STRATEGIES)


def test_the_policy_none_never_wants_anything() -> None:
    assert none(replace(VIEW, tasks=1_000, minimum=3)) == NOTHING


LOADS = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1_000)), max_size=12)


@given(
    policy=st.sampled_from(list(POLICIES.values())),
    tasks=st.integers(0, 10_000),
    idle_s=st.floats(0, 1_000),
    loads=LOADS,
    slots=st.integers(1, 64),
    limits=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    parallelism=st.floats(0, 1),
)
def test_no_view_makes_a_policy_break_its_limits(
    policy: ScalingPolicy,
    tasks: int,
    idle_s: float,
    loads: list[tuple[int, float]],
    slots: int,
    limits: tuple[int, int],
    parallelism: float,
) -> None:
    blocks = [BlockLoad(name=str(n), tasks=held, idle_s=idle) for n, (held, idle) in enumerate(loads)]
    view = ScalingView(
        tasks=tasks,
        idle_s=idle_s,
        blocks=blocks,
        slots_per_block=slots,
        minimum=min(limits),
        maximum=max(limits),
        parallelism=parallelism,
        max_idletime_s=120.0,
    )

    decision = policy(view)

    assert not (decision.start and decision.end)
    assert 0 <= decision.start <= max(0, view.maximum - len(blocks))
    assert len(decision.end) <= max(0, len(blocks) - view.minimum)
    assert len(set(decision.end)) == len(decision.end)
    assert set(decision.end) <= {block.name for block in blocks}
    if tasks:
        idle = {block.name for block in blocks if not block.tasks and (block.idle_s or 0.0) > 120.0}
        assert set(decision.end) <= idle
