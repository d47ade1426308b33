"""The examples run as programs, say what they should, and fail when their result is wrong."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fanflow
from examples.landuse.classify import LandUse, classify
from examples.landuse.drawing import COLOURS
from examples.landuse.imagery import (
    LAKE,
    LAND,
    MASK,
    NEAR_SHORE,
    OCEAN,
    ImageryError,
    Tile,
    cut_tile,
    data_file,
    read_mask,
    split,
)
from examples.landuse.pipeline import landuse as landuse_app
from fanflow import Config, File, ThreadPoolExecutor
from fanflow.errors import BashExitFailure

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--scale", "0.1", "--workers", "2")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def landuse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "examples.landuse", *SMALL, *arguments)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("landuse")
    return folder, landuse(folder, "--tiles", "4x2", "--keep-work")


def place(picture: Image.Image, longitude: float, latitude: float) -> tuple[int, ...]:
    x, y = (longitude + 180) / 360 * picture.width, (90 - latitude) / 360 * picture.width
    colour = picture.getpixel((int(x), int(y)))
    assert isinstance(colour, tuple)
    return colour


def test_hello_says_hello_with_every_kind_of_app(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples" / "hello.py"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [
        "Hello, World!",
        "HELLO, WORLD!",
        "Hello, Ada!",
        "Hello, Grace!",
        "Hello, Katherine!",
        "",
    ]


def test_pi_goes_on_until_its_error_is_small_enough(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples" / "pi.py"))

    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    found, error, darts = float(words[2]), float(words[4]), int(words[6].replace(",", ""))
    assert error <= 0.002
    assert darts == 800_000  # the first multiple of a round whose error is under the goal
    assert abs(found - np.pi) <= 4 * error


def test_landuse_maps_the_world_and_tells_land_from_sea(
    small_run: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = small_run

    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "landuse-output" / "summary.json").read_text())
    assert summary["world"]["land"] > 0.97
    assert summary["world"]["water"] > 0.98
    assert sum(summary["class_km2"]) == pytest.approx(510.07e6)
    assert [band["south"] for band in summary["bands"]] == list(range(80, -100, -10))
    assert "landuse 8/8" in done.stdout
    assert "Dense forest" in done.stdout
    for name in ("world.png", "classes-by-latitude.png", "land-sea-errors.png", "summary.json"):
        assert str(folder / "landuse-output" / name) in done.stdout
        assert (folder / "landuse-output" / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "longitude", "latitude", "use"),
    [
        ("Sahara", 10, 23, LandUse.BARE),
        ("Amazon", -63, -4, LandUse.FOREST),
        ("Greenland", -40, 72, LandUse.SNOW_ICE),
        ("Antarctica", 80, -80, LandUse.SNOW_ICE),
        ("Ukraine", 33, 49, LandUse.GRASS_CROPS),
        ("Kazakhstan", 68, 48, LandUse.STEPPE),
        ("deep Pacific", -130, 30, LandUse.WATER),
        ("North Sea", 3, 55, LandUse.WATER),
        ("Arctic Ocean", 0, 88, LandUse.WATER),
    ],
)
def test_the_map_shows_known_places_as_what_they_are(
    small_run: tuple[Path, subprocess.CompletedProcess[str]],
    name: str,
    longitude: float,
    latitude: float,
    use: LandUse,
) -> None:
    with Image.open(small_run[0] / "landuse-output" / "world.png") as picture:
        assert place(picture, longitude, latitude) == COLOURS[use], name


def test_the_map_has_no_seams(small_run: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    work = small_run[0] / "landuse-output" / "work"
    whole = Tile(name="whole", top=0, left=0, height=270, width=540)
    margin = 3
    cut_tile(work / "picture.npy", whole, margin, work / "whole.png")
    with Image.open(work / "whole.png") as picture:
        in_one_piece = classify(np.asarray(picture))[margin:-margin, margin:-margin]

    for tile in split(4, 2, width=540, height=270):
        expected = in_one_piece[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        assert (np.load(work / f"{tile.name}-classes.npy") == expected).all(), tile


def test_landuse_fails_loudly_when_the_mask_is_upside_down(tmp_path: Path) -> None:
    cells = np.frombuffer(gzip.decompress(data_file("lsmask_10min_c.bin").read_bytes()), np.uint8)
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(gzip.compress(cells.reshape(1080, 2160)[::-1].tobytes(), 1))

    done = landuse(tmp_path, "--mask", str(wrong), "--tiles", "2x1")

    assert done.returncode == 1
    words = done.stderr.partition("FAILED: the balanced accuracy of land against sea is ")[2].split(",")
    assert float(words[0]) < 0.6, done.stderr


def test_landuse_fails_loudly_when_more_is_asked_than_it_reaches(tmp_path: Path) -> None:
    done = landuse(tmp_path, "--min-accuracy", "0.999", "--tiles", "1x1")

    assert done.returncode == 1
    assert "at least 0.999 is expected" in done.stderr


def test_landuse_names_a_task_that_fails(tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"not a mask")

    done = landuse(tmp_path, "--mask", str(broken), "--tiles", "1x1")

    assert done.returncode == 1
    assert "FAILED: task 2 of stage read failed" in done.stderr
    assert f"cannot read the land-sea mask {broken}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--tiles", "8"), "'8' is not COLUMNSxROWS"),
        (("--tiles", "9999x1"), "cannot cut 540 x 270 pixels into 9999 x 1 tiles"),
        (("--scale", "0"), "the scale must be over 0 and at most 1, not 0.0"),
        (("--workers", "0"), "at least 1 is needed"),
        (("--mask", "absent.bin"), "there is no land-sea mask"),
        (("--out", f"{sys.executable}/none"), "cannot write to the output directory"),
    ],
)
def test_landuse_refuses_options_that_make_no_sense(
    tmp_path: Path, arguments: tuple[str, str], complaint: str
) -> None:
    done = landuse(tmp_path, *arguments)

    assert done.returncode == 2
    assert complaint in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_classifier_is_a_command_of_its_own(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (20, 33, 9)).save(tmp_path / "forest.png")
    program = str(ROOT / "examples" / "landuse" / "classify.py")

    done = run(tmp_path, program, "forest.png", "--out", "forest.npy", "--margin", "1")
    refused = run(tmp_path, program, "forest.png", "--out", "none.npy", "--margin", "3")
    missing = run(tmp_path, program, "absent.png", "--out", "none.npy")

    assert done.returncode == 0, done.stderr
    assert (np.load(tmp_path / "forest.npy") == np.full((4, 6), LandUse.FOREST)).all()
    assert refused.returncode == 2
    assert "a margin of 3 leaves nothing of 8 x 6 pixels" in refused.stderr
    assert missing.returncode == 2
    assert "cannot read the picture absent.png" in missing.stderr
    assert not (tmp_path / "none.npy").exists()


def test_a_tile_that_cannot_be_read_fails_with_the_words_of_the_classifier(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    executor = ThreadPoolExecutor(max_threads=1)

    with fanflow.load(Config(executors=[executor], run_dir=str(tmp_path / "runinfo"))):
        future = landuse_app(File(tmp_path / "text.png"), outputs=[File(tmp_path / "classes.npy")])
        failure = future.exception(timeout=30)

    assert isinstance(failure, BashExitFailure)
    assert failure.exitcode == 2
    assert "cannot read the picture" in str(failure.stderr_tail)


def test_the_mask_is_read_from_south_to_north_and_shores_are_marked(tmp_path: Path) -> None:
    read_mask(data_file(MASK), (540, 270), tmp_path / "mask.npy")

    mask = np.load(tmp_path / "mask.npy")
    assert mask[269].tolist() == [LAND] * 540  # the South Pole is land, far from any shore
    assert mask[0].tolist() == [OCEAN] * 540  # the North Pole is not
    caspian = mask[int((90 - 43.0) * 1.5), int((180 + 50.5) * 1.5)]
    assert caspian == LAKE | NEAR_SHORE  # two pixels from land at this scale


def test_a_file_of_the_wrong_shape_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(gzip.compress(bytes(10)))

    with pytest.raises(ImageryError, match=r"odd\.bin is no land-sea mask: 10 cells with values up to 0"):
        read_mask(tmp_path / "odd.bin", (4, 2), tmp_path / "mask.npy")
