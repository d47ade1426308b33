import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fanflow import HighThroughputExecutor
from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.launchers import SimpleLauncher, SingleNodeLauncher
from fanflow.pilot import options
from fanflow.pilot.building import expected_plan, forked_copies
from fanflow.pilot.launch_command import default_command, launch_command
from fanflow.pilot.manager_selector import BlockIdManagerSelector
from fanflow.providers import LocalProvider
from fanflow.spi.executor import BuildContext

CONTEXT = BuildContext(run_dir=Path("/run"), run_id="r", heartbeat_period=timedelta(seconds=5))


def frozen(**given: Any) -> options.PilotOptions:  # noqa: ANN401 - options of any type
    return options.freeze(HighThroughputExecutor(**given)._options(), CONTEXT)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cores_per_worker": 0}, r"cores_per_worker=0.*above 0"),
        ({"mem_per_worker": -1.0}, r"mem_per_worker=-1.0.*above 0"),
        ({"max_workers_per_node": 0}, r"max_workers_per_node=0.*at least 1"),
        ({"prefetch_capacity": -1}, r"prefetch_capacity=-1.*at least 0"),
        ({"heartbeat_period": 10, "heartbeat_threshold": 5}, r"heartbeat_threshold=5.*heartbeat_period=10"),
        ({"worker_port": 70_000}, r"worker_port=70000.*1 to 65535"),
        ({"worker_port_range": (5, 1)}, r"worker_port_range=\(5, 1\).*the one after the last"),
        ({"worker_port_range": (5, 5)}, r"worker_port_range=\(5, 5\).*the one after the last"),
        ({"cpu_affinity": "sideways"}, r"cpu_affinity='sideways'"),
        ({"available_accelerators": -1}, r"available_accelerators=-1"),
        ({"address_probe_timeout": 0}, r"address_probe_timeout=0.*above 0"),
        ({"drain_period": -1}, r"drain_period=-1.*at least 0"),
    ],
)
def test_a_bad_value_is_named_with_what_it_must_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        HighThroughputExecutor(**given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"label": 3}, "a str"),
        ({"address": 10}, "a str, or None"),
        ({"cores_per_worker": "two"}, "a number"),
        ({"max_workers_per_node": True}, "an int, or None"),
        ({"available_accelerators": "0,1"}, "a list of their names"),
        ({"manager_selector": BlockIdManagerSelector}, "a ManagerSelector"),
        ({"block_error_handler": "simple"}, "True, False or a function"),
        ({"provider": LocalProvider}, r"write LocalProvider\(\.\.\.\)"),
        ({"provider": "slurm"}, "a provider object"),
        ({"worker_debug": 1}, "True or False"),
        ({"worker_port_range": 54000}, "two ports"),
    ],
)
def test_a_wrong_type_says_what_the_option_takes(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(OptionTypeError, match=expected):
        HighThroughputExecutor(**given)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        HighThroughputExecutor(label=3, worker_port=0, prefetch_capacity=-5)  # type: ignore[arg-type]

    assert all(
        name in str(caught.value) for name in ("3 problems", "label", "worker_port", "prefetch_capacity")
    )


def test_options_that_are_set_later_are_checked_at_the_load() -> None:
    executor = HighThroughputExecutor()
    executor.cores_per_worker = -1  # type: ignore[attr-defined]  # set by name

    with pytest.raises(ConfigurationError, match="cores_per_worker"):
        executor.build(CONTEXT)


def test_heartbeats_that_are_left_alone_are_those_of_the_run() -> None:
    assert frozen().heartbeat_period == timedelta(seconds=5)
    assert frozen(heartbeat_period=30).heartbeat_period == timedelta(seconds=30)
    assert frozen().heartbeat_threshold == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("given", "period", "threshold"),
    [
        ({"heartbeat_threshold": 10}, 5, 10),
        ({"heartbeat_threshold": 4}, 2, 4),
        ({"heartbeat_period": 60}, 60, 120),
        ({"heartbeat_period": 15}, 15, 30),
        ({"heartbeat_period": 9, "heartbeat_threshold": 9}, 9, 9),
    ],
)
def test_a_heartbeat_that_is_left_alone_keeps_its_distance_from_one_that_is_given(
    given: dict[str, float], period: float, threshold: float
) -> None:
    found = frozen(**given)

    assert found.heartbeat_period.total_seconds() == period
    assert found.heartbeat_threshold.total_seconds() == threshold


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_leaves_alone_what_its_original_does(
    copied: Callable[[HighThroughputExecutor], HighThroughputExecutor],
) -> None:
    executor = copied(HighThroughputExecutor())

    assert options.freeze(executor._options(), CONTEXT).heartbeat_period == timedelta(seconds=5)


def test_options_without_effect_warn() -> None:
    with pytest.warns(UserWarning, match=r"encrypted=False\) is ignored"):
        HighThroughputExecutor(encrypted=False).build(CONTEXT).close(drain=False, deadline=0)
    with pytest.warns(UserWarning, match="interchange_launch_cmd"):
        HighThroughputExecutor(interchange_launch_cmd=["x"]).build(CONTEXT).close(drain=False, deadline=0)


def test_a_repr_shows_what_was_given_and_makes_an_equal_executor() -> None:
    executor = HighThroughputExecutor(label="pool", max_workers_per_node=3, cores_per_worker=0.5)

    text = repr(executor)
    again = eval(text, {**globals(), "SingleNodeLauncher": SingleNodeLauncher})  # noqa: S307 - our own text

    assert "max_workers_per_node=3" in text
    assert "prefetch_capacity" not in text
    assert again._options() == executor._options()


def test_logs_go_below_the_run_directory_or_where_they_are_wanted(tmp_path: Path) -> None:
    assert frozen(label="pool").log_root == Path("/run/pool")
    assert frozen(label="pool", worker_logdir_root=str(tmp_path)).log_root == tmp_path / "pool"


@pytest.mark.parametrize(
    ("given", "provider", "copies"),
    [
        ({}, LocalProvider(), 1),
        ({}, LocalProvider(nodes_per_block=3), 3),
        ({}, LocalProvider(nodes_per_block=3, launcher=SimpleLauncher()), 1),
        ({}, LocalProvider(worker_init="module load python"), 0),
        ({"launch_cmd": "process_worker_pool.py"}, LocalProvider(), 0),
    ],
)
def test_managers_are_forked_where_a_script_would_do_the_same(
    given: dict[str, Any], provider: LocalProvider, copies: int
) -> None:
    assert forked_copies(frozen(**given), provider) == copies


def test_the_plan_is_known_where_the_provider_says_what_nodes_have() -> None:
    provider = LocalProvider()
    local = expected_plan(frozen(max_workers_per_node=1), provider)

    assert local is not None
    assert local.workers == 1


def test_no_room_for_one_worker_is_an_error_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError, match=r"label='pool'.*cores_per_worker=100000"):
        expected_plan(frozen(label="pool", cores_per_worker=100_000), LocalProvider())


def test_the_program_of_a_launch_command_is_replaced_and_its_places_are_filled() -> None:
    config = Path("/run/block-4/manager.json")
    chosen = frozen(
        launch_cmd="nice -n 5 process_worker_pool.py {debug} -c {cores_per_worker} --block_id={block_id}"
    )

    command = launch_command(chosen, config, "4", 2, Path("/run"))

    assert command == f"nice -n 5 {default_command(config)}  -c 1.0 --block_id=4"


def test_places_that_existing_programs_fill_later_have_doubled_braces() -> None:
    chosen = frozen(launch_cmd="srun -n {{nodes_per_block}} process_worker_pool.py --block_id={{block_id}}")

    command = launch_command(chosen, Path("/c"), "4", 2, Path("/run"))

    assert command == f"srun -n 2 {default_command(Path('/c'))} --block_id=4"


@pytest.mark.parametrize(
    ("launch_cmd", "message"),
    [
        ("process_worker_pool.py {cors_per_worker}", r"'cors_per_worker'.*its places are \{debug\}"),
        ("python my_pool.py", "does not start process_worker_pool.py"),
    ],
)
def test_a_launch_command_that_cannot_work_is_refused(launch_cmd: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        launch_command(frozen(launch_cmd=launch_cmd), Path("/c"), "0", 1, Path("/run"))


def test_another_system_than_linux_is_refused_with_what_to_use_there(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = HighThroughputExecutor()
    monkeypatch.setattr("sys.platform", "darwin")

    with pytest.raises(ConfigurationError, match=r"needs Linux, and this is darwin; use ThreadPoolExecutor"):
        executor.build(CONTEXT)
