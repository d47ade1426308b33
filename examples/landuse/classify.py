"""A command that sorts the pixels of one picture tile into land-use classes by their colour."""

from __future__ import annotations

import argparse
import enum
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes2D = npt.NDArray[np.uint8]
Bytes3D = npt.NDArray[np.uint8]
Floats2D = npt.NDArray[np.float32]
Flags2D = npt.NDArray[np.bool_]

# Land or water. Chosen on the western half of the world only; see "How the rules were found" in the README.
WATER_BLUE_OVER_RED = 14  # water is bluer than red by this much; shaded snow is, too, but brighter
WATER_GREEN_OVER_BLUE = 6  # turquoise shallows may be this much greener than blue
WATER_BRIGHTEST = 140  # beyond it, blue is ice
BLACK_WATER_BRIGHTEST = 18  # clear lakes look black; so does nothing on land but deep shadow
BLACK_WATER_GREEN_OVER_BLUE = 10  # the darkest forests keep more green than this

# Land by land. Chosen by looking at places of known cover.
SNOW_DARKEST = 110.0  # mean of the three channels
SNOW_RED_OVER_BLUE = 16  # snow is grey; sand is not
GREEN_INDEX = 0.035  # (green - red) / (green + red) of living plants
FOREST_BRIGHTEST = 47.0  # green channel: a canopy shades itself, grass and crops do not
OLIVE_INDEX = -0.05  # between here and GREEN_INDEX: woody savanna, dry fields
BARE_DARKEST = 118.0  # red channel: soil without plants is bright ...
GREY_SOIL_EXCESS = 0.055  # ... and if grey, like gravel, (2 green - red - blue) / sum is under this
RED_SOIL_INDEX = -0.19  # ... or strongly red
SMOOTHING = 2  # pixels each way over which the colours of snow-free land are averaged before its rules
MIXED_WEIGHT = 0.02  # share in that average of pixels that touch water or snow, whose colour is a mixture
MARGIN = SMOOTHING + 1  # pixels of surroundings that a class depends on


class LandUse(enum.IntEnum):
    """What a pixel is taken for. The value is what the class raster holds."""

    WATER = 0
    SNOW_ICE = 1
    FOREST = 2
    GRASS_CROPS = 3
    SAVANNA = 4
    STEPPE = 5
    BARE = 6


def water_mask(rgb: Bytes3D) -> Flags2D:
    """True where a pixel looks like water.

    Args:
        rgb: Picture, shape (rows, columns, 3).
    """
    red, green, blue = (rgb[..., channel].astype(np.int16) for channel in range(3))
    brightest = rgb.max(axis=2)
    is_blue = (
        (blue - red >= WATER_BLUE_OVER_RED)
        & (green - blue <= WATER_GREEN_OVER_BLUE)
        & (brightest < WATER_BRIGHTEST)
    )
    is_black = (brightest <= BLACK_WATER_BRIGHTEST) & (green - blue <= BLACK_WATER_GREEN_OVER_BLUE)
    water: Flags2D = is_blue | is_black
    return water


def snow_mask(rgb: Bytes3D) -> Flags2D:
    """True where a pixel looks like snow or ice, if it is not water.

    Args:
        rgb: Picture, shape (rows, columns, 3).
    """
    is_grey = rgb[..., 0].astype(np.int16) - rgb[..., 2] <= SNOW_RED_OVER_BLUE
    snow: Flags2D = is_grey & (rgb.sum(axis=2, dtype=np.int16) >= 3 * SNOW_DARKEST)
    return snow


def box_sum(values: Floats2D, reach: int) -> Floats2D:
    """Sum over the square of `reach` pixels each way; beyond the border there is nothing to add."""
    total = values
    for axis in (0, 1):
        padded = np.pad(total, [(reach, reach) if axis == side else (0, 0) for side in (0, 1)])
        length = values.shape[axis]
        total = np.zeros_like(values)
        for shift in range(2 * reach + 1):
            total += padded[shift : shift + length] if axis == 0 else padded[:, shift : shift + length]
    return total


def ground_colours(rgb: Bytes3D, ground: Flags2D) -> tuple[Floats2D, Floats2D, Floats2D]:
    """Red, green and blue of the snow-free land around each pixel.

    Single pixels carry the noise of JPEG compression, as large as the differences between dark plants.

    Args:
        rgb: Picture, shape (rows, columns, 3).
        ground: True where there is neither water nor snow.
    """
    unmixed = box_sum((~ground).astype(np.float32), 1) == 0
    weight = np.where(unmixed, 1, MIXED_WEIGHT).astype(np.float32) * ground
    near = np.maximum(box_sum(weight, SMOOTHING), np.float32(MIXED_WEIGHT))

    def mean(channel: int) -> Floats2D:
        return np.divide(box_sum(rgb[..., channel] * weight, SMOOTHING), near, dtype=np.float32)

    return mean(0), mean(1), mean(2)


def classify(rgb: Bytes3D) -> Bytes2D:
    """Classes of a picture, as `LandUse` values.

    Args:
        rgb: Picture, shape (rows, columns, 3).

    Returns:
        Array of shape (rows, columns). The outermost `MARGIN` pixels see less of their surroundings.
    """
    water = water_mask(rgb)
    snow = snow_mask(rgb) & ~water
    red, green, blue = ground_colours(rgb, ~(water | snow))
    index = (green - red) / np.maximum(green + red, 1.0)
    excess = (2 * green - red - blue) / np.maximum(red + green + blue, 1.0)
    bright = red >= BARE_DARKEST
    rules: list[tuple[Flags2D, LandUse]] = [
        (water, LandUse.WATER),
        (snow, LandUse.SNOW_ICE),
        ((index >= GREEN_INDEX) & (green <= FOREST_BRIGHTEST), LandUse.FOREST),
        (index >= GREEN_INDEX, LandUse.GRASS_CROPS),
        (bright & (excess < GREY_SOIL_EXCESS), LandUse.BARE),
        (index >= OLIVE_INDEX, LandUse.SAVANNA),
        (bright | (index <= RED_SOIL_INDEX), LandUse.BARE),
    ]
    return np.select(
        [rule for rule, _ in rules], [np.uint8(use) for _, use in rules], np.uint8(LandUse.STEPPE)
    )


def main(arguments: list[str] | None = None) -> int:
    """Classify one tile from the command line.

    Returns:
        Exit status: 0, or 2 if the tile cannot be read or is too small.
    """
    parser = argparse.ArgumentParser(prog="classify", description=__doc__)
    parser.add_argument("tile", type=Path, help="picture to classify (any RGB format Pillow reads)")
    parser.add_argument("--out", type=Path, required=True, help="class raster to write (.npy, uint8)")
    parser.add_argument(
        "--margin",
        type=int,
        default=0,
        help="pixels of the neighbours on every side, to be cut off (default: 0)",
    )
    options = parser.parse_args(arguments)
    try:
        with Image.open(options.tile) as picture:
            rgb = np.asarray(picture.convert("RGB"))
    except OSError as error:
        print(f"classify: cannot read the picture {options.tile}: {error}", file=sys.stderr)
        return 2
    margin: int = options.margin
    if margin < 0 or min(rgb.shape[:2]) <= 2 * margin:
        rows, columns = rgb.shape[:2]
        print(f"classify: a margin of {margin} leaves nothing of {columns} x {rows} pixels", file=sys.stderr)
        return 2
    classes = classify(rgb)
    np.save(options.out, classes[margin : classes.shape[0] - margin, margin : classes.shape[1] - margin])
    shares = np.bincount(classes.ravel(), minlength=len(LandUse)) / classes.size
    print(" ".join(f"{use.name.lower()}={shares[use]:.4f}" for use in LandUse))
    return 0


if __name__ == "__main__":
    sys.exit(main())
