"""How fast a build is simulated, every tensor between its units compared, at one folding or several.

    python -m benchmarks.speed MODEL [--fps N]... [--frames N] [--board NAME]

MODEL is a model file, or FOLDER/lfc_w1a1_mnist.npz or FOLDER/cnv_w1a1_svhn.npz of the trained networks.
Each --fps is a folding, and so is the fastest.  The compiled bench runs on one thread; the seconds are
those of the processor, so that other work on the machine counts little: those that the compiler took,
those of the simulation, and those of reading what it observed and comparing it with golden's tensors,
which are made before.  Golden's own rate is that of whole batches on all threads.  Ends with 1 where a value
differs.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xnorhw
from benchmarks.networks import INPUTS, NETWORKS, load
from xnorhw import golden
from xnorhw.api import Build, Model
from xnorhw.check.compare import compare
from xnorhw.check.observed import frames_of, observed_names, observed_tensors
from xnorhw.emit.store import read_build
from xnorhw.golden.codes import random_codes
from xnorhw.sim.compiled import run_compiled
from xnorhw.sim.model import compile_bench, read_sources

HEAD = ("frames/s", "cycles", "lanes", "compile", "simulate", "compare", "cycles/s", "frames/s", "values")
UNITS = ("by plan", "a frame", "", "s", "s", "s", "simulated", "in all", "differ")


def model_of(path: Path, work: Path) -> Model:
    """The model of a model file or of a trained network's arrays."""
    if path.suffix != ".npz":
        return xnorhw.load(path)
    name = path.name.split("_")[0]
    arrays = load(path.parent, name)
    image = arrays["image_u8"].astype(np.float32).reshape(1, *INPUTS[name].shape)
    xnorhw.save(NETWORKS[name](arrays), work / "model.pt", INPUTS[name], samples=image)
    return xnorhw.load(work / "model.pt")


def programs() -> float:
    """Processor seconds of the programs that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(build: Build, count: int) -> tuple[tuple[str, ...], int]:
    """A line of the table, and how many values differ."""
    stored = read_build(build.folder)
    plan, files, work = stored.plan, read_sources(build.folder), build.folder / "work"
    tensors = golden.run(stored.graph, random_codes(stored.graph, count, seed=0))
    frames = frames_of(stored, tensors)
    begin = programs()
    compile_bench(files, work, assertions=False)
    compiling = programs() - begin
    begin, own = programs(), time.process_time()
    run = run_compiled(files, plan, frames, work, assertions=False)
    simulating = programs() - begin
    found = observed_tensors(stored, run.streams, run.results, count)
    verdict = compare("rtl", observed_names(stored), tensors, found, 0)
    comparing = time.process_time() - own
    line = (
        f"{plan.figures.fps:,.0f}",
        f"{plan.figures.cycles_per_frame:,}",
        f"{plan.figures.lanes:,}",
        f"{compiling:.1f}",
        f"{simulating:.2f}",
        f"{comparing:.2f}",
        f"{run.clocks / simulating:,.0f}",
        f"{count / (simulating + comparing):.1f}",
        f"{verdict.mismatches} of {verdict.values:,}",
    )
    return line, verdict.mismatches


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fps", type=float, action="append", default=[])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--board", default="pynq-z2")
    options = parser.parse_args()
    lines, wrong = [HEAD, UNITS], 0
    with tempfile.TemporaryDirectory() as temporary:
        model = model_of(options.model, Path(temporary))
        codes = random_codes(model.integer, options.frames, seed=0)
        golden.run(model.integer, codes[:2])
        begin = time.perf_counter()
        golden.run(model.integer, codes)
        print(f"golden: {options.frames / (time.perf_counter() - begin):,.0f} frames a second")
        for fps in (*options.fps, None):
            out = Path(temporary) / "out"
            build = model.build(options.board, out, target_fps=fps, frames=1, verify="none", force=True)
            line, differ = measure(build, options.frames)
            lines.append(line)
            wrong += differ
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
