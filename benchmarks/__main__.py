"""The command line: `python -m benchmarks [--list] [--only NAME] [--quick] [--no-write] [--repeat N]`."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.catalogue import CATALOGUE
from benchmarks.harness import Benchmark, Report, Settings
from benchmarks.isolation import run_benchmark
from benchmarks.machine import Machine
from benchmarks.tables import Results, remarks, rows, text_table, verdict_line, write

MET, MISSED, FAILED = 0, 1, 2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure speed and memory against their budgets.",
        epilog="Exit status: 0 all budgets met, 1 one missed, 2 a benchmark failed or the call was wrong.",
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="run this one; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer tasks: try things out, no figures to quote"
    )
    parser.add_argument("--repeat", metavar="N", type=positive, default=0, help="samples per figure")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md and results.json alone")
    parser.add_argument("--list", action="store_true", help="name the benchmarks")
    return parser.parse_args(argv)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"takes a number of 1 or more, not {text}")
    return number


def choose(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names, all without names.

    Raises:
        SystemExit: There is no benchmark of that name.
    """
    known = {benchmark.name: benchmark for benchmark in CATALOGUE}
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}"
            print(f"no benchmark is named {name!r}: {hint}", file=sys.stderr)
            raise SystemExit(FAILED)
    return [known[name] for name in names] or list(CATALOGUE)


def run_all(chosen: Sequence[Benchmark], settings: Settings) -> tuple[Report, ...]:
    """One after the other, each shown as soon as it has ended."""
    reports: list[Report] = []
    for number, benchmark in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {benchmark.name}: {benchmark.summary}", flush=True)
        report = run_benchmark(benchmark, settings)
        print(text_table(rows([report]), heading=False), f"\n({report.seconds:.1f} s)\n", flush=True)
        reports.append(report)
    return tuple(reports)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    if options.list:
        width = max(len(benchmark.name) for benchmark in CATALOGUE)
        print("\n".join(f"{benchmark.name.ljust(width)}  {benchmark.summary}" for benchmark in CATALOGUE))
        return MET
    chosen = choose(options.only)
    machine = Machine.here()
    print(machine, "\n", flush=True)

    reports = run_all(chosen, Settings(quick=options.quick, repeat=options.repeat))

    print(text_table(rows(reports)), "\n")
    print("\n".join(remarks(reports)))
    print(f"\n{verdict_line(reports)}")
    # A part of the figures, or figures of a quick run, must not pass for a full run.
    if not (options.no_write or options.quick or options.only):
        write(Results(machine=machine, reports=reports), Path(__file__).parent)
    if any(report.error for report in reports):
        return FAILED
    return MISSED if any(report.has_missed for report in reports) else MET


if __name__ == "__main__":
    sys.exit(main())
