"""Pairs of CurveZMQ keys: made, written for this user alone, and checked when they are read."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import zmq
from zmq.utils import z85

from fanflow.errors import ConfigurationError

_OLDEST_ZMQ: Final = (4, 3, 3)
"""The first libzmq without known ways for strangers to stall or overflow a server that uses CURVE."""

_KEY_CHARACTERS: Final = 40
_MOST_BYTES: Final = 4096
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public key and its secret, as Z85 text."""

    public: str
    secret: str = field(repr=False)


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    public: str
    secret: str


def require_curve(
    version: tuple[int, int, int] = zmq.zmq_version_info(), *, has: bool = zmq.has("curve")
) -> None:
    """Refuse a libzmq that cannot keep strangers out.

    Args:
        version: Of libzmq.
        has: Whether it was built with CURVE.

    Raises:
        ConfigurationError: It is too old, or was built without encryption.
    """
    if version < _OLDEST_ZMQ:
        raise ConfigurationError(
            f"libzmq {'.'.join(map(str, version))} has known security holes, "
            f"{'.'.join(map(str, _OLDEST_ZMQ))} or later is needed: install a newer pyzmq"
        )
    if not has:
        raise ConfigurationError(
            "this libzmq was built without CURVE, so connections between hosts cannot be encrypted: "
            "install the pyzmq wheel, or build libzmq with libsodium"
        )


def make_pair() -> KeyPair:
    """A new pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def raw(key: str) -> bytes:
    """The 32 bytes of a key."""
    return z85.decode(key)


def make_key_directory(path: str) -> None:
    """Make a directory that only this user can enter; one that is there is checked.

    Raises:
        ConfigurationError: It cannot be made, or somebody else may enter it.
    """
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        _check(path, os.lstat(path), stat.S_ISDIR, "directory")
    except OSError as error:
        raise ConfigurationError(f"directory {path} for keys cannot be made: {error.strerror}") from error


def write_pair(directory: str, name: str, pair: KeyPair) -> str:
    """Write a pair into a new file; returns its path.

    Raises:
        ConfigurationError: There is something of that name, or the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a key file")
    path = os.path.join(directory, f"{name}.key")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(_KeyFile(pair.public, pair.secret)))
    except OSError as error:
        raise ConfigurationError(f"key file {path} cannot be written: {error.strerror}") from error
    return path


def load_pair(path: str) -> KeyPair:
    """Read a pair, unless others may have read or changed it.

    Raises:
        ConfigurationError: What is wrong with the file or with its directory.
    """
    directory = os.path.dirname(os.path.abspath(path))
    try:
        _check(directory, os.lstat(directory), stat.S_ISDIR, "directory")
        # Nonblocking: a pipe in its place must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check(path, os.fstat(descriptor), stat.S_ISREG, "regular file")
            data = os.read(descriptor, _MOST_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = "is a symbolic link" if os.path.islink(path) else f"cannot be read: {error.strerror}"
        raise ConfigurationError(f"key file {path} {reason}") from error
    return _parse(path, data)


def _check(path: str, found: os.stat_result, is_right: Callable[[int], bool], kind: str) -> None:
    if not is_right(found.st_mode):
        raise ConfigurationError(f"{path} is not a {kind}, which keys need")
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {found.st_uid}, not to user {os.geteuid()}, "
            f"so its keys are not used: remove it"
        )
    if found.st_mode & _OTHERS:
        raise ConfigurationError(
            f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, so others may read or change keys there: "
            f"remove it, for its keys are no secret any more"
        )


def _parse(path: str, data: bytes) -> KeyPair:
    try:
        content = msgspec.json.decode(data, type=_KeyFile)
        is_pair = zmq.curve_public(content.secret.encode()).decode() == content.public
    except (ValueError, zmq.ZMQError):  # msgspec's errors are ValueErrors
        is_pair, content = False, _KeyFile("", "")
    if not is_pair or len(content.public) != _KEY_CHARACTERS:
        raise ConfigurationError(f"key file {path} does not hold a pair of keys: it is damaged")
    return KeyPair(content.public, content.secret)
