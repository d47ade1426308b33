"""Writes the parts of the pages that are made from the code: `python -m tools.generated_parts`."""

import ast
import enum
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from fanflow.config.checks import OPTION_NAMES
from fanflow.config.options import Config
from fanflow.core.transitions import TRANSITIONS, Signal
from fanflow.model.states import FINAL_STATES, States

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"

ENGINE = (
    "10,000 no-op tasks on two worker processes: **{pilot_speed: 10,000 tasks}**; "
    "200,000: {pilot_speed: 200,000 tasks}. "
    "CPU per task: {pilot_speed: 10,000 tasks: client} for the program, "
    "{pilot_speed: 10,000 tasks: interchange, manager and workers} for all that serves it."
)
LATENCY = (
    "A task whose caller waits: **{pilot_latency: round trip, the caller waiting: p50}**. "
    "From `load()` to the first result: {pilot_life: load to first result}. "
    "An array of 100 MB as argument: {pilot_arrays: array of 100 MB as argument}."
)
THROUGHPUT = (
    "10,000 no-op tasks on two threads: **{throughput: 10,000 tasks}**. "
    "A bare `ThreadPoolExecutor`, which knows no dependencies: {throughput: bare pool, 10,000 tasks}."
)
CPU = (
    "CPU per task in threads, from call to resolved future: **{cpu_per_task: fanflow}**. "
    "The bare pool: {cpu_per_task: bare pool}."
)
SHAPES = (
    "A chain of 1,000 tasks in threads: **{chain: 1,000 links}**. "
    "One task with 4,000 dependencies, these included: **{fan_in: 4,000 as arguments}**."
)
NUMBERS = (ENGINE, LATENCY, THROUGHPUT, CPU, SHAPES)
"""What the README quotes; in braces benchmark and figure of RESULTS.md."""

FIELD = re.compile(r"{([^}]*)}")


class PartError(Exception):
    """A part cannot be made, or its place is not in the page; the message says what to do."""


def docs_of(kind: type[enum.IntEnum]) -> dict[str, str]:
    """The string below each member of an enum, which Python itself does not keep."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = dict.fromkeys(kind.__members__, "")
    member = ""
    for line in tree.body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)]):
                member = name
            case ast.Expr(value=ast.Constant(value=str(text))) if member:
                found[member] = " ".join(text.split())
    return found


def table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def states() -> str:
    """Number, name and meaning of every state that a task can have."""
    meanings = docs_of(States)
    reached = {States.pending, *TRANSITIONS.values()}
    rows = [
        (
            f"`{state.name}`",
            str(state.value),
            "yes" if state in FINAL_STATES else "",
            meanings[state.name] if state in reached else "Not a state of a task in the kernel.",
        )
        for state in States
    ]
    return table(("State", "Number", "Final", "Meaning"), rows)


def signals() -> str:
    """Every signal, with its meaning."""
    return table(("Signal", "Meaning"), [(f"`{name}`", meaning) for name, meaning in docs_of(Signal).items()])


def moves() -> str:
    """Every legal move."""
    rows = [
        (f"`{state.name}`", f"`{signal.name}`", f"`{after.name}`")
        for (state, signal), after in TRANSITIONS.items()
    ]
    return table(("In state", "on signal", "goes to"), rows)


def diagram() -> str:
    """The moves as a picture."""
    ends = sorted(FINAL_STATES & set(TRANSITIONS.values()))
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {States.pending.name}"]
    lines += [f"    {old.name} --> {new.name}: {signal.name}" for (old, signal), new in TRANSITIONS.items()]
    lines += [f"    {state.name} --> [*]" for state in ends]
    return "\n".join([*lines, "```"])


def options() -> str:
    """The options of `Config`, from its signature and its docstring."""
    parameters = inspect.signature(Config).parameters
    text = inspect.getdoc(Config) or ""
    _, _, arguments = text.partition("Args:\n")
    arguments = arguments.partition("\nRaises:")[0]
    found = re.split(r"^ {4}(\w+): ", arguments, flags=re.MULTILINE)[1:]
    meanings = {name: " ".join(words.split()) for name, words in zip(found[::2], found[1::2], strict=True)}
    rows = [(f"`{name}`", f"`{parameters[name].default!r}`", meanings[name]) for name in OPTION_NAMES]
    return table(("Option", "Default", "Meaning"), rows)


def numbers() -> str:
    """Some lines of figures."""
    if not RESULTS.exists():
        raise PartError("benchmarks/RESULTS.md is not there; run `make bench` first")
    found: dict[str, str] = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 7:
            found[f"{cells[0]}: {cells[1]}"] = cells[3]

    def measured(field: re.Match[str]) -> str:
        if field[1] not in found:
            raise PartError(f"benchmarks/RESULTS.md has no figure {field[1]!r}; correct NUMBERS")
        return found[field[1]]

    return "\n".join(f"* {FIELD.sub(measured, line)}" for line in NUMBERS)


PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("README.md", "numbers"): numbers,
    ("docs/concepts/task-states.md", "diagram"): diagram,
    ("docs/concepts/task-states.md", "states"): states,
    ("docs/concepts/task-states.md", "signals"): signals,
    ("docs/concepts/task-states.md", "moves"): moves,
    ("docs/guide/configuration.md", "options"): options,
}
"""Page and name of each part."""


def with_part(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of the part."""
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->"
    before, begins, rest = page.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise PartError(f"the page has no place for part {name!r}: add the lines {begin.strip()} and {end}")
    return f"{before}{begin}\n{text}\n\n{end}{after}"


def main() -> int:
    status = 0
    for (path, name), make in PARTS.items():
        page = ROOT / path
        try:
            before = page.read_text(encoding="utf-8")
            after = with_part(before, name, make())
        except PartError as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 1
            continue
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"{path}: wrote {name}")
    return status


if __name__ == "__main__":
    sys.exit(main())
