"""Golden frames a second, and Verilator cycles a second, for one model.

    python -m benchmarks.speed digits.pt [--fps N] [--frames N]

Golden: whole batches on all threads.  Verilator: the compiled bench on one thread, its compilation
left out; the clocks are those of the accelerator.  Both depend on the machine: compare ratios.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xnorhw
from xnorhw import golden
from xnorhw.golden.codes import random_codes
from xnorhw.pack import pack_frames
from xnorhw.sim.compiled import run_compiled
from xnorhw.sim.model import compile_bench, read_sources


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--frames", type=int, default=64)
    options = parser.parse_args()
    model = xnorhw.load(options.model)
    codes = random_codes(model.integer, options.frames, seed=0)
    golden.run(model.integer, codes[:2])
    begin = time.perf_counter()
    tensors = golden.run(model.integer, codes)
    seconds = time.perf_counter() - begin
    print(f"golden: {options.frames / seconds:.0f} frames a second")
    with tempfile.TemporaryDirectory() as temporary:
        build = model.build(
            "pynq-z2", Path(temporary) / "out", target_fps=options.fps, frames=1, verify="none"
        )
        files, work = read_sources(build.folder), build.folder / "work"
        compile_bench(files, work)
        kind = build.graph.tensor(build.plan.input_tensor).type
        assert kind is not None
        frames = pack_frames(build.plan, tensors[build.plan.input_tensor], kind)
        begin = time.perf_counter()
        run = run_compiled(files, build.plan, frames, work)
        seconds = time.perf_counter() - begin
    assert len(np.unique(run.last_out)) == options.frames
    print(f"Verilator: {run.clocks / seconds:.0f} cycles a second, {options.frames / seconds:.1f} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
