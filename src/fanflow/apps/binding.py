"""Checks the arguments of calls, by a binder that is made once per app."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

_P = inspect.Parameter

SPECIAL_KEYWORDS = frozenset(
    {"inputs", "outputs", "stdout", "stderr", "walltime", "parsl_resource_specification", "label"}
)
"""Keyword arguments of every app, whether its function has parameters of these names or not."""


class Binder:
    """Says whether a call fits a function's signature.

    `inspect.Signature.bind` costs 9 us a call; this costs 0.3 us while calls fit, and asks `bind`
    for the message when one does not.

    Args:
        function: The app's function. One whose signature cannot be read takes every call.
        name: For messages.
    """

    __slots__ = (
        "_any_keyword",
        "_keyword_only",
        "_keywords",
        "_least",
        "_most",
        "_names",
        "_positional",
        "_signature",
        "name",
    )

    def __init__(self, function: Callable[..., object], name: str) -> None:
        self.name = name
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            signature = inspect.Signature([_P("args", _P.VAR_POSITIONAL), _P("kwargs", _P.VAR_KEYWORD)])
        self._signature = signature
        parameters = list(signature.parameters.values())
        kinds = {parameter.kind for parameter in parameters}
        flat = [one for one in parameters if one.kind in (_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD)]
        self._positional = tuple(flat)
        self._least = sum(one.default is _P.empty for one in flat)
        self._most = len(flat) if _P.VAR_POSITIONAL not in kinds else 1 << 62
        self._keyword_only = frozenset(
            one.name for one in parameters if one.kind is _P.KEYWORD_ONLY and one.default is _P.empty
        )
        self._any_keyword = _P.VAR_KEYWORD in kinds
        self._names = frozenset(
            one.name for one in parameters if one.kind in (_P.POSITIONAL_OR_KEYWORD, _P.KEYWORD_ONLY)
        )
        self._keywords = self._names | SPECIAL_KEYWORDS

    @property
    def defaults(self) -> dict[str, object]:
        """Defaults of parameters that bear the name of a special keyword."""
        return {
            one.name: one.default
            for one in self._signature.parameters.values()
            if one.name in SPECIAL_KEYWORDS and one.default is not _P.empty
        }

    def takes(self, keyword: str) -> bool:
        """Whether the function has a place for this keyword argument."""
        return self._any_keyword or keyword in self._names

    def given(self, count: int) -> frozenset[str]:
        """Names of the parameters that so many positional arguments fill."""
        return frozenset(parameter.name for parameter in self._positional[:count])

    def check(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Whether the function can be called like this.

        Raises:
            TypeError: It cannot; the message is Python's own, with the app's name.
        """
        count = len(args)
        if not kwargs:
            if self._least <= count <= self._most and not self._keyword_only:
                return
        elif self._fits(count, kwargs):
            return
        self._explain(args, kwargs)

    def _fits(self, count: int, kwargs: Mapping[str, object]) -> bool:
        if count > self._most or not self._keyword_only <= kwargs.keys():
            return False
        if not self._any_keyword and not kwargs.keys() <= self._keywords:
            return False
        for index, parameter in enumerate(self._positional):
            by_name = parameter.kind is not _P.POSITIONAL_ONLY and parameter.name in kwargs
            if index < count:
                if by_name:
                    return False
            elif not by_name and parameter.default is _P.empty:
                return False
        return True

    def _explain(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        named = {name: value for name, value in kwargs.items() if self.takes(name)}
        named |= {name: kwargs[name] for name in kwargs.keys() - SPECIAL_KEYWORDS}
        try:
            self._signature.bind(*args, **named)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}; its signature is {self.name}{self._signature}") from None
