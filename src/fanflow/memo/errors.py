"""The error of a value that has no memo key."""

from __future__ import annotations

from fanflow.errors import FanflowError

ROOT = "obj"
"""How a path starts that does not know yet which argument it is in."""

_MOST_PATH = 400


class MemoKeyError(FanflowError, ValueError):
    """A call has no memo key, since a part of it cannot be told from others.

    Args:
        reason: What is wrong with that part.
        path: Where it is, such as `args[0].config['x']`.
        hint: What to do about it.
        app: Name of the app that was called, or empty.
    """

    def __init__(self, reason: str, path: str, hint: str, app: str = "") -> None:
        self.reason, self.path, self.hint, self.app = reason, path, hint, app
        shown = path if len(path) <= _MOST_PATH else f"{path[:200]}...{path[-150:]}"
        of_app = f" of app {app!r}" if app else ""
        super().__init__(f"{reason} at {shown}{of_app}; {hint}")

    def under(self, path: str) -> MemoKeyError:
        """The same error, seen from a place that contains the value it is about."""
        return MemoKeyError(self.reason, path + self.path.removeprefix(ROOT), self.hint)

    def of_app(self, app: str) -> MemoKeyError:
        """The same error, of a call of an app."""
        return MemoKeyError(self.reason, self.path, self.hint, app)


def unknown_type(kind: type, path: str) -> MemoKeyError:
    """The error of a value whose type nobody has registered."""
    return MemoKeyError(
        f"unknown type for memoization: {kind}",
        path,
        f"register a function that turns a {kind.__name__} into bytes with "
        f"@id_for_memo.register({kind.__name__}), or name the argument in ignore_for_cache",
    )
