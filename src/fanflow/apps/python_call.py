"""Runs one call of a python app where its task runs, when there is more to it than the function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import cast

from fanflow.apps.task_files import check_files


class CoroutineCall:
    """Runs an `async def` function to its end, in an event loop of its own.

    Args:
        function: Returns a coroutine.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function

    def __call__(self, *args: object, **kwargs: object) -> object:
        return asyncio.run(cast("Coroutine[object, object, object]", self.function(*args, **kwargs)))

    def __reduce__(self) -> tuple[object, ...]:
        return (CoroutineCall, (self.function,))


class PythonCall:
    """Checks the call's files, and passes on the special keywords that the function has a place for.

    Args:
        name: The app's name, for messages.
        function: The app's function.
        dropped: Special keywords that the function does not take.
    """

    __slots__ = ("dropped", "function", "name")

    def __init__(self, name: str, function: Callable[..., object], dropped: frozenset[str]) -> None:
        self.name = name
        self.function = function
        self.dropped = dropped

    def __call__(self, *args: object, **kwargs: object) -> object:
        inputs = cast("Sequence[object]", kwargs.get("inputs") or ())
        outputs = cast("Sequence[object]", kwargs.get("outputs") or ())
        check_files(self.name, inputs, outputs)
        for keyword in self.dropped & kwargs.keys():
            del kwargs[keyword]
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[object, ...]:
        return (PythonCall, (self.name, self.function, self.dropped))
