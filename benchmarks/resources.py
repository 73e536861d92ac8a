"""How far the planner's cost formulas are off what yosys counts, unit by unit.

    python -m benchmarks.resources            # the table, from the recorded counts of the RTL as it is
    python -m benchmarks.resources --count    # count every case again first (minutes)
    python -m benchmarks.resources --cases    # every case, the worst first

The counts are yosys's, ``synth_xilinx -family xc7 -flatten -noiopad -noclkbuf``, of each unit by
itself over a grid of parameters; Vivado's differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from tests.plan.yosys_formula import excused, formula, within
from tests.plan.yosys_units import ALL, OUT, case_digest, count_all


def errors(entries: list[dict[str, Any]]) -> list[tuple[float, float, dict[str, Any]]]:
    """(LUT by formula less LUT counted, the same as a share of the count, entry)."""
    found = []
    for entry in entries:
        off = formula(entry).lut - entry["lut"]
        found.append((off, off / max(entry["lut"], 1), entry))
    return found


def table(entries: list[dict[str, Any]]) -> str:
    """A line a unit: cases, mean and worst error in LUT, memories and DSPs that are not exact."""
    lines = [
        f"{'unit':20} {'cases':>5} {'mean |error|':>12} {'bias':>7} {'worst':>7} {'in band':>7} "
        f"{'BRAM, DSP off':>13}  worst case (counted, formula)"
    ]
    for module in [*sorted({e["module"] for e in entries}), ""]:
        part = [e for e in errors(entries) if e[2]["module"] == module or not module]
        # a share of next to nothing says nothing: tiny units are held to a number of LUTs
        sized = [e for e in part if not excused(e[2])]
        big = [e for e in sized if e[2]["lut"] >= 60] or sized
        mean = sum(abs(share) for _, share, _ in big) / len(big)
        counted, said = sum(e["lut"] for _, _, e in big), sum(e["lut"] + off for off, _, e in big)
        _, share, worst = max(big, key=lambda e: abs(e[1]))
        inside = sum(within(e) for _, _, e in part)
        exact = sum((formula(e).bram36, formula(e).dsp) != (e["bram36"], e["dsp"]) for _, _, e in part)
        case = f"{worst['key']} ({worst['lut']:.0f}, {formula(worst).lut:.0f})" if module else ""
        lines.append(
            f"{module or 'all':20} {len(part):5} {mean:12.1%} {said / counted - 1:7.1%} {share:7.1%} "
            f"{inside:4}/{len(part):<3}{exact:13}  {case}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--cases", action="store_true")
    asked = parser.parse_args()
    if asked.count:
        entries = count_all()
    else:
        entries = json.loads(OUT.read_text())["units"]
        counted = {entry["key"]: entry["sources_sha256"] for entry in entries}
        if any(counted.get(entry.key) != case_digest(entry) for entry in ALL):
            sys.exit("the counts are of another RTL: run python -m tests.plan.yosys_units, or --count")
    if asked.cases:
        for off, share, entry in sorted(errors(entries), key=lambda e: -abs(e[1])):
            print(f"{share:8.1%} {off:8.1f} {'' if within(entry) else 'OUT'} {entry['key']}")
    print(table(entries))


if __name__ == "__main__":
    main()
