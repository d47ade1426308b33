"""Control groups, on a copy of their files."""

import os
from pathlib import Path

import pytest

from fanflow.pilot import control_groups
from fanflow.pilot.control_groups import count_oom_kills, count_system_oom_kills, own_directory
from fanflow.pilot.memory_groups import MemoryGroup, MemoryGroups, take_over


def make_group(directory: Path, *, is_v2: bool, kills: int = 0) -> MemoryGroup:
    name = "memory.events" if is_v2 else "memory.oom_control"
    (directory / name).write_text(f"low 0\noom_kill_disable 0\noom_kill {kills}\n")
    return MemoryGroup(str(directory), is_v2=is_v2)


def test_a_group_of_version_2_ends_as_a_whole_and_does_not_swap(tmp_path: Path) -> None:
    group = make_group(tmp_path, is_v2=True)

    assert group.set_limit(5 << 20)

    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert files["memory.oom.group"] == "1"
    assert files["memory.max"] == str(5 << 20)
    assert files["memory.swap.max"] == "0"


def test_a_limit_is_lifted_again(tmp_path: Path) -> None:
    group = make_group(tmp_path, is_v2=True)
    group.set_limit(5 << 20)

    assert group.set_limit(0)

    assert (tmp_path / "memory.max").read_text() == "max"
    assert group.limit == 0


@pytest.mark.parametrize("is_v2", [True, False])
def test_only_ends_since_the_limit_was_set_count(tmp_path: Path, is_v2: bool) -> None:
    group = make_group(tmp_path, is_v2=is_v2, kills=3)
    group.set_limit(1 << 20)
    before = group.has_killed()

    name = "memory.events" if is_v2 else "memory.oom_control"
    (tmp_path / name).write_text("oom_kill 4\n")

    assert (before, group.has_killed()) == (False, True)


def test_a_limit_that_cannot_be_set_is_said_to_be_so(tmp_path: Path) -> None:
    group = make_group(tmp_path, is_v2=False)
    (tmp_path / "memory.limit_in_bytes").mkdir()

    assert not group.set_limit(1 << 20)
    assert group.limit == 0


def test_a_group_that_is_still_in_use_is_removed_later(tmp_path: Path) -> None:
    groups = MemoryGroups(str(tmp_path), "w-", is_v2=False)
    group = groups.make(0)
    assert group is not None
    process = tmp_path / "w-0" / "process"
    process.touch()

    groups.remove(group)
    assert process.exists()
    process.unlink()
    groups.make(1)

    assert os.listdir(tmp_path) == ["w-1"]


def test_a_group_that_cannot_be_made_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert MemoryGroups(str(tmp_path / "file"), "w-", is_v2=False).make(0) is None


def own_group(directory: Path, controllers: str, pids: str) -> Path:
    (directory / "cgroup.controllers").write_text(controllers)
    (directory / "cgroup.procs").write_text(pids)
    return directory


def test_a_group_of_our_own_is_taken_over(tmp_path: Path) -> None:
    group = own_group(tmp_path, "cpu memory\n", f"{os.getpid()}\n{os.getppid()}\n")

    assert take_over(str(group), "leaf", os.getpid())

    assert (group / "cgroup.subtree_control").read_text() == "+memory"
    assert (group / "leaf" / "cgroup.procs").read_text() in {str(os.getpid()), str(os.getppid())}


@pytest.mark.parametrize(("controllers", "pids"), [("cpu\n", ""), ("memory\n", "1\n")])
def test_a_group_without_the_controller_or_with_strangers_is_left_alone(
    tmp_path: Path, controllers: str, pids: str
) -> None:
    group = own_group(tmp_path, controllers, pids)

    assert not take_over(str(group), "leaf", os.getpid())

    assert not (group / "cgroup.subtree_control").exists()


def test_kills_are_counted_where_there_is_a_count(tmp_path: Path) -> None:
    assert count_oom_kills(str(tmp_path)) is None
    assert count_system_oom_kills() >= 0


def test_a_controller_that_does_not_exist_has_no_directory() -> None:
    assert own_directory("no-such-controller") == ""
    assert own_directory("").startswith(control_groups.ROOT) or own_directory("") == ""
