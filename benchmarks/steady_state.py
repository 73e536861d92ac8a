"""Cycles a frame in steady state, simulated, against the bound, at several frame rates.

    python -m benchmarks.steady_state [--model digits.pt] [--networks FOLDER] [--fps A,B,...] [--json FILE]

Without --model the street-view layer table is measured; with --networks its trained weights, else
seeded random ones.  Each row is one folding that the planner chose for a target.  The simulation is
the compiled Verilator bench, 21 frames back to back.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import xnorhw
from benchmarks.networks import INPUTS, NETWORKS, load, random_arrays
from xnorhw.check.rtl_link import STEADY_FRAMES

DEFAULT_FPS = {"digits": (20000.0, 100000.0, 500000.0), "cnv": (1000.0, 3000.0, 10000.0, 16000.0)}


def measure(model: xnorhw.Model, fps: float, folder: Path) -> dict[str, float]:
    """One row: the plan for ``fps`` frames a second, built, simulated and verified."""
    build = model.build("pynq-z2", folder, target_fps=fps, frames=2, verify="none", force=True)
    begin = time.monotonic()
    verdict = build.verify(frames=STEADY_FRAMES)
    figures = build.plan.figures
    assert verdict.cycles_per_frame is not None
    return {
        "target_fps": fps,
        "lanes": figures.lanes,
        "lut": figures.resources.lut,
        "bram36": figures.resources.bram36,
        "bound_cycles": figures.bound_cycles,
        "cycles_per_frame": verdict.cycles_per_frame,
        "over_bound_percent": 100 * (verdict.cycles_per_frame / figures.bound_cycles - 1),
        "latency_cycles": verdict.latency_cycles or 0,
        "seconds": time.monotonic() - begin,
    }


def street_view(networks: Path | None, folder: Path) -> Path:
    """The model file of the street-view network."""
    arrays = random_arrays("cnv") if networks is None else load(networks, "cnv")
    path = folder / "cnv.pt"
    xnorhw.save(NETWORKS["cnv"](arrays), path, INPUTS["cnv"])
    return path


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--fps", type=lambda text: [float(x) for x in text.split(",")])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        path = options.model or street_view(options.networks, Path(temporary))
        targets = options.fps or DEFAULT_FPS["digits" if options.model else "cnv"]
        model = xnorhw.load(path)
        print("target fps    lanes      LUT  BRAM36    bound  simulated  over %  latency")
        for fps in targets:
            row = measure(model, fps, Path(temporary) / "out")
            rows.append(row)
            print(
                f"{row['target_fps']:10.0f} {row['lanes']:8.0f} {row['lut']:8.0f} {row['bram36']:7.1f} "
                f"{row['bound_cycles']:8.0f} {row['cycles_per_frame']:10.1f} "
                f"{row['over_bound_percent']:7.3f} {row['latency_cycles']:8.0f}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
