"""Tracebacks that travel: frames as plain data, text for people, and real tracebacks made from them."""

from __future__ import annotations

import importlib
import linecache
import os
import types
from typing import Any, NamedTuple

_MOST_FRAMES = 40
"""Frames kept of one traceback: half from its start, half from its end."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TESTING = os.path.join(_PACKAGE, "testing") + os.sep
"""Tasks of the conformance suite live there; they count as the user's."""


class FrameSummary(NamedTuple):
    """One line of a traceback."""

    filename: str
    line: int
    function: str
    source: str
    """Text of the line, or empty where the source is not at hand."""


def without_own_frames(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """The traceback from the first frame that is not fanflow's on; None when all of them are."""
    while traceback is not None and _is_own(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


def _is_own(filename: str) -> bool:
    return filename.startswith(_PACKAGE) and not filename.startswith(_TESTING)


def summarise(traceback: types.TracebackType | None) -> list[FrameSummary]:
    """The frames as plain data, outermost first, the middle of a deep traceback left out."""
    found: list[tuple[types.CodeType, int]] = []
    while traceback is not None:
        found.append((traceback.tb_frame.f_code, traceback.tb_lineno or 0))
        traceback = traceback.tb_next
    if len(found) > _MOST_FRAMES:
        half = _MOST_FRAMES // 2
        found = found[:half] + found[-half:]
    return [
        FrameSummary(
            code.co_filename, line, code.co_name, linecache.getline(code.co_filename, line).strip()[:500]
        )
        for code, line in found
    ]


def text_of(frames: list[FrameSummary]) -> str:
    """The frames in Python's own form, without a header."""
    lines: list[str] = []
    for index, frame in enumerate(frames):
        if index == _MOST_FRAMES // 2 and len(frames) == _MOST_FRAMES:
            lines.append("  ... (frames may be left out here)\n")
        lines.append(f'  File "{frame.filename}", line {frame.line}, in {frame.function}\n')
        if frame.source:
            lines.append(f"    {frame.source}\n")
    return "".join(lines)


def rebuild(frames: list[FrameSummary]) -> types.TracebackType | None:
    """A traceback that Python can print and debuggers can walk; its frames hold no variables."""
    if not frames:
        return None
    link: Any = None
    for frame in reversed(frames):
        code = types.SimpleNamespace(co_filename=frame.filename, co_name=frame.function)
        link = types.SimpleNamespace(
            tb_frame=types.SimpleNamespace(
                f_globals={"__file__": frame.filename, "__name__": "?"}, f_code=code, f_lineno=frame.line
            ),
            tb_lineno=frame.line,
            tb_next=link,
        )
    tblib: Any = importlib.import_module("tblib")  # late, since failures are rare; it has no type stubs
    rebuilt: types.TracebackType | None = tblib.Traceback(link).as_traceback()
    return rebuilt
