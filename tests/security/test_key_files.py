"""Files and directories of keys: for their owner alone, and refused where others had a hand in them."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fanflow.errors import ConfigurationError
from fanflow.pilot import keys
from fanflow.pilot.transport import TcpSettings, TcpTransport


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    keys.make_key_directory(str(path))
    return path


@pytest.fixture
def file(directory: Path) -> Path:
    return Path(keys.write_pair(str(directory), "block_0", keys.make_pair()))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_files_and_directories_are_for_their_owner_whatever_the_mask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        keys.make_key_directory(str(tmp_path / "keys"))
        path = keys.write_pair(str(tmp_path / "keys"), "block_0", keys.make_pair())
    finally:
        os.umask(before)

    assert mode(tmp_path / "keys") == 0o700
    assert mode(Path(path)) == 0o600


def test_a_pair_that_was_written_is_read_back(directory: Path) -> None:
    pair = keys.make_pair()

    assert keys.load_pair(keys.write_pair(str(directory), "block_0", pair)) == pair


def test_a_secret_is_not_shown() -> None:
    pair = keys.make_pair()

    assert pair.secret not in repr(pair)


def test_nothing_is_written_over_a_file_that_is_there(file: Path) -> None:
    content = file.read_bytes()

    with pytest.raises(ConfigurationError, match=r"block_0\.key cannot be written: File exists"):
        keys.write_pair(str(file.parent), "block_0", keys.make_pair())

    assert file.read_bytes() == content


def test_nothing_is_written_through_a_link(directory: Path, tmp_path: Path) -> None:
    (directory / "block_0.key").symlink_to(tmp_path / "target")

    with pytest.raises(ConfigurationError, match="cannot be written"):
        keys.write_pair(str(directory), "block_0", keys.make_pair())

    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x" * 101, "a\0b", "a\nb"])
def test_a_name_cannot_leave_the_directory(name: str, directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a key file"):
        keys.write_pair(str(directory), name, keys.make_pair())


def open_file(file: Path) -> None:
    file.chmod(0o640)


def open_directory(file: Path) -> None:
    file.parent.chmod(0o750)


def replace_by_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    os.truncate(file, 50)


def mix(file: Path) -> None:
    one, other = keys.make_pair(), keys.make_pair()
    file.unlink()
    keys.write_pair(str(file.parent), "block_0", keys.KeyPair(one.public, other.secret))


def give_away(file: Path) -> None:
    os.chown(file, 12_345, -1)


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "readable by a group": (open_file, r"block_0\.key has mode 0640, so others may read"),
    "in an open directory": (open_directory, r"keys has mode 0750, so others may read"),
    "a link": (replace_by_link, "is a symbolic link"),
    "a pipe": (replace_by_pipe, "is not a regular file"),
    "a directory": (replace_by_directory, "is not a regular file"),
    "missing": (remove, "cannot be read: No such file or directory"),
    "cut short": (cut, "does not hold a pair of keys: it is damaged"),
    "two halves of two pairs": (mix, "does not hold a pair of keys: it is damaged"),
}


@pytest.mark.parametrize(("tamper", "reason"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_key_file_that_is_not_as_it_should_be_is_refused(
    tamper: Callable[[Path], None], reason: str, file: Path
) -> None:
    tamper(file)

    with pytest.raises(ConfigurationError, match=reason):
        keys.load_pair(str(file))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_file_of_another_user_is_refused(file: Path) -> None:
    give_away(file)

    with pytest.raises(ConfigurationError, match="belongs to user 12345"):
        keys.load_pair(str(file))


def test_a_directory_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(0o755)

    with pytest.raises(ConfigurationError, match="has mode 0755"):
        keys.make_key_directory(str(tmp_path / "keys"))


def test_a_link_is_not_used_as_a_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "keys").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigurationError, match="is not a directory"):
        keys.make_key_directory(str(tmp_path / "keys"))


def test_a_transport_writes_no_secret_but_the_blocks_and_removes_these(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    transport = TcpTransport(TcpSettings(key_directory=str(directory), is_local=True))
    transport.open(str(tmp_path))
    try:
        first, _ = transport.admit("0")
        second, _ = transport.admit("1")
        secret = transport.listener().secret_key.encode()
        written = {path.name: path.read_bytes() for path in directory.iterdir()}

        transport.revoke("0")
        left = [path.name for path in directory.iterdir()]
    finally:
        transport.close()

    assert written.keys() == {"block_0.key", "block_1.key"}
    assert not any(secret in content for content in written.values())
    assert first.key_file != second.key_file
    assert left == ["block_1.key"]
    assert not directory.exists()


def test_a_libzmq_with_known_holes_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"libzmq 4\.3\.2 has known security holes, 4\.3\.3 or later"
    ):
        keys.require_curve((4, 3, 2), has=True)


def test_a_libzmq_without_encryption_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="built without CURVE"):
        keys.require_curve((4, 3, 5), has=False)
