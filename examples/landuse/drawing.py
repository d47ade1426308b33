"""Pictures for people: coloured tiles, the map of the world with its legend, classes by latitude, errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from examples.landuse.analysis import BAND_DEGREES, EARTH_KM2, Analysis
from examples.landuse.classify import LandUse
from examples.landuse.imagery import LAND, NEAR_SHORE, Tile

Colour = tuple[int, int, int]

COLOURS: dict[LandUse, Colour] = {
    LandUse.WATER: (38, 84, 140),
    LandUse.SNOW_ICE: (240, 246, 250),
    LandUse.FOREST: (16, 84, 36),
    LandUse.GRASS_CROPS: (126, 184, 66),
    LandUse.SAVANNA: (170, 160, 70),
    LandUse.STEPPE: (205, 170, 125),
    LandUse.BARE: (240, 214, 150),
}
LABELS: dict[LandUse, str] = {
    LandUse.WATER: "Water",
    LandUse.SNOW_ICE: "Snow and ice",
    LandUse.FOREST: "Dense forest",
    LandUse.GRASS_CROPS: "Grass, crops, open forest",
    LandUse.SAVANNA: "Savanna, dry fields, tundra",
    LandUse.STEPPE: "Steppe and shrub",
    LandUse.BARE: "Bare and desert",
}
PAPER, INK, FAINT = (252, 252, 250), (30, 34, 40), (200, 204, 208)
AGREED_WATER, AGREED_LAND, MISSED_LAND, MISSED_WATER = (
    (20, 26, 34),
    (74, 78, 82),
    (0, 220, 230),
    (255, 96, 32),
)
NARROWEST = 1600  # pixels
ERROR_PALETTE = (AGREED_WATER, AGREED_LAND, MISSED_LAND, MISSED_WATER)


def flat(colours: Sequence[Colour]) -> list[int]:
    """A palette as Pillow wants it."""
    return [channel for colour in colours for channel in colour]


def colorize(raster: Path, out: Path) -> None:
    """Draw a class raster as a PNG with one colour for each class."""
    picture = Image.fromarray(np.load(raster))
    picture.putpalette(flat([COLOURS[use] for use in LandUse]))
    picture.save(out, compress_level=3)


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font Pillow carries; any machine draws the same picture."""
    return ImageFont.load_default(size)


def draw_legend(canvas: Image.Image, top: int, entries: Sequence[tuple[Colour, str]], per_row: int) -> None:
    """Write rows of colour swatches with their labels into the strip that starts at `top`."""
    draw = ImageDraw.Draw(canvas)
    rows = -(-len(entries) // per_row)
    row_height = (canvas.height - top) / rows
    swatch = row_height * 0.5
    for number, (colour, label) in enumerate(entries):
        x = canvas.width * (0.02 + 0.97 * (number % per_row) / per_row)
        middle = top + row_height * (number // per_row + 0.5)
        draw.rectangle(
            (x, middle - swatch / 2, x + 1.6 * swatch, middle + swatch / 2), fill=colour, outline=INK
        )
        draw.text((x + 2 * swatch, middle), label, fill=INK, font=font(int(row_height * 0.46)), anchor="lm")


def with_strip(map_: Image.Image, share: float) -> tuple[Image.Image, int]:
    """Put an empty strip under a map, to write in; a small map is enlarged until its legend can be read.

    Returns:
        The new picture and the row at which the strip begins.
    """
    times = -(-NARROWEST // map_.width)
    width, top = map_.width * times, map_.height * times
    canvas = Image.new("RGB", (width, top + round(top * share)), PAPER)
    canvas.paste(map_.resize((width, top), Image.Resampling.NEAREST), (0, 0))
    return canvas, top


def draw_world(tiles: Sequence[tuple[Tile, Path]], found: Analysis, out: Path) -> None:
    """Put the coloured tiles together and add a legend with the area of each class."""
    width = max(tile.left + tile.width for tile, _ in tiles)
    height = max(tile.top + tile.height for tile, _ in tiles)
    world = Image.new("RGB", (width, height))
    for tile, path in tiles:
        with Image.open(path) as picture:
            world.paste(picture.convert("RGB"), (tile.left, tile.top))
    canvas, top = with_strip(world, 0.09)
    land_km2 = sum(found.class_km2[use] for use in LandUse if use is not LandUse.WATER)
    entries = [
        (
            COLOURS[use],
            f"{LABELS[use]} ({found.class_km2[use] / EARTH_KM2:.0%} of Earth)"
            if use is LandUse.WATER
            else f"{LABELS[use]} ({found.class_km2[use] / land_km2:.0%} of land)",
        )
        for use in LandUse
    ]
    draw_legend(canvas, top, entries, per_row=4)
    canvas.save(out, compress_level=3)


def draw_errors(tiles: Sequence[tuple[Tile, Path]], truth: Path, out: Path) -> None:
    """Map where picture and mask disagree about land; an error of one pixel stays visible when shrunk."""
    known = np.load(truth) & ~np.uint8(NEAR_SHORE)
    kind = (known == LAND).astype(np.uint8)
    for tile, path in tiles:
        here = kind[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        found = np.load(path) != LandUse.WATER
        here[:] = np.where(found == here.astype(bool), here, np.where(found, 3, 2))
    height, width = kind.shape
    step = max(1, width // 2700)
    blocks = kind[: height // step * step, : width // step * step].reshape(
        height // step, step, width // step, step
    )
    small = Image.fromarray(blocks.max(axis=(1, 3)))
    small.putpalette(flat(ERROR_PALETTE))
    canvas, top = with_strip(small.convert("RGB"), 0.05)
    labels = ("Water in both", "Land in both", "Land taken for water", "Water taken for land")
    draw_legend(canvas, top, list(zip(ERROR_PALETTE, labels, strict=True)), per_row=4)
    canvas.save(out, compress_level=6)


def draw_latitudes(found: Analysis, out: Path) -> None:
    """Chart the area of each land class by latitude, north up. A bar is as long as the belt has land."""
    width, row, left, top = 1400, 36, 110, 90
    bottom = top + row * len(found.bands)
    canvas = Image.new("RGB", (width, bottom + 190), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text(
        (left, 30), f"Land classes in belts of {BAND_DEGREES} degrees", fill=INK, font=font(28), anchor="lm"
    )
    draw.text((left, 66), "million square kilometres", fill=INK, font=font(18), anchor="lm")
    on_land = [use for use in LandUse if use is not LandUse.WATER]
    longest = max(sum(band.shares[use] for use in on_land) * band.area_km2 for band in found.bands)
    per_km2 = (width - left - 60) / longest
    for million in range(0, int(longest / 1e6) + 1, 5):
        x = left + million * 1e6 * per_km2
        draw.line((x, top, x, bottom), fill=FAINT)
        draw.text((x, bottom + 16), str(million), fill=INK, font=font(18), anchor="mm")
    for number, band in enumerate(found.bands):
        y, x = top + row * number, float(left)
        for use in on_land:
            length = band.shares[use] * band.area_km2 * per_km2
            if length >= 1:
                draw.rectangle((x, y + 3, x + length, y + row - 3), fill=COLOURS[use])
            x += length
        if x > left + 1:
            draw.rectangle((left, y + 3, x, y + row - 3), outline=INK)
    for number in range(len(found.bands) + 1):
        latitude = found.bands[0].south + BAND_DEGREES * (1 - number)
        name = "0" if latitude == 0 else f"{abs(latitude)} {'N' if latitude > 0 else 'S'}"
        if latitude % 30 == 0:
            draw.text((left - 14, top + row * number), name, fill=INK, font=font(20), anchor="rm")
            draw.line((left - 8, top + row * number, left, top + row * number), fill=INK)
    strip = Image.new("RGB", (width, 110), PAPER)
    draw_legend(strip, 0, [(COLOURS[use], LABELS[use]) for use in on_land], per_row=3)
    canvas.paste(strip, (0, bottom + 50))
    canvas.save(out)
