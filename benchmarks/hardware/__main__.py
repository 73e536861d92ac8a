"""Measures the rows of docs/hardware/figures.md and prints them as they stand there.

    python -m benchmarks.hardware [ROW ...] [--networks FOLDER] [--work FOLDER] [--json]

Cycles are simulated with Verilator: 21 frames back to back, every tensor compared with the golden
model, and again under random stalls.  Areas are synthesised with yosys, the formula beside them.
FOLDER holds the arrays of the trained networks (benchmarks/networks.py); without it their weights
are seeded random ones.  All rows take the better part of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.hardware.rows import ROWS, Bench, Found, Row

HEAD = (
    "| row | figure | to reach | then | found | reached | formula | source |\n"
    "|---|---|---|---|---|---|---|---|"
)


def number(value: float | None) -> str:
    """Three digits behind a small number's point, none behind a large one's."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"


def lines(row: Row, found: Mapping[str, Found]) -> list[str]:
    """The row's lines of the table, a figure each."""
    printed = []
    for want in row.wants:
        figure = found[want.figure]
        cells = (
            row.name,
            f"{want.figure}, {want.unit}",
            number(want.reach),
            number(want.then),
            number(figure.value),
            want.met(figure.value),
            number(figure.formula),
            figure.source,
        )
        printed.append(f"| {' | '.join(cells)} |")
    return printed


def tree(row: Row, found: Mapping[str, Found]) -> dict[str, Any]:
    """The row for machines."""
    figures = {
        want.figure: {**vars(want), **vars(found[want.figure]), "met": want.met(found[want.figure].value)}
        for want in row.wants
    }
    return {"row": row.name, "title": row.title, "figures": figures}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    named = {row.name: row for row in ROWS}
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(named))
    parser.add_argument("--networks", type=Path, metavar="FOLDER")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where builds are left")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in named]:
        parser.error(f"there is no row {unknown[0]!r}; the rows are {', '.join(named)}")
    trees = []
    if not options.json:
        print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work.resolve(), options.networks)
        for name in options.rows or list(named):
            found = named[name].measure(bench)
            trees.append(tree(named[name], found))
            if not options.json:
                print("\n".join(lines(named[name], found)), flush=True)
    if options.json:
        print(json.dumps(trees, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
