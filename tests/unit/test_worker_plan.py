"""How many workers a node gets, and what they are bound to."""

import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanflow.errors import ConfigurationError
from fanflow.pilot.worker_plan import NodeFacts, NodePlan, NoRoomError, WorkerOptions, plan_workers

CORES = tuple(range(8))


def plan(facts: NodeFacts | None = None, count: int = 0, **options: object) -> NodePlan:
    node = facts or NodeFacts(cores=8, core_numbers=CORES, memory_gb=16.0)
    return plan_workers(msgspec.convert(options, WorkerOptions), node, count)


def bound(**options: object) -> list[tuple[int, ...]]:
    return [tuple(place.cores) for place in plan(**options).places]  # type: ignore[arg-type]


def variables(name: str, made: NodePlan) -> list[str | None]:
    return [place.environment.get(name) for place in made.places]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "8 workers, 0 cores idle"),
        ({"cores_per_worker": 3}, "2 workers, 2 cores idle"),
        ({"cores_per_worker": 0.5}, "16 workers, 0 cores idle"),
        ({"cores_per_worker": 0.1}, "80 workers, 0 cores idle"),
        ({"max_workers_per_node": 1}, "1 worker, 7 cores idle"),
        ({"max_workers_per_node": math.inf}, "8 workers, 0 cores idle"),
        ({"mem_per_worker": 5}, "3 workers, 5 cores idle"),
        ({"mem_per_worker": 3.2}, "5 workers, 3 cores idle"),
        ({"available_accelerators": 2}, "2 workers, 6 cores idle"),
        ({"available_accelerators": ["0,1", "2,3", "4"]}, "3 workers, 5 cores idle"),
        ({"available_accelerators": 2, "max_workers_per_node": 1}, "1 worker, 7 cores idle"),
        ({"max_workers_per_node": 2, "cpu_affinity": "block"}, "2 workers, 0 cores idle"),
        ({"max_workers_per_node": 7, "cpu_affinity": "block"}, "7 workers, 1 core idle"),
    ],
)
def test_the_smallest_of_all_limits_decides(options: dict[str, object], sentence: str) -> None:
    assert plan(**options).sentence() == sentence  # type: ignore[arg-type]


def test_memory_plays_no_role_where_it_is_unknown() -> None:
    assert plan(NodeFacts(cores=4), mem_per_worker=1000).workers == 4


def test_of_an_unknown_node_the_other_limits_decide() -> None:
    unknown = NodeFacts(cores=math.inf)

    assert plan(unknown).workers == 1
    assert plan(unknown, max_workers_per_node=6).sentence() == "6 workers, 0 cores idle"
    assert plan(unknown, available_accelerators=3).workers == 3
    assert plan(NodeFacts(cores=math.inf, memory_gb=10), mem_per_worker=3).workers == 3


def test_a_count_that_is_given_is_kept() -> None:
    made = plan(count=20, mem_per_worker=1000, cores_per_worker=4, available_accelerators=2)

    assert made.workers == 20
    assert variables("CUDA_VISIBLE_DEVICES", made) == ["0", "1"] * 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cores_per_worker": 9}, "cores_per_worker=9, and the node has 8 cores"),
        ({"mem_per_worker": 17}, "mem_per_worker=17 GB, and the node has 16.0 GB free"),
    ],
)
def test_a_node_without_room_for_one_worker_says_so(options: dict[str, object], said: str) -> None:
    with pytest.raises(NoRoomError, match=re.escape(said)):
        plan(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cores_per_worker", 0),
        ("cores_per_worker", -1.5),
        ("cores_per_worker", math.nan),
        ("cores_per_worker", math.inf),
        ("cores_per_worker", "2"),
        ("cores_per_worker", True),
        ("cores_per_worker", None),
        ("mem_per_worker", 0),
        ("mem_per_worker", "4 GB"),
        ("max_workers_per_node", 0),
        ("max_workers_per_node", 1.5),
        ("max_workers_per_node", math.nan),
        ("max_workers_per_node", "2"),
        ("available_accelerators", -1),
        ("available_accelerators", 1.5),
        ("available_accelerators", True),
        ("available_accelerators", None),
        ("available_accelerators", [0, 1]),
        ("available_accelerators", "01"),
        ("available_accelerators", ["0", ""]),
        ("cpu_affinity", "blocks"),
        ("cpu_affinity", None),
        ("cpu_affinity", ["block"]),
        ("cpu_affinity", "list"),
        ("cpu_affinity", "list:"),
        ("cpu_affinity", "list:0-3:"),
        ("cpu_affinity", "list:3-0"),
        ("cpu_affinity", "list:a"),
        ("cpu_affinity", "list:0-1-2"),
        ("cpu_affinity", "list:-1"),
        ("cpu_affinity", "list:0-99999999999"),
        ("cpu_affinity", "list:²"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^{option}="):
        WorkerOptions(**{option: value})  # type: ignore[arg-type]


def test_each_affinity_deals_the_cores_in_its_own_way() -> None:
    assert bound(max_workers_per_node=3) == [()] * 3
    assert bound(max_workers_per_node=3, cpu_affinity="block") == [(0, 1), (2, 3), (4, 5)]
    assert bound(max_workers_per_node=3, cpu_affinity="block-reverse") == [(4, 5), (2, 3), (0, 1)]
    assert bound(max_workers_per_node=3, cpu_affinity="alternating") == [(0, 3, 6), (1, 4, 7), (2, 5)]
    assert bound(max_workers_per_node=2, cpu_affinity="list:0-3:4-6,7") == [(0, 1, 2, 3), (4, 5, 6, 7)]


def test_more_workers_than_cores_share_them_evenly() -> None:
    facts = NodeFacts(cores=2, core_numbers=(4, 6))
    options = {"cores_per_worker": 0.5}

    assert bound(facts=facts, cpu_affinity="block", **options) == [(4,), (4,), (6,), (6,)]
    assert bound(facts=facts, cpu_affinity="alternating", **options) == [(4,), (6,), (4,), (6,)]


def test_a_list_for_too_few_workers_is_refused_with_the_fix() -> None:
    with pytest.raises(ConfigurationError, match=r"names cores for 2 workers, .* set max_workers_per_node=2"):
        plan(cpu_affinity="list:0-3:4-7")


def test_cores_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigurationError, match="cores 8, 9 cannot be used on this node, which has 0, 1"):
        plan(max_workers_per_node=1, cpu_affinity="list:7-9")


def test_bound_workers_tell_their_libraries() -> None:
    made = plan(max_workers_per_node=2, cpu_affinity="alternating")

    assert made.places[1].environment == {
        "OMP_NUM_THREADS": "4",
        "GOMP_CPU_AFFINITY": "1 3 5 7",
        "KMP_AFFINITY": "explicit,proclist=[1,3,5,7]",
    }
    assert plan(max_workers_per_node=2).places[1].environment == {}


def test_each_worker_has_its_accelerator() -> None:
    made = plan(available_accelerators=["0,1", "2,3"])

    assert [place.accelerator for place in made.places] == ["0,1", "2,3"]
    assert made.places[1].environment == {
        "CUDA_VISIBLE_DEVICES": "2,3",
        "ROCR_VISIBLE_DEVICES": "2,3",
        "ZE_AFFINITY_MASK": "2,3",
        "ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1",
    }


def test_workers_share_gpus_when_names_outnumber_them() -> None:
    facts = NodeFacts(cores=8, gpus=2)

    assert variables("CUDA_VISIBLE_DEVICES", plan(facts, available_accelerators=4)) == ["0", "0", "1", "1"]
    assert variables("CUDA_VISIBLE_DEVICES", plan(facts, available_accelerators=2)) == ["0", "1"]


def test_names_of_parts_of_a_gpu_are_kept() -> None:
    parts = ["MIG-1", "MIG-2", "MIG-3"]

    made = plan(NodeFacts(cores=8, gpus=1), available_accelerators=parts)

    assert variables("CUDA_VISIBLE_DEVICES", made) == parts


def test_options_survive_the_way_to_the_node() -> None:
    options = WorkerOptions(available_accelerators=["0"], mem_per_worker=2.5, cpu_affinity="block")

    assert msgspec.json.decode(msgspec.json.encode(options), type=WorkerOptions) == WorkerOptions(
        available_accelerators=["0"], mem_per_worker=2.5, cpu_affinity="block"
    )


@given(
    options=st.builds(
        WorkerOptions,
        cores_per_worker=st.floats(0.05, 8),
        mem_per_worker=st.none() | st.floats(0.1, 64),
        max_workers_per_node=st.none() | st.integers(1, 400),
        available_accelerators=st.integers(0, 16),
        cpu_affinity=st.sampled_from(["none", "block", "block-reverse", "alternating"]),
    ),
    facts=st.builds(
        NodeFacts,
        cores=st.integers(1, 300),
        memory_gb=st.none() | st.floats(0.5, 4000),
        gpus=st.integers(0, 8),
    ),
)
def test_no_plan_exceeds_a_limit_or_leaves_room_for_one_more(
    options: WorkerOptions, facts: NodeFacts
) -> None:
    cores = int(facts.cores)
    room = [cores / options.cores_per_worker]
    if options.mem_per_worker is not None and facts.memory_gb is not None:
        room.append(facts.memory_gb / options.mem_per_worker)
    if min(room) < 1 - 1e-6:
        with pytest.raises(NoRoomError):
            plan_workers(options, facts)
        return
    if min(room) < 1:
        return  # so near that rounding decides

    made = plan_workers(options, facts)

    caps = [*room, options.max_workers_per_node or math.inf, len(options.accelerators()) or math.inf]
    assert min(caps) - 1 - 1e-6 < made.workers <= min(caps) + 1e-6
    assert 0 <= made.idle_cores < cores
    used = {core for place in made.places for core in place.cores}
    if options.cpu_affinity == "none":
        assert not used
    else:
        assert used <= set(range(cores))
        sizes = {len(place.cores) for place in made.places}
        assert max(sizes) - min(sizes) <= 1
        shared = sum(len(place.cores) for place in made.places) - len(used)
        assert shared == max(0, made.workers - cores)
