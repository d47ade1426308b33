"""Counting: classes by latitude, and land against sea compared with the mask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.landuse.classify import LandUse
from examples.landuse.imagery import LAKE, LAND, NEAR_SHORE, OCEAN, Tile

Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

EARTH_KM2 = 510.07e6
BAND_DEGREES = 10
WEST, EAST = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Pixel counts of one tile, row by row, so that areas can be weighted by latitude later."""

    top: int
    """Picture row of the first row counted."""
    classes: Counts
    """Shape (rows, classes)."""
    surfaces: Counts
    """Shape (rows, west or east, ocean/land/lake, taken for water or land, far from or near a shore)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LandSea:
    """How well land and water were told apart, by area. Lakes are water."""

    overall: float
    """Share of the area that is right."""
    land: float
    """Share of the true land that was taken for land."""
    water: float
    """Share of the true water that was taken for water."""

    @property
    def balanced(self) -> float:
        """Mean of land and water: a guess that ignores the picture gets 0.5, whatever it guesses."""
        return (self.land + self.water) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One belt of latitude."""

    south: int
    """Southern edge in degrees, north positive."""
    area_km2: float
    """Area of the belt."""
    shares: tuple[float, ...]
    """Share of the belt's area in each class, in the order of `LandUse`."""
    land_share: float
    """Share of land by the mask."""
    accuracy: float
    """Share of the belt's area on which picture and mask agree about land."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """Everything `analyze` finds out."""

    class_km2: tuple[float, ...]
    """Area of each class, in the order of `LandUse`."""
    bands: tuple[Band, ...]
    """From north to south."""
    world: LandSea
    """Land against sea, everywhere."""
    west: LandSea
    """The half of the world the thresholds were chosen on."""
    east: LandSea
    """The half that had no say in them."""
    offshore: LandSea
    """Without the pixels near a shore, where one pixel holds land and water."""
    ocean_recall: float
    """Share of the true ocean taken for water."""
    lake_recall: float
    """Share of the true lakes taken for water."""
    confusion_km2: tuple[tuple[float, float], ...]
    """Rows ocean, land, lake by the mask; columns taken for water, taken for land."""


def tally(raster: Path, truth: Path, tile: Tile) -> Tally:
    """Count the classes of one tile and compare land and water with the mask.

    Args:
        raster: Class raster of the tile.
        truth: Mask of the whole world on the picture's grid.
        tile: Which part of the world it is.
    """
    classes = np.load(raster)
    world = np.load(truth, mmap_mode="r")
    surface = world[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    near = (surface & NEAR_SHORE != 0).astype(np.int64)
    known = (surface & ~np.uint8(NEAR_SHORE)).astype(np.int64)
    found = (classes != LandUse.WATER).astype(np.int64)
    is_east = (np.arange(tile.left, tile.left + tile.width) >= world.shape[1] // 2).astype(np.int64)
    row = np.arange(tile.height)[:, np.newaxis]
    cell = (((row * 2 + is_east) * 3 + known) * 2 + found) * 2 + near
    surfaces = np.bincount(cell.ravel(), minlength=tile.height * 24)
    by_class = np.bincount((row * len(LandUse) + classes).ravel(), minlength=tile.height * len(LandUse))
    return Tally(
        top=tile.top,
        classes=by_class.reshape(tile.height, len(LandUse)),
        surfaces=surfaces.reshape(tile.height, 2, 3, 2, 2),
    )


def row_edges(height: int) -> Reals:
    """Latitudes of the edges of the picture's rows, in degrees, from north to south."""
    return 90 - 180 * np.arange(height + 1) / height


def row_km2(height: int) -> Reals:
    """Area of one picture row, in square kilometres (a sphere: exact between two parallels)."""
    return -np.diff(np.sin(np.radians(row_edges(height)))) / 2 * EARTH_KM2


def land_sea(area: Reals) -> LandSea:
    """Scores from areas of shape (ocean/land/lake, taken for water or land)."""
    land, water = area[LAND], area[OCEAN] + area[LAKE]
    return LandSea(
        overall=float((land[1] + water[0]) / area.sum()),
        land=float(land[1] / max(land.sum(), 1e-9)),
        water=float(water[0] / max(water.sum(), 1e-9)),
    )


def analyze(tallies: Iterable[Tally], *, height: int, width: int) -> Analysis:
    """Combine the counts of all tiles into areas and scores.

    Args:
        tallies: One for each tile.
        height: Rows of the whole picture.
        width: Columns of the whole picture.

    Raises:
        ValueError: The tiles do not cover every pixel exactly once.
    """
    classes = np.zeros((height, len(LandUse)))
    surfaces = np.zeros((height, 2, 3, 2, 2))
    for one in tallies:
        rows = slice(one.top, one.top + len(one.classes))
        classes[rows] += one.classes
        surfaces[rows] += one.surfaces
    if not (classes.sum(axis=1) == width).all():
        raise ValueError(
            f"the tiles cover {classes.sum():.0f} of {height * width} pixels, or some of them twice"
        )
    pixel_km2 = row_km2(height) / width
    class_area = classes * pixel_km2[:, np.newaxis]
    area = surfaces * pixel_km2[:, np.newaxis, np.newaxis, np.newaxis, np.newaxis]
    total = area.sum(axis=(0, 1, 4))
    return Analysis(
        class_km2=tuple(float(value) for value in class_area.sum(axis=0)),
        bands=tuple(latitude_bands(class_area, area.sum(axis=(1, 4)))),
        world=land_sea(total),
        west=land_sea(area[:, WEST].sum(axis=(0, 3))),
        east=land_sea(area[:, EAST].sum(axis=(0, 3))),
        offshore=land_sea(area[..., 0].sum(axis=(0, 1))),
        ocean_recall=float(total[OCEAN, 0] / max(total[OCEAN].sum(), 1e-9)),
        lake_recall=float(total[LAKE, 0] / max(total[LAKE].sum(), 1e-9)),
        confusion_km2=tuple((float(water), float(land)) for water, land in total),
    )


def latitude_bands(class_area: Reals, surface_area: Reals) -> list[Band]:
    """Belts of `BAND_DEGREES`; a row belongs to the belt its middle lies in.

    Args:
        class_area: Shape (rows, classes), in square kilometres.
        surface_area: Shape (rows, ocean/land/lake, taken for water or land), in square kilometres.
    """
    edges = row_edges(len(class_area))
    belts = np.floor((edges[:-1] + edges[1:]) / 2 / BAND_DEGREES).astype(np.intp)
    bands: list[Band] = []
    for belt in sorted(set(belts.tolist()), reverse=True):
        here = belts == belt
        surfaces = surface_area[here].sum(axis=0)
        by_class = class_area[here].sum(axis=0)
        bands.append(
            Band(
                south=belt * BAND_DEGREES,
                area_km2=float(by_class.sum()),
                shares=tuple(float(share) for share in by_class / by_class.sum()),
                land_share=float(surfaces[LAND].sum() / surfaces.sum()),
                accuracy=land_sea(surfaces).overall,
            )
        )
    return bands
