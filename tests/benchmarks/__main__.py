"""Measure the package against the usual way and against the machine: `python -m tests.benchmarks`."""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from autoparts.errors import whole_file
from tests.benchmarks import evaluation, scale, training
from tests.benchmarks.clock import Row, machine
from tests.benchmarks.data import ENTRIES, listed
from tests.benchmarks.report import report

ROWS = {
    "batches": training.batches,
    "preparing": training.preparing,
    "contrastive": training.contrastive,
    "triplet": training.triplet,
    "mining": evaluation.mined,
    "fit": training.fit,
    "step": training.step,
    "evaluation": evaluation.evaluated,
    "import": evaluation.imported,
    "report": report,
}
QUICK = {  # small enough for a test: what runs, not how fast
    "batches": training.batches,
    "contrastive": partial(training.contrastive, count=8),
    "mining": partial(evaluation.mined, times_each=1),
    "fit": partial(training.fit, steps=1),
    "evaluation": partial(evaluation.evaluated, queries=150, gallery=600),
}
FOLDER = Path("reports")


def main() -> None:
    """Measure what is asked for, print it as a table and write it as CSV."""
    chosen = _parser().parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.scale:
            table, name = scale.measure(Path(folder), [1_000, 2_000] if chosen.quick else scale.COUNTS), "bench_scale"
        else:
            table, name = compare(chosen, Path(folder)), "bench"
    print(f"\n{table.to_string(index=False, float_format=_number, na_rep='')}\n")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    out = chosen.out or FOLDER / f"{name}.csv"
    with whole_file(out) as file:
        table.assign(**facts).to_csv(file, index=False)
    print(f"written to {out}")


def compare(chosen: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Measure the rows asked for."""
    table: list[Row] = []
    entries = 128 if chosen.quick else ENTRIES
    data = listed(chosen.data, folder, 24 if chosen.quick else 600, entries)
    for name, measure in (QUICK if chosen.quick else ROWS).items():
        if chosen.only and name not in chosen.only:
            continue
        started = time.perf_counter()
        table += measure(data, 1 if chosen.quick else chosen.repeats, folder)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    columns = ["work", "ours", "theirs", "unit", "ratio"]
    return pd.DataFrame([row._asdict() for row in table])[columns].join(pd.DataFrame([row.facts() for row in table]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help=f"rows to measure: {', '.join(ROWS)}")
    parser.add_argument("--data", type=Path, help="folder of photos to measure with (default: 600 drawn JPEGs)")
    parser.add_argument("--out", type=Path, help="CSV to write (default: reports/bench.csv or bench_scale.csv)")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repetitions (default: 5)")
    parser.add_argument("--scale", action="store_true", help="measure growth from a thousand to a million photos")
    parser.add_argument("--quick", action="store_true", help="a few small rows, to see that they run")
    return parser


def _number(value: float) -> str:
    """Three digits that count, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    torch.set_num_threads(min(torch.get_num_threads(), 2))
    main()
