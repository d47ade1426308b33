"""Results of calls that are recorded under a key, and calls that wait for an equal one. Pure."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Recorded(NamedTuple):
    """An equal call has ended well."""

    value: object


class Settled(NamedTuple, Generic[T]):
    """What follows from the end of the call that owned a key."""

    recalled: list[T]
    """Calls that share its result."""
    next_owner: T | None
    """After a failure: the call that is to run now."""


class MemoTable(Generic[T]):
    """For each key at most one running call, its owner; equal calls follow it. Failures are not recorded."""

    def __init__(self) -> None:
        self._recorded: dict[str, Recorded] = {}
        self._owners: dict[str, T] = {}
        self._followers: dict[str, list[T]] = {}

    def __len__(self) -> int:
        return len(self._recorded)

    def ask(self, key: str, call: T) -> Recorded | bool:
        """A call has this key: its recorded result, or whether it is to run; False: it follows another."""
        recorded = self._recorded.get(key)
        if recorded is not None:
            return recorded
        if key in self._owners:
            self._followers.setdefault(key, []).append(call)
            return False
        self._owners[key] = call
        return True

    def returned(self, key: str, call: T, value: object) -> Settled[T]:
        """A call with this key ended well."""
        if self._owners.get(key) is not call:
            return Settled([], None)
        del self._owners[key]
        self._recorded[key] = Recorded(value)
        return Settled(self._followers.pop(key, []), None)

    def failed(self, key: str, call: T) -> Settled[T]:
        """A call with this key ended badly: its first follower takes its place."""
        if self._owners.get(key) is not call:
            followers = self._followers.get(key)
            if followers is not None and call in followers:
                followers.remove(call)
            return Settled([], None)
        del self._owners[key]
        followers = self._followers.get(key, [])
        if not followers:
            self._followers.pop(key, None)
            return Settled([], None)
        owner = followers.pop(0)
        self._owners[key] = owner
        return Settled([], owner)
