import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from fanflow.errors import ConfigurationError
from fanflow.run_dirs import make_run_dir

PROCESSES = 50

# Every child waits until the parent closes the pipe, so that all of them begin at once.
RACE = f"""
import os, sys
from pathlib import Path
from fanflow.run_dirs import make_run_dir

gate, opener = os.pipe()
children = []
for _ in range({PROCESSES}):
    child = os.fork()
    if child == 0:
        os.close(opener)
        os.read(gate, 1)
        os.write(1, make_run_dir(Path(sys.argv[1])).name.encode() + b"\\n")
        os._exit(0)
    children.append(child)
os.close(opener)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_fifty_processes_that_start_at_once_get_fifty_directories(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-S", "-c", RACE, str(tmp_path / "runinfo")],
        env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    names = sorted(done.stdout.split())

    assert names == [f"{number:03}" for number in range(PROCESSES)]
    assert sorted(path.name for path in (tmp_path / "runinfo").iterdir()) == names


def test_the_first_run_is_number_zero_and_its_path_is_absolute(tmp_path: Path) -> None:
    made = make_run_dir(Path("runinfo"))

    assert made == tmp_path / "runinfo" / "000"


def test_a_run_gets_the_number_after_the_highest(tmp_path: Path) -> None:
    for name in ("000", "007", "monitoring.db", "12", "1e5", "notes"):
        (tmp_path / name).mkdir()

    assert make_run_dir(tmp_path).name == "008"


def test_numbers_grow_past_999(tmp_path: Path) -> None:
    (tmp_path / "999").mkdir()

    assert [make_run_dir(tmp_path).name, make_run_dir(tmp_path).name] == ["1000", "1001"]


def test_root_and_run_directory_are_private(tmp_path: Path) -> None:
    made = make_run_dir(tmp_path / "a" / "runinfo")

    assert (mode_of(made), mode_of(made.parent)) == (0o700, 0o700)


def test_a_root_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    root.chmod(0o750)

    make_run_dir(root)

    assert mode_of(root) == 0o750


def test_a_symbolic_link_planted_at_the_next_name_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, elsewhere = tmp_path / "runinfo", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    # Planted between the look at the directory and the making of the name.
    scan = os.scandir

    def scan_then_plant(path: str) -> AbstractContextManager[list[os.DirEntry[str]]]:
        with scan(path) as found:
            entries = list(found)
        (root / "000").symlink_to(elsewhere)
        (root / "001").symlink_to(tmp_path / "nowhere")
        return nullcontext(entries)

    monkeypatch.setattr(os, "scandir", scan_then_plant)

    made = make_run_dir(root)

    assert made.name == "002"
    assert not made.is_symlink()
    assert list(elsewhere.iterdir()) == []


def test_a_root_that_links_to_a_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runinfo").symlink_to(tmp_path / "scratch")

    assert make_run_dir(tmp_path / "runinfo") == tmp_path / "runinfo" / "000"
    assert (tmp_path / "scratch" / "000").is_dir()


def test_a_root_that_is_a_file_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "runinfo").write_text("")

    with pytest.raises(
        ConfigurationError, match=r"run_dir=.*runinfo exists and is not a directory; set run_dir"
    ):
        make_run_dir(tmp_path / "runinfo")


def test_a_root_below_a_file_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(
        ConfigurationError, match=r"file/runinfo cannot be made or written to \(Not a directory\)"
    ):
        make_run_dir(tmp_path / "file" / "runinfo")


def test_a_dangling_root_says_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "runinfo").symlink_to(tmp_path / "gone")

    with pytest.raises(ConfigurationError, match=r"is a symbolic link to '.*gone', which does not exist"):
        make_run_dir(tmp_path / "runinfo")


@contextmanager
def without_privileges() -> Iterator[None]:
    """The superuser may write anywhere; be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_root_without_permission_names_the_user(tmp_path: Path) -> None:
    root = tmp_path / "runinfo"
    root.mkdir()
    root.chmod(0o500)

    with without_privileges():
        user = os.geteuid()
        with pytest.raises(ConfigurationError, match=rf"runinfo may not be written to by user {user} \("):
            make_run_dir(root)
