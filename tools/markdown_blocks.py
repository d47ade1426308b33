"""Reads the fenced code blocks of a Markdown file, and which of them are to be run."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
NOT_RUN = re.compile(r"<!--\s*not run:(?P<reason>.*?)-->")

PYTHON = {"python", "py", "python3"}
SHELL = {"console", "bash", "sh", "shell"}


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the line of its first line of code, counted from 1."""

    language: str
    line: int
    code: str
    reason_not_run: str | None


def read_blocks(text: str) -> list[Block]:
    """All fenced blocks in order; `ValueError` for a fence never closed or a skip without a reason."""
    lines = text.splitlines()
    blocks: list[Block] = []
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        start = number
        while number < len(lines) and not closes(lines[number], opening):
            number += 1
        if number == len(lines):
            raise ValueError(f"line {start}: the code block is never closed")
        code = [line.removeprefix(opening["indent"]) for line in lines[start:number]]
        reason = reason_not_run(lines[: start - 1])
        blocks.append(Block(opening["language"].lower(), start + 1, "\n".join(code) + "\n", reason))
        number += 1
    return blocks


def closes(line: str, opening: re.Match[str]) -> bool:
    stripped = line.strip()
    return stripped.startswith(opening["fence"]) and not stripped.strip(opening["fence"][0])


def reason_not_run(above: list[str]) -> str | None:
    """The reason in a `<!-- not run: ... -->` comment on the last written line above a block."""
    last = next((line for line in reversed(above) if line.strip()), "")
    marker = NOT_RUN.search(last)
    if marker is None:
        return None
    reason = marker["reason"].strip()
    if not reason:
        raise ValueError(f"line {len(above)}: 'not run' needs a reason")
    return reason


def python_script(blocks: list[Block]) -> str:
    """The Python blocks that are to be run, as one program whose line numbers are those of the page."""
    script: list[str] = []
    for block in blocks:
        if block.language in PYTHON and block.reason_not_run is None:
            script += [""] * (block.line - 1 - len(script))
            script += block.code.splitlines()
    return "\n".join(script) + "\n" if script else ""


def make_goals(makefile: Path) -> set[str]:
    """The goals a Makefile has rules for."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile.read_text(encoding="utf-8"), flags=re.MULTILINE))


def make_commands(blocks: list[Block]) -> list[tuple[int, str]]:
    """Line and goal of every `make GOAL` in the shell blocks."""
    found: list[tuple[int, str]] = []
    for block in blocks:
        if block.language in SHELL:
            for number, line in enumerate(block.code.splitlines(), start=block.line):
                found += [(number, goal) for words in commands(line) for goal in goals_of(words)]
    return found


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of one shell line, without prompt and comment."""
    words = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    command: list[str] = []
    for word in words:
        if set(word) <= set("();<>|&"):
            yield command
            command = []
        else:
            command.append(word)
    yield command


def goals_of(command: list[str]) -> list[str]:
    if command[:1] != ["make"]:
        return []
    return [word for word in command[1:] if "=" not in word and not word.startswith("-")]
