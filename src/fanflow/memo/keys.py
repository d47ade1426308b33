"""The key of a call: equal for calls of one function with equal arguments, however they are spelled."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from fanflow.memo.encoder import Encoder, Rules
from fanflow.memo.encoding import text
from fanflow.memo.errors import MemoKeyError
from fanflow.memo.ids import current_rules

__all__ = ["MemoKeyError", "check_ignored", "key_fields", "memo_key"]

_FORMAT = b"fanflow memo 1"
_DIGEST_BYTES = 20
_NONE: Final = inspect.Parameter.empty
_KINDS = inspect.Parameter

CALL_KEYWORDS: Final = frozenset(
    {"inputs", "outputs", "stdout", "stderr", "walltime", "parsl_resource_specification", "label"}
)
"""Keyword arguments that every app takes, whether its function has parameters of these names or not."""

_UNSEEN = frozenset({"walltime", "parsl_resource_specification", "label"})
"""Those that say how to run a function; they count only if the function gets them."""

_DESTINATIONS = frozenset({"outputs", "stdout", "stderr"})
"""Those that name what a call writes: of their files only the place counts."""

_LOGS = frozenset({"stdout", "stderr"})
_AUTO_LOGNAME = -1


_Field = tuple[str, object, int | str, object]
"""One argument: label, value, where it was given (position or keyword), default.

The label is the parameter's name, `*0` for further positional arguments, `**name` for further keywords.
"""

_tag = lru_cache(4096)(text)


class _Plan:
    """What is the same for all calls of one function."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.origin = _origin(function)
        self.is_known = False
        self.flat: list[str] = []
        self.names: list[str] = []
        self.by_keyword: frozenset[str] = frozenset()
        self.defaults: dict[str, object] = {}
        self.any_positional = self.any_keyword = ""
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            return
        self.is_known = True
        for one in parameters:
            if one.kind is _KINDS.VAR_POSITIONAL:
                self.any_positional = one.name
                continue
            if one.kind is _KINDS.VAR_KEYWORD:
                self.any_keyword = one.name
                continue
            self.names.append(one.name)
            if one.kind is not _KINDS.KEYWORD_ONLY:
                self.flat.append(one.name)
            if one.default is not _NONE:
                self.defaults[one.name] = one.default
        self.by_keyword = frozenset(one.name for one in parameters if _takes_keyword(one))

    def check(self, app: str, ignore: Sequence[str]) -> None:
        if not self.is_known or self.any_keyword:
            return
        known = {*self.names, self.any_positional} | CALL_KEYWORDS
        for name in ignore:
            if name not in known:
                raise ValueError(
                    f"app {app!r}: ignore_for_cache names {name!r}, which its function does not have; "
                    f"its parameters are: {', '.join(self.names) or 'none'}"
                )

    def fields(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> list[_Field]:
        """The arguments, in an order that does not depend on how they are spelled."""
        count, flat, defaults = len(args), self.flat, self.defaults
        if not self._fits(count, kwargs):
            return _as_spelled(args, kwargs)
        positional: list[_Field] = [
            (name, value, place, defaults.get(name, _NONE))
            for place, (name, value) in enumerate(zip(flat, args, strict=False))
        ]
        further: list[_Field] = [
            (f"*{place - len(flat)}", args[place], place, _NONE) for place in range(len(flat), count)
        ]
        if not kwargs:
            return positional + further
        named: list[_Field] = [
            (name, kwargs[name], name, defaults.get(name, _NONE))
            for name in self.names
            if name in self.by_keyword & kwargs.keys()
        ]
        rest: list[_Field] = [
            (f"**{name}", kwargs[name], name, _NONE) for name in sorted(kwargs.keys() - self.by_keyword)
        ]
        return positional + named + further + rest

    def _fits(self, count: int, kwargs: Mapping[str, object]) -> bool:
        if not self.is_known or (count > len(self.flat) and not self.any_positional):
            return False
        if not kwargs:
            return True
        if not self.any_keyword and not kwargs.keys() <= self.by_keyword | CALL_KEYWORDS:
            return False
        return not any(name in kwargs and name in self.by_keyword for name in self.flat[:count])

    def counts(self, label: str, value: object, ignore: Sequence[str]) -> bool:
        """Whether an argument tells calls apart."""
        if label[0] != "*":
            name = label
        elif label[1] != "*":
            return self.any_positional not in ignore
        else:
            name = label[2:]
            if self.any_keyword in ignore or (name in _UNSEEN and not self.any_keyword):
                return False
        if name in ignore:
            return False
        is_log = name in _LOGS
        return not (is_log and type(value) is int and value == _AUTO_LOGNAME)


def _takes_keyword(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)


def _as_spelled(args: tuple[object, ...], kwargs: Mapping[str, object]) -> list[_Field]:
    """Arguments of a function whose parameters are not known, or which they do not fit."""
    fields: list[_Field] = [(f"*{place}", value, place, _NONE) for place, value in enumerate(args)]
    return fields + [(f"**{name}", kwargs[name], name, _NONE) for name in sorted(kwargs)]


# By identity: equal callables need not have equal parameters. An entry goes with its function.
_plans: dict[int, tuple[weakref.ref[Callable[..., object]], _Plan]] = {}


def _origin(function: Callable[..., object]) -> tuple[object, ...]:
    """What changes when a function is reloaded in place."""
    names = ("__code__", "__defaults__", "__kwdefaults__")
    return tuple([getattr(function, name, None) for name in names])


def _plan(function: Callable[..., object]) -> _Plan:
    key = id(function)
    known = _plans.get(key)
    if known is not None and known[0]() is function:
        plan = known[1]
        if all(map(_is, plan.origin, _origin(function))):
            return plan
    plan = _Plan(function)
    with contextlib.suppress(TypeError):  # where nothing can watch it end, it is planned anew each time
        _plans[key] = (weakref.ref(function, lambda ref: _forget(key, ref)), plan)
    return plan


def _is(one: object, other: object) -> bool:
    return one is other


def _forget(key: int, ref: weakref.ref[Callable[..., object]]) -> None:
    known = _plans.get(key)
    if known is not None and known[0] is ref:
        del _plans[key]


def check_ignored(function: Callable[..., object], name: str, ignore: Sequence[str]) -> None:
    """Whether a function has the arguments that are to be ignored.

    Args:
        function: The app's function. One that takes any keyword, or whose parameters cannot be read, has all.
        name: Name of the app.
        ignore: Names of parameters, or of the keywords that every app takes.

    Raises:
        ValueError: It has no such parameter; the message says which there are.
    """
    _plan(function).check(name, ignore)


def memo_key(
    function: Callable[..., object],
    name: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    ignore: Sequence[str] = (),
) -> str:
    """The key of one call, as 40 hexadecimal digits.

    Equal in every process and run for calls of the same function with equal arguments (see `id_for_memo`
    for what is equal). Whether an argument is given by position or by name, or spelled out though it
    equals its default, does not count. Of `outputs`, `stdout` and `stderr` only the places count;
    `walltime`, `label` and `parsl_resource_specification` count only if the function gets them.

    Args:
        function: The user's function, for `fanflow.memo.functions` to tell from others.
        name: Name of the app; part of the key.
        args: Positional arguments, with results in place of futures.
        kwargs: Keyword arguments, likewise.
        ignore: Names of arguments that do not count, however they are given. The name of a `*args` or
            `**kwargs` parameter stands for all of them.

    Raises:
        MemoKeyError: An argument, a default or a closure variable has an unknown type, contains itself, or
            cannot be read.
        ValueError: `ignore` names an argument that the function does not have.
    """
    key = blake2b(_FORMAT, digest_size=_DIGEST_BYTES)
    for label, encoding in _encodings(function, name, args, kwargs, ignore):
        key.update(_tag(label) + encoding)
    return key.hexdigest()


def key_fields(
    function: Callable[..., object],
    name: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    ignore: Sequence[str] = (),
) -> list[tuple[str, str]]:
    """What the key of a call is made from: `app`, `function`, then its arguments, each with a digest.

    Two calls have different keys because of the fields that differ. Arguments and errors are those of
    `memo_key`.
    """
    return [
        (label, blake2b(encoding, digest_size=_DIGEST_BYTES).hexdigest())
        for label, encoding in _encodings(function, name, args, kwargs, ignore)
    ]


def _encodings(
    function: Callable[..., object],
    name: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    ignore: Sequence[str],
) -> Iterator[tuple[str, bytes]]:
    plan = _plan(function)
    if ignore:
        plan.check(name, ignore)
    rules = current_rules()
    try:
        yield "app", text(name)
        yield "function", Encoder(rules).encode(function, "function")
        for label, value, given, default in plan.fields(args, kwargs):
            if value is default or not plan.counts(label, value, ignore):
                continue
            leaf = rules.leaves.get(type(value))
            encoding = leaf(value) if leaf is not None else _encode(rules, label, value, given)
            if type(default) is not type(value) or encoding != _encode_default(rules, label, default):
                yield label, encoding
    except MemoKeyError as error:
        raise error.of_app(name) from error.__cause__


def _encode(rules: Rules, label: str, value: object, given: int | str) -> bytes:
    path = f"args[{given}]" if isinstance(given, int) else f"kwargs[{given!r}]"
    return Encoder(rules, label.lstrip("*") in _DESTINATIONS).encode(value, path)


def _encode_default(rules: Rules, label: str, default: object) -> bytes | None:
    try:
        return _encode(rules, label, default, label)
    except MemoKeyError:
        return None  # it equals nothing but itself
