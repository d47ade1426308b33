"""Futures inside arguments: finding them, and putting their results in their places.

Pure functions over values. `deep` ones look inside exact lists, tuples, sets, dicts (keys and values) and
dataclass instances, however nested, cycles included; `shallow` ones look at the argument itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from copy import copy
from typing import cast

from fanflow.errors import DataFlowException

LEAVES = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray, range, slice})
"""Types that can hold no future; one set look-up settles most arguments."""

CONTAINERS = frozenset({list, tuple, set, frozenset, dict})

Futures = list["Future[object]"]


def gather_shallow(argument: object) -> Futures:
    """The argument itself, if it is a future."""
    return [cast("Future[object]", argument)] if isinstance(argument, Future) else []


def unwrap_shallow(argument: object) -> object:
    """The result, if the argument is a future; else the argument."""
    return _result(cast("Future[object]", argument)) if isinstance(argument, Future) else argument


def gather_deep(argument: object) -> Futures:
    """All futures inside, each once, in the order in which they are met."""
    found: dict[int, Future[object]] = {}
    seen: set[int] = set()
    stack: list[object] = [argument]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind in LEAVES:
            continue
        if isinstance(item, Future):
            future = cast("Future[object]", item)
            found.setdefault(id(future), future)
        elif (parts := _parts(item, kind)) is not None and id(item) not in seen:
            seen.add(id(item))
            stack.extend(reversed(parts))
    return list(found.values())


def _parts(item: object, kind: type) -> list[object] | None:
    """What is directly inside a container that is looked into, or None."""
    if kind is dict:
        mapping = cast("dict[object, object]", item)
        return [*mapping.keys(), *mapping.values()]
    if kind in CONTAINERS:
        return list(cast("Iterable[object]", item))
    if dataclasses.is_dataclass(kind):
        return [getattr(item, field.name, None) for field in dataclasses.fields(kind)]
    return None


def unwrap_deep(argument: object) -> object:
    """The argument with results in place of futures.

    Containers with no future inside stay the same objects; the others are copied.

    Raises:
        DataFlowException: A future inside is not done: it was put there after the call.
    """
    if isinstance(argument, Future):
        return _result(cast("Future[object]", argument))
    holders = _holders(argument)
    return _Unwrapping(holders).whole(argument) if holders else argument


def _holders(argument: object) -> set[int]:
    """Identities of the containers from which a future can be reached."""
    holders: list[int] = []
    inside: dict[int, list[int]] = {}
    """Part -> the containers that it is directly in."""
    seen: dict[int, object] = {}
    """Keeps what it has seen alive, so that no identity is used twice."""
    stack = [argument]
    while stack:
        item = stack.pop()
        parts = _parts(item, type(item))
        if parts is None or id(item) in seen:
            continue
        seen[id(item)] = item
        for part in parts:
            if isinstance(part, Future):
                holders.append(id(item))
            elif type(part) not in LEAVES:
                inside.setdefault(id(part), []).append(id(item))
                stack.append(part)
    found: set[int] = set()
    while holders:
        holder = holders.pop()
        if holder not in found:
            found.add(holder)
            holders.extend(inside.get(holder, ()))
    return found


class _Unwrapping:
    """One pass over one argument. A container that contains itself comes out containing its own copy.

    Args:
        holders: Identities of the containers to copy; the others stay the same objects.
    """

    def __init__(self, holders: set[int]) -> None:
        self._holders = holders
        self._copies: dict[int, object] = {}
        self._unfilled: list[tuple[object, object]] = []

    def whole(self, argument: object) -> object:
        result = self._value(argument)
        # Lists and dicts are filled here and not where they are met, so that deep ones need no stack.
        while self._unfilled:
            item, shell = self._unfilled.pop()
            if isinstance(shell, list):
                cast("list[object]", shell).extend([self._value(one) for one in cast("list[object]", item)])
            else:
                parts = cast("dict[object, object]", item).items()
                filled = [(self._value(key), self._value(part)) for key, part in parts]
                cast("dict[object, object]", shell).update(filled)
        return result

    def _value(self, item: object) -> object:
        if isinstance(item, Future):
            return _result(cast("Future[object]", item))
        if id(item) not in self._holders:
            return item
        if id(item) not in self._copies:
            made = self._copy(item)
            # A cycle may have made one meanwhile.
            self._copies.setdefault(id(item), made)
        return self._copies[id(item)]

    def _copy(self, item: object) -> object:
        kind = type(item)
        if kind is list or kind is dict:
            shell: object = [] if kind is list else {}
            self._copies[id(item)] = shell
            self._unfilled.append((item, shell))
            return shell
        if kind in CONTAINERS:
            rebuild = cast("Callable[[list[object]], object]", kind)
            return rebuild([self._value(part) for part in cast("Iterable[object]", item)])
        # Not dataclasses.replace: init=False fields and __post_init__ must not run again.
        same = copy(item)
        self._copies[id(item)] = same
        for field in dataclasses.fields(cast("type", kind)):
            part = getattr(item, field.name, None)
            value = self._value(part)
            if value is not part:
                object.__setattr__(same, field.name, value)
        return same


def _result(future: Future[object]) -> object:
    if not future.done():
        raise DataFlowException(
            f"an argument holds {future!r}, which is not done: it was put into a container after the call "
            f"that got the container, perhaps a future among its own inputs; "
            f"build the container first, then call the app"
        )
    return future.result(timeout=0)


def needs_walk(args: Iterable[object], kwargs: Mapping[str, object] | None) -> bool:
    """Whether any argument could hold a future: one set look-up per flat argument."""
    for argument in args:
        if type(argument) not in LEAVES:
            return True
    if kwargs:
        for argument in kwargs.values():
            if type(argument) not in LEAVES:
                return True
    return False


def gather_call(
    args: Iterable[object],
    kwargs: Mapping[str, object] | None,
    gather: Callable[[object], Futures],
) -> Futures:
    """The futures of a whole call, each once. `inputs` is looked into one level by every resolver."""
    found: dict[int, Future[object]] = {}

    def take(argument: object) -> None:
        if type(argument) not in LEAVES:
            for future in gather(argument):
                found.setdefault(id(future), future)

    for argument in args:
        take(argument)
    for name, argument in (kwargs or {}).items():
        if name == "inputs" and isinstance(argument, list | tuple):
            for item in cast("Iterable[object]", argument):
                take(item)
        else:
            take(argument)
    return list(found.values())


def unwrap_call(
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    unwrap: Callable[[object], object],
) -> tuple[tuple[object, ...], dict[str, object]]:
    """The whole call with results in place of futures."""
    plain = tuple([argument if type(argument) in LEAVES else unwrap(argument) for argument in args])
    named: dict[str, object] = {}
    for name, argument in kwargs.items():
        if name == "inputs" and isinstance(argument, list | tuple):
            named[name] = [unwrap(item) for item in cast("Iterable[object]", argument)]
        else:
            named[name] = argument if type(argument) in LEAVES else unwrap(argument)
    return plain, named
