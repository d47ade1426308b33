"""What the terminal shows: live progress while tasks run, tables when they are done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import fanflow
from examples.landuse.analysis import Analysis, LandSea
from examples.landuse.classify import LandUse
from examples.landuse.drawing import COLOURS, LABELS

Stages = Mapping[str, Sequence[Future[object]]]

SECONDS_BETWEEN_LINES = 1.0
SHORT: dict[LandUse, str] = {
    LandUse.WATER: "water",
    LandUse.SNOW_ICE: "snow",
    LandUse.FOREST: "forest",
    LandUse.GRASS_CROPS: "grass",
    LandUse.SAVANNA: "savanna",
    LandUse.STEPPE: "steppe",
    LandUse.BARE: "bare",
}


class StageError(Exception):
    """A task failed; the cause is the task's own exception."""

    def __init__(self, stage: str, number: int, reason: Exception) -> None:
        notes = "".join(f"\n{note}" for note in getattr(reason, "__notes__", ()))
        super().__init__(
            f"task {number + 1} of stage {stage} failed: {type(reason).__name__}: {reason}{notes}"
        )


def follow(stages: Stages, console: Console) -> None:
    """Show how many tasks of each stage are done until all are.

    Raises:
        StageError: A task failed. Returns at once; other tasks may still run.
    """
    place = {
        future: (stage, number) for stage, futures in stages.items() for number, future in enumerate(futures)
    }
    bars = live_bars if console.is_terminal else plain_lines
    with bars(stages, console) as advance:
        for future in fanflow.as_completed(place):
            stage, number = place[future]
            try:
                future.result()
            except Exception as error:
                raise StageError(stage, number, error) from error
            advance(stage)


@contextlib.contextmanager
def live_bars(stages: Stages, console: Console) -> Generator[Callable[[str], None]]:
    """One bar a stage, redrawn in place."""
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=8) as progress:
        rows = {stage: progress.add_task(stage, total=len(futures)) for stage, futures in stages.items()}
        yield lambda stage: progress.advance(rows[stage])


@contextlib.contextmanager
def plain_lines(stages: Stages, console: Console) -> Generator[Callable[[str], None]]:
    """One line a second at most, for logs."""
    begin = time.monotonic()
    done = dict.fromkeys(stages, 0)
    last = begin

    def show() -> None:
        counts = "  ".join(f"{stage} {done[stage]}/{len(stages[stage])}" for stage in stages)
        console.print(f"{time.monotonic() - begin:5.1f} s  {counts}", soft_wrap=True, highlight=False)

    def advance(stage: str) -> None:
        nonlocal last
        done[stage] += 1
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            show()

    yield advance
    show()


def class_table(found: Analysis) -> Table:
    """Area of each class."""
    table = Table(title="Land use by colour")
    table.add_column("class")
    for name in ("million km²", "of Earth", "of land"):
        table.add_column(name, justify="right")
    earth = sum(found.class_km2)
    land = earth - found.class_km2[LandUse.WATER]
    for use in LandUse:
        km2 = found.class_km2[use]
        red, green, blue = COLOURS[use]
        table.add_row(
            f"[rgb({red},{green},{blue})]■[/] {LABELS[use]}",
            f"{km2 / 1e6:.1f}",
            f"{km2 / earth:.1%}",
            "" if use is LandUse.WATER else f"{km2 / land:.1%}",
        )
    return table


def latitude_table(found: Analysis) -> Table:
    """Shares of the classes and agreement with the mask, by latitude."""
    table = Table(title="By latitude, per cent of the belt's area")
    table.add_column("belt")
    for use in LandUse:
        table.add_column(SHORT[use], justify="right")
    table.add_column("agrees", justify="right")
    for band in found.bands:
        edges = (band.south, band.south + 180 // len(found.bands))
        north, south = (
            f"{abs(edge)}{'N' if edge > 0 else 'S' if edge < 0 else ''}" for edge in reversed(edges)
        )
        shares = [f"{share * 100:.1f}" if share else "" for share in band.shares]
        table.add_row(f"{north}-{south}", *shares, f"{band.accuracy * 100:.1f}")
    return table


def accuracy_table(found: Analysis) -> Table:
    """Land against sea, compared with the mask."""
    table = Table(title="Land against sea, by area, compared with the mask")
    table.add_column("where")
    for name in ("right", "balanced", "land found", "water found"):
        table.add_column(name, justify="right")
    parts: list[tuple[str, LandSea]] = [
        ("whole world", found.world),
        ("west (used for thresholds)", found.west),
        ("east (not used for them)", found.east),
        ("away from shores", found.offshore),
    ]
    for name, part in parts:
        table.add_row(name, *(f"{x:.2%}" for x in (part.overall, part.balanced, part.land, part.water)))
    return table


def print_summary(found: Analysis, console: Console) -> None:
    """Print all tables."""
    for table in (class_table(found), latitude_table(found), accuracy_table(found)):
        console.print(table)
    console.print(f"Of the ocean {found.ocean_recall:.2%} was found, of the lakes {found.lake_recall:.1%}.")
