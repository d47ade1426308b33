"""Runs one call of a python app where its task runs, when there is more to it than the function."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import cast

from fanflow.apps.task_files import check_files
from fanflow.errors import AppTimeout


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - not whether, but what
    )


class CoroutineCall:
    """Runs an `async def` function to its end, in an event loop of its own.

    Args:
        name: The app's name, for messages.
        function: Returns a coroutine.
    """

    __slots__ = ("function", "name")

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self.name = name
        self.function = function

    def __call__(self, *args: object, **kwargs: object) -> object:
        return asyncio.run(self._coroutine(args, kwargs))

    def limited(self, walltime: float, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """The same with a limit in seconds. The loop keeps it: from outside, one that waits cannot be woken.

        Raises:
            AppTimeout: The walltime was over.
        """
        return asyncio.run(self._limited(walltime, self._coroutine(args, kwargs)))

    def _coroutine(
        self, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Coroutine[object, object, object]:
        return cast("Coroutine[object, object, object]", self.function(*args, **kwargs))

    async def _limited(self, walltime: float, coroutine: Coroutine[object, object, object]) -> object:
        limit = asyncio.timeout(walltime)
        try:
            async with limit:
                return await coroutine
        except TimeoutError as error:
            if not limit.expired():
                raise  # the function's own
            raise AppTimeout(f"App {self.name} exceeded walltime: {walltime} seconds") from error

    def __reduce__(self) -> tuple[object, ...]:
        return (CoroutineCall, (self.name, self.function))


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
        walltime = cast("float | None", kwargs.get("walltime"))
        check_files(self.name, inputs, outputs)
        for keyword in self.dropped & kwargs.keys():
            del kwargs[keyword]
        if walltime is not None and isinstance(self.function, CoroutineCall):
            return self.function.limited(walltime, args, kwargs)
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[object, ...]:
        return (PythonCall, (self.name, self.function, self.dropped))
