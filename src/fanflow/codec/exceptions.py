"""Exceptions to bytes where they were raised, and back where they are waited for."""

from __future__ import annotations

import itertools
import pickle
import types
from typing import Any, NamedTuple

from fanflow.codec.exception_copies import MOST_TEXT, copy_bytes, cut, text_of
from fanflow.codec.pickling import PROTOCOL, reason_of
from fanflow.codec.tracebacks import FrameSummary, rebuild, summarise, without_own_frames
from fanflow.codec.tracebacks import text_of as text_of_frames
from fanflow.errors import FanflowError, RemoteError, TaskExitedError

_MOST_LINKS = 10
"""Exceptions of a cause chain that are sent."""

_MOST_NOTES = 20

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


class _Link(NamedTuple):
    """One exception of a chain, in plain data: it unpickles wherever fanflow is."""

    pickled: bytes | None
    """Proven to unpickle in the process that made it; None: only the text could be sent."""
    type_name: str
    message: str
    notes: list[str]
    frames: list[FrameSummary]
    is_cause: bool
    """Whether the next link is the cause of this one; else it is the context."""
    hides_context: bool


def pack_error(error: BaseException) -> bytes:
    """Bytes from which `unpack_error` makes the exception again, or the nearest thing; never raises."""
    try:
        links = [_link_of(step) for step in _chain_of(as_task_error(error))]
        return pickle.dumps((_text_of_chain(links), links), PROTOCOL)
    except BaseException as trouble:  # noqa: BLE001 - an exception that fights back; its name must do
        link = _Link(None, _name_of(type(error)), f"<{reason_of(trouble)}>", [], [], True, True)
        return pickle.dumps(("", [link]), PROTOCOL)


def unpack_error(data: bytes | memoryview) -> BaseException:
    """The exception with its cause chain; its traceback is the remote one, and a note has it as text.

    Raises:
        Exception: `data` was not made by `pack_error`.
    """
    text, links = pickle.loads(data)
    first = _rebuild(links[0], text)
    above = first
    for link, next_link in itertools.pairwise(links):
        error = _rebuild(next_link, "")
        _set(above, "__cause__" if link.is_cause else "__context__", error)
        _set(above, "__suppress_context__", link.hides_context)
        above = error
    return first


def as_task_error(error: BaseException) -> BaseException:
    """`TaskExitedError` in place of what would end the process of whoever asks for the result."""
    if not isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return error
    try:
        shown = cut(repr(error))
    except Exception:  # noqa: BLE001 - a subclass's own code
        shown = _name_of(type(error))
    exited = TaskExitedError(shown)
    exited.__cause__ = error.__cause__
    return exited.with_traceback(error.__traceback__)


def _chain_of(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and len(chain) < _MOST_LINKS and not any(step is seen for seen in chain):
        chain.append(step)
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return chain


def _link_of(error: BaseException) -> _Link:
    pickled, left_out = copy_bytes(error)
    notes = [cut(note) for note in _notes_of(error)[:_MOST_NOTES]]
    if left_out:
        notes.append(f"attributes that could not be sent back: {', '.join(left_out)}")
    return _Link(
        pickled,
        _name_of(type(error)),
        text_of(error),
        notes,
        summarise(shown_traceback(error)),
        error.__cause__ is not None,
        error.__suppress_context__,
    )


def shown_traceback(error: BaseException) -> types.TracebackType | None:
    """The traceback as its user should see it: from the first frame that is not fanflow's on."""
    whole = error.__traceback__
    shown = without_own_frames(whole)
    if shown is not None or isinstance(error, FanflowError):
        return shown
    while whole is not None and whole.tb_next is not None:
        whole = whole.tb_next
    return whole  # raised by C code that we called, or a bug of ours: the place is worth a line


def _notes_of(error: BaseException) -> list[str]:
    notes: Any = getattr(error, "__notes__", None)
    try:
        return [note for note in notes if isinstance(note, str)]
    except Exception:  # noqa: BLE001 - usually there are none; else a class has put something of its own there
        return []


def _name_of(cls: type) -> str:
    # Not as `cls.__module__`: a metaclass can forbid even that.
    module, name = type.__getattribute__(cls, "__module__"), type.__getattribute__(cls, "__qualname__")
    return str(name) if module in {"builtins", "__main__"} else f"{module}.{name}"


def _text_of_chain(links: list[_Link]) -> str:
    """What Python would print for the chain, without the notes; empty when no frame is the user's."""
    if not links[0].frames:
        return ""
    blocks: list[str] = []
    for link in reversed(links):
        if blocks:
            blocks.append(_CAUSE if link.is_cause else _CONTEXT)
        header = "Traceback (most recent call last):\n" if link.frames else ""
        # The first link's text is the exception's own; a long one need not be there twice.
        message = link.message if len(link.message) < MOST_TEXT // 8 else link.message[:1000] + "..."
        blocks.append(f"{header}{text_of_frames(link.frames)}{link.type_name}: {message}\n")
    return cut("".join(blocks))


def _rebuild(link: _Link, text: str) -> BaseException:
    error, trouble = _loaded(link.pickled)
    notes = list(link.notes)
    if error is None:
        error = RemoteError(link.type_name, link.message, text)
        notes += [f"here it cannot be rebuilt: {trouble}"] if trouble else []
        notes += _notes_of(error)
    elif text:
        notes.append(f"remote traceback:\n{text}")
    if notes:
        _set(error, "__notes__", notes)
    return BaseException.with_traceback(error, rebuild(link.frames))


def _loaded(pickled: bytes | None) -> tuple[BaseException | None, str]:
    if pickled is None:
        return None, ""
    try:
        error = pickle.loads(pickled)
    except BaseException as trouble:  # noqa: BLE001 - the class's own code, or a module that is missing here
        return None, reason_of(trouble)
    if isinstance(error, BaseException):
        return error, ""
    return None, f"unpickling it gave a {type(error).__name__}"


def _set(error: BaseException, name: str, value: Any) -> None:
    BaseException.__setattr__(error, name, value)  # past a __setattr__ that forbids it
