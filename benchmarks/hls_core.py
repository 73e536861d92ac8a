"""The C++ core at several frame rates: clocks a frame at II 1, stages, the memory of its streams.

    python -m benchmarks.hls_core [--model digits.pt] [--networks FOLDER] [--fps A,B,...]

Without --model the street-view layer table is taken; with --networks its trained weights, else seeded
random ones.  "slowest" is the slowest stage's turns; "run" follows from 21 frames back to back
through the compiled core on streams of their real depths, a turn a clock: both are formulas, the
second one evaluated on the program.  "RTL" is the plan's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xnorhw
from benchmarks.steady_state import DEFAULT_FPS, street_view
from xnorhw import golden
from xnorhw.check.hls_link import STEADY_FRAMES
from xnorhw.emit import hls
from xnorhw.golden.codes import random_codes
from xnorhw.pack import pack_frames
from xnorhw.plan.hls import hls_design
from xnorhw.sim.hls_run import compile_hls, run_hls


def measure(model: xnorhw.Model, fps: float, work: Path) -> str:
    """One row of the table."""
    graph, plan = model.integer, model.plan("pynq-z2", target_fps=fps)
    design = hls_design(plan)
    files = hls.files(plan, graph)
    begin = time.monotonic()
    compile_hls(files, work)
    compiled = time.monotonic() - begin
    tensor = graph.tensor(plan.input_tensor)
    assert tensor.type is not None
    codes = random_codes(graph, 3, seed=1)
    values = golden.run(graph, codes)[plan.input_tensor]
    frames = pack_frames(plan, values, tensor.type)
    begin = time.monotonic()
    run = run_hls(files, plan, np.resize(frames, (STEADY_FRAMES, frames.shape[1])), work)
    seconds = time.monotonic() - begin
    streams = sum(stream.depth * stream.width for stream in design.streams) / 1000
    return (
        f"{fps:10.0f} {len(design.stages):7d} {design.cycles_per_frame:9d} {run.cycles_per_frame:10.1f} "
        f"{plan.figures.cycles_per_frame:8d} {streams:10.1f} {compiled:10.1f} {STEADY_FRAMES / seconds:9.0f}"
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--fps", type=lambda text: [float(x) for x in text.split(",")])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = options.model or street_view(options.networks, Path(temporary))
        model = xnorhw.load(path)
        print("target fps  stages   slowest        run      RTL  FIFO kbit  compile s  frames/s")
        for fps in options.fps or DEFAULT_FPS["digits" if options.model else "cnv"]:
            print(measure(model, fps, Path(temporary)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
