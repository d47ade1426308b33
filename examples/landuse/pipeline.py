"""The dataflow: which task runs on which tile, and which results and files it waits for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from examples.landuse import analysis, classify, drawing, imagery
from examples.landuse.analysis import Analysis, Tally
from examples.landuse.imagery import Tile
from fanflow import AppFuture, File, bash_app, python_app

R = TypeVar("R")

WORLD, LATITUDES, ERRORS = "world.png", "classes-by-latitude.png", "land-sea-errors.png"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to compute and where to put it."""

    picture: Path
    """Picture of the world."""
    mask: Path
    """Land-sea mask to compare with."""
    size: tuple[int, int]
    """Width and height to work at, in pixels."""
    tiles: tuple[Tile, ...]
    """Pieces, each classified by a command of its own."""
    out: Path
    """Directory for the pictures."""
    work: Path
    """Directory for the files in between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """The futures of one run."""

    stages: dict[str, list[Future[object]]]
    """Every task, by stage, in the order of the dataflow."""
    found: Future[Analysis]
    """The numbers."""


@python_app
def decode(picture: Path, size: tuple[int, int], outputs: Sequence[File] = ()) -> None:
    imagery.read_picture(picture, size, Path(outputs[0]))


@python_app
def fit_mask(mask: Path, size: tuple[int, int], outputs: Sequence[File] = ()) -> None:
    imagery.read_mask(mask, size, Path(outputs[0]))


@python_app
def cut(picture: File, tile: Tile, outputs: Sequence[File] = ()) -> None:
    imagery.cut_tile(Path(picture), tile, classify.MARGIN, Path(outputs[0]))


@bash_app
def landuse(
    piece: File,
    outputs: Sequence[File] = (),
    stdout: tuple[str, str] | None = None,
    stderr: tuple[str, str] | None = None,
) -> str:
    command = [sys.executable, classify.__file__, piece.filepath, "--out", outputs[0].filepath]
    return shlex.join([*command, "--margin", str(classify.MARGIN)])


@python_app
def colorize(raster: File, outputs: Sequence[File] = ()) -> None:
    drawing.colorize(Path(raster), Path(outputs[0]))


@python_app
def tally(raster: File, truth: File, tile: Tile) -> Tally:
    return analysis.tally(Path(raster), Path(truth), tile)


@python_app
def analyze(size: tuple[int, int], inputs: Sequence[Tally] = ()) -> Analysis:
    return analysis.analyze(inputs, width=size[0], height=size[1])


@python_app
def draw_world(
    tiles: Sequence[Tile], found: Analysis, inputs: Sequence[File] = (), outputs: Sequence[File] = ()
) -> None:
    coloured = [(tile, Path(file)) for tile, file in zip(tiles, inputs, strict=True)]
    drawing.draw_world(coloured, found, Path(outputs[0]))


@python_app
def draw_errors(
    tiles: Sequence[Tile], truth: File, inputs: Sequence[File] = (), outputs: Sequence[File] = ()
) -> None:
    rasters = [(tile, Path(file)) for tile, file in zip(tiles, inputs, strict=True)]
    drawing.draw_errors(rasters, Path(truth), Path(outputs[0]))


@python_app
def draw_latitudes(found: Analysis, outputs: Sequence[File] = ()) -> None:
    drawing.draw_latitudes(found, Path(outputs[0]))


def tasks(futures: Sequence[Future[R]]) -> list[Future[object]]:
    """The same futures as those of any result; type checkers take no `Future[int]` for a `Future[object]`."""
    return cast("list[Future[object]]", list(futures))


def start(plan: Plan) -> Flow:
    """Submit every task; returns at once, with everything still to be done."""
    picture = decode(plan.picture, plan.size, outputs=[File(plan.work / "picture.npy")])
    mask = fit_mask(plan.mask, plan.size, outputs=[File(plan.work / "mask.npy")])
    truth = mask.outputs[0]
    pieces: list[AppFuture[None]] = []
    rasters: list[AppFuture[int]] = []
    coloured: list[AppFuture[None]] = []
    tallies: list[AppFuture[Tally]] = []
    for tile in plan.tiles:
        path = str(plan.work / tile.name)
        piece = cut(picture.outputs[0], tile, outputs=[File(f"{path}-picture.png")])
        raster = landuse(
            piece.outputs[0],
            outputs=[File(f"{path}-classes.npy")],
            stdout=(f"{path}.out", "w"),
            stderr=(f"{path}.err", "w"),
        )
        pieces.append(piece)
        rasters.append(raster)
        coloured.append(colorize(raster.outputs[0], outputs=[File(f"{path}-classes.png")]))
        tallies.append(tally(raster.outputs[0], truth, tile))
    found = analyze(plan.size, inputs=tallies)
    drawings = [
        draw_world(
            plan.tiles,
            found,
            inputs=[future.outputs[0] for future in coloured],
            outputs=[File(plan.out / WORLD)],
        ),
        draw_latitudes(found, outputs=[File(plan.out / LATITUDES)]),
        draw_errors(
            plan.tiles,
            truth,
            inputs=[future.outputs[0] for future in rasters],
            outputs=[File(plan.out / ERRORS)],
        ),
    ]
    stages: dict[str, list[Future[object]]] = {
        "read": tasks([picture, mask]),
        "cut": tasks(pieces),
        "landuse": tasks(rasters),
        "colorize": tasks(coloured),
        "tally": tasks(tallies),
        "analyze": tasks([found]),
        "draw": tasks(drawings),
    }
    return Flow(stages=stages, found=found)
