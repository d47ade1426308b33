"""How reports are shown: a table for terminals, RESULTS.md and results.json."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.harness import Bound, Measurement, Report, Verdict
from benchmarks.machine import Machine

COLUMNS = ("benchmark", "figure", "target", "measured", "spread", "ratio", "verdict")
BUSY_CORES = 0.2
"""Other load that is worth a line."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything one full run found."""

    machine: Machine
    reports: tuple[Report, ...]


def show_number(value: float) -> str:
    """Three or four digits that matter, and thousands apart."""
    size = abs(value)
    if size >= 1_000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}" if size < 1 else f"{value:.2f}"


def show_target(found: Measurement) -> str:
    if found.budget is None:
        return "-"
    sign = {Bound.AT_MOST: "<=", Bound.BELOW: "<", Bound.AT_LEAST: ">="}[found.budget.bound]
    return f"{sign} {show_number(found.budget.limit)} {found.unit}"


def show_spread(found: Measurement) -> str:
    if len(found.samples) < 2:
        return "-"
    return f"{show_number(min(found.samples))} to {show_number(max(found.samples))}, n={len(found.samples)}"


def rows(reports: Iterable[Report]) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = []
    for report in reports:
        for found in report.measurements:
            ratio = "-" if found.ratio is None else f"{found.ratio:.2f}"
            measured = f"{show_number(found.value)} {found.unit}"
            shown.append(
                (
                    report.benchmark,
                    found.name,
                    show_target(found),
                    measured,
                    show_spread(found),
                    ratio,
                    found.verdict.value,
                )
            )
        if report.error:
            shown.append((report.benchmark, "-", "-", "-", "-", "-", Verdict.FAILED.value))
    return shown


def text_table(lines: Sequence[tuple[str, ...]], *, heading: bool = True) -> str:
    """Columns side by side, each as wide as its widest cell."""
    shown = [COLUMNS, *lines] if heading else list(lines)
    widths = [max(len(line[column]) for line in shown) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    )


def remarks(reports: Iterable[Report], *, in_full: bool = True) -> list[str]:
    """What a reader has to know beside the figures: failures, notes and a busy machine."""
    said: list[str] = []
    for report in reports:
        if report.error:
            said.append(f"{report.benchmark}: {report.error if in_full else last_line(report.error)}")
        said += [
            f"{report.benchmark}, {found.name}: {found.note}" for found in report.measurements if found.note
        ]
        if report.other_load > BUSY_CORES:
            said.append(
                f"{report.benchmark}: other processes kept {report.other_load:.1f} cores busy meanwhile"
            )
    return said


def last_line(text: str) -> str:
    """How it ended, and what it said last."""
    first, *_, last = text.splitlines() if "\n" in text else ("", text)
    return f"{first.partition(': ')[0]}: {last}" if first else last


def verdict_line(reports: Sequence[Report]) -> str:
    found = [each.verdict for report in reports for each in report.measurements]
    failed = sum(1 for report in reports if report.error)
    parts = [f"{found.count(Verdict.MET)} budgets met", f"{found.count(Verdict.MISSED)} missed"]
    if failed:
        parts.append(f"{failed} benchmarks failed")
    return ", ".join(parts)


def markdown(results: Results) -> str:
    head = [
        "# Results",
        "",
        "Written by `make bench`; do not edit. [README.md](README.md) says what each figure means.",
        "",
        f"Measured {results.machine}.",
        "",
        f"**{verdict_line(results.reports)}.** A ratio of at most 1 is good, for either kind of target.",
        "",
    ]
    table = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    table += ["| " + " | ".join(line) + " |" for line in rows(results.reports)]
    notes = [f"- {said}" for said in remarks(results.reports, in_full=False)]
    return "\n".join([*head, *table, *(["", "## Notes", "", *notes] if notes else []), ""])


def write(results: Results, folder: Path) -> None:
    (folder / "RESULTS.md").write_text(markdown(results), encoding="utf-8")
    encoded = msgspec.json.format(msgspec.json.encode(results), indent=2)
    (folder / "results.json").write_bytes(encoded + b"\n")
