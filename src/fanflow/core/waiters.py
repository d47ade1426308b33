"""Who waits until all tasks submitted so far have ended."""

from __future__ import annotations

from collections.abc import Callable


class _Waiter:
    __slots__ = ("epoch", "on_done", "remaining")

    def __init__(self, epoch: int, remaining: int, on_done: Callable[[], None]) -> None:
        self.epoch, self.remaining, self.on_done = epoch, remaining, on_done


class Waiters:
    """Counts tasks down for each waiter, at no cost while there is none.

    Every task bears the epoch in which it came; each waiter ends an epoch, so that it counts
    exactly the tasks that came before it.
    """

    __slots__ = ("_waiters", "epoch")

    def __init__(self) -> None:
        self.epoch = 0
        """Of tasks that come now."""
        self._waiters: list[_Waiter] = []

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def add(self, remaining: int, on_done: Callable[[], None]) -> None:
        """One more, who waits for so many open tasks (at least 1)."""
        self._waiters.append(_Waiter(self.epoch, remaining, on_done))
        self.epoch += 1

    def count_down(self, epoch: int) -> list[Callable[[], None]]:
        """A task of this epoch has ended; the waiters that this satisfies."""
        satisfied: list[Callable[[], None]] = []
        for waiter in self._waiters:
            if epoch <= waiter.epoch:
                waiter.remaining -= 1
                if waiter.remaining == 0:
                    satisfied.append(waiter.on_done)
        if satisfied:
            self._waiters = [waiter for waiter in self._waiters if waiter.remaining]
        return satisfied

    def dismiss(self) -> list[Callable[[], None]]:
        """Nobody counts any more; all who waited."""
        waiters, self._waiters = self._waiters, []
        return [waiter.on_done for waiter in waiters]
