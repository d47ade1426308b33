"""Finds a script's configuration outside the script: a file named in the environment, or a profile."""

from __future__ import annotations

import logging
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from fanflow.config.checks import suggest
from fanflow.config.mapping import config_from_mapping
from fanflow.config.options import Config
from fanflow.errors import ConfigurationError

__all__ = [
    "CONFIG_VARIABLE",
    "PROFILE_VARIABLE",
    "Found",
    "config_from_file",
    "config_from_mapping",
    "find_config",
]

CONFIG_VARIABLE = "FANFLOW_CONFIG"
"""Path of a TOML or Python file."""

PROFILE_VARIABLE = "FANFLOW_PROFILE"
"""Name of a profile."""

PROJECT_FILE = "fanflow.toml"

Table = Mapping[str, object]

_log = logging.getLogger("fanflow.config")


class Found(NamedTuple):
    """A configuration and where it is from."""

    config: Config
    source: str
    """For messages and the log."""


def find_config(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Found:
    """The configuration for a `load()` that was given none.

    The file that FANFLOW_CONFIG names, else the profile that FANFLOW_PROFILE names, else the default.

    Args:
        environ: Environment variables; None for those of the process.
        directory: Where relative paths and the search for a profile begin; None for the working directory.

    Raises:
        ConfigurationError: What the variable names is not there or has mistakes; all are listed.
    """
    environ = os.environ if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    if name := environ.get(CONFIG_VARIABLE):
        path = directory / os.path.expanduser(name)
        try:
            return Found(config_from_file(path), str(path))
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"{CONFIG_VARIABLE}={name!r}: there is no file {path}; correct the path or unset the variable"
            ) from error
    if name := environ.get(PROFILE_VARIABLE):
        return _find_profile(name, directory)
    return Found(Config(), "the default")


def config_from_file(path: Path) -> Config:
    """The configuration in a TOML file, or in a Python file as `config` or `fresh_config()`.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigurationError: It cannot be read or has mistakes; all are listed.
    """
    if path.suffix == ".toml":
        table = dict(_read_toml(path))
        profiles = table.pop("profiles", None)
        if profiles is not None and not table:
            names = ", ".join(sorted(_as_table(profiles, f"{path}: profiles")))
            raise ConfigurationError(
                f"{path} holds only profiles ({names}); set {PROFILE_VARIABLE} to one of them instead"
            )
        return config_from_mapping(table, str(path))
    if path.suffix == ".py":
        return _run_python(path)
    raise ConfigurationError(f"{path}: a configuration file ends in .toml or .py; rename it")


def _read_toml(path: Path) -> Table:
    try:
        return cast("Table", tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}); correct its path or mode"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def _as_table(value: object, what: str) -> Table:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} is {value!r}; it has to be a table")
    return cast("Table", value)


def _run_python(path: Path) -> Config:
    import runpy

    if not path.exists():
        raise FileNotFoundError(str(path))
    try:
        names = cast("Table", runpy.run_path(str(path), run_name="fanflow_config"))
        config, make = names.get("config"), names.get("fresh_config")
        is_defined = config is not None or callable(make)
        if config is None and callable(make):
            config = make()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file is the user's code
        where = f"{path} raised {type(error).__name__}: {error}"
        raise ConfigurationError(f"{where}; correct the file") from _in_file(error, path)
    if not is_defined:
        raise ConfigurationError(f"{path} defines neither `config` nor a function `fresh_config`; add one")
    if not isinstance(config, Config):
        raise ConfigurationError(
            f"{path}: its configuration is {config!r}, a {type(config).__name__}; make it a fanflow.Config"
        )
    return config


def _in_file(error: BaseException, path: Path) -> BaseException:
    """The error with a traceback that begins in the user's file."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename != str(path):
        traceback = traceback.tb_next
    return error.with_traceback(traceback)


def _find_profile(name: str, directory: Path) -> Found:
    seen: dict[str, str] = {}
    for path, table in _profile_tables(directory):
        profiles = _as_table(table.get("profiles", {}), f"{path}: profiles")
        if name in profiles:
            source = f"{path} [profiles.{name}]"
            return Found(config_from_mapping(_as_table(profiles[name], source), source), source)
        seen |= {known: str(path) for known in profiles if known not in seen}
    variable = f"{PROFILE_VARIABLE}={name!r}"
    if not seen:
        raise ConfigurationError(
            f"{variable}: no profile is defined in {PROJECT_FILE} or pyproject.toml of {directory} or above, "
            f"nor in {_user_file()}; write one as [profiles.{name}]"
        )
    known = ", ".join(f"{known} ({path})" for known, path in seen.items())
    raise ConfigurationError(f"{variable}: no such profile; {suggest(name, seen)}profiles are {known}")


def _profile_tables(directory: Path) -> Iterator[tuple[Path, Table]]:
    """The fanflow tables of every file that may hold profiles, nearest first."""
    for folder in (directory, *directory.parents):
        path = folder / PROJECT_FILE
        if _is_usable(path):
            yield path, _read_toml(path)
        path = folder / "pyproject.toml"
        if _is_usable(path):
            tools = _as_table(_read_toml(path).get("tool", {}), f"{path}: tool")
            yield path, _as_table(tools.get("fanflow", {}), f"{path}: tool.fanflow")
    path = _user_file()
    if _is_usable(path):
        yield path, _read_toml(path)


def _is_usable(path: Path) -> bool:
    """Whether the file is there and was not put there by just anybody.

    A profile names code to import. Above a script in a directory such as /tmp, everybody can write one.
    """
    try:
        file, folder = path.stat(), path.parent.stat()
    except OSError:
        return False
    if not stat.S_ISREG(file.st_mode):
        return False
    is_foreign = file.st_uid not in {0, os.geteuid()} and bool(folder.st_mode & stat.S_IWOTH)
    if is_foreign or file.st_mode & stat.S_IWOTH:
        _log.warning("%s is not used for profiles: everybody can write it or its directory", path)
        return False
    return True


def _user_file() -> Path:
    from platformdirs import user_config_path

    return user_config_path("fanflow") / PROJECT_FILE
