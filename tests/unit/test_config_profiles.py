from __future__ import annotations

import os
from pathlib import Path

import pytest

from fanflow.config.sources import find_config
from fanflow.errors import ConfigurationError


@pytest.fixture(autouse=True)
def empty_user_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_profile_is_found_in_the_nearest_project_file_above(tmp_path: Path) -> None:
    write(tmp_path / "fanflow.toml", "[profiles.site]\nretries = 1\n[profiles.far]\nretries = 9\n")
    write(tmp_path / "a" / "pyproject.toml", "[tool.fanflow.profiles.site]\nretries = 2\n")
    here = tmp_path / "a" / "b"
    here.mkdir()

    near, source = find_config({"FANFLOW_PROFILE": "site"}, here)

    assert near.retries == 2
    assert source == f"{tmp_path}/a/pyproject.toml [profiles.site]"
    assert find_config({"FANFLOW_PROFILE": "far"}, here).config.retries == 9


def test_a_profile_is_found_in_the_users_file(tmp_path: Path) -> None:
    write(tmp_path / "xdg" / "fanflow" / "fanflow.toml", "[profiles.mine]\nretries = 3\n")

    assert find_config({"FANFLOW_PROFILE": "mine"}, tmp_path).config.retries == 3


def test_a_named_file_wins_over_a_profile(tmp_path: Path) -> None:
    write(tmp_path / "fanflow.toml", "[profiles.site]\nretries = 1\n")
    write(tmp_path / "c.toml", "retries = 7")

    found = find_config({"FANFLOW_PROFILE": "site", "FANFLOW_CONFIG": "c.toml"}, tmp_path)

    assert found.config.retries == 7


def test_an_unknown_profile_lists_those_there_are(tmp_path: Path) -> None:
    write(tmp_path / "fanflow.toml", "[profiles.polaris]\n[profiles.laptop]\n")

    with pytest.raises(
        ConfigurationError, match=r"did you mean 'polaris'\? profiles are polaris \(.*\), laptop"
    ):
        find_config({"FANFLOW_PROFILE": "polars"}, tmp_path)


def test_a_profile_where_there_are_none_says_where_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no profile is defined .* write one as \[profiles\.site\]"):
        find_config({"FANFLOW_PROFILE": "site"}, tmp_path)


def test_mistakes_in_a_profile_name_file_and_profile(tmp_path: Path) -> None:
    path = write(tmp_path / "fanflow.toml", "[profiles.site]\nretries = -1\n")

    with pytest.raises(ConfigurationError) as caught:
        find_config({"FANFLOW_PROFILE": "site"}, tmp_path)

    assert str(caught.value).startswith(f"{path} [profiles.site]: retries: must be")


def test_profiles_that_are_no_table_are_explained(tmp_path: Path) -> None:
    write(tmp_path / "fanflow.toml", "profiles = 3")

    with pytest.raises(ConfigurationError, match=r"fanflow\.toml: profiles is 3; it has to be a table"):
        find_config({"FANFLOW_PROFILE": "site"}, tmp_path)


def test_a_file_of_profiles_is_no_configuration_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "c.toml", "[profiles.site]\nretries = 1\n")

    with pytest.raises(ConfigurationError, match=r"holds only profiles \(site\); set FANFLOW_PROFILE"):
        find_config({"FANFLOW_CONFIG": "c.toml"}, tmp_path)


def test_a_profile_that_anybody_could_have_written_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "shared" / "fanflow.toml", "[profiles.site]\nretries = 1\n")
    path.chmod(0o666)

    with pytest.raises(ConfigurationError, match="no profile is defined"):
        find_config({"FANFLOW_PROFILE": "site"}, path.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
def test_a_profile_that_somebody_else_put_above_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "shared" / "fanflow.toml", "[profiles.site]\nretries = 1\n")
    os.chown(path, 12345, -1)
    path.parent.chmod(0o1777)

    with pytest.raises(ConfigurationError, match="no profile is defined"):
        find_config({"FANFLOW_PROFILE": "site"}, path.parent)
