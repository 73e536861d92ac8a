"""The two trained networks: save, build for pynq-z2, verify, and compare with the known integers.

    python -m benchmarks.real_networks FOLDER [--out work/networks] [--frames N] [lfc] [cnv]

FOLDER holds lfc_w1a1_mnist.npz and cnv_w1a1_svhn.npz.  Prints one line a network, ends with 1
where an integer differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import xnorhw
from benchmarks.networks import INPUTS, NETWORKS, load
from xnorhw.emit.store import read_build

EXPECTED = {"lfc": "expected_s3", "cnv": "expected_scores"}


def run(folder: Path, name: str, out: Path, frames: int) -> bool:
    """Build and verify one network; True where every link and the known integers agree."""
    arrays = load(folder, name)
    image = arrays["image_u8"].astype(np.float32).reshape(1, *INPUTS[name].shape)
    out.mkdir(parents=True, exist_ok=True)
    model_file = out / f"{name}.pt"
    xnorhw.save(NETWORKS[name](arrays), model_file, INPUTS[name], samples=image)
    build = xnorhw.load(model_file).build("pynq-z2", out / name, frames=frames, verify="none", force=True)
    begin = time.monotonic()
    verdict = build.compare(progress=lambda text: print(f"  {text}", file=sys.stderr))
    seconds = time.monotonic() - begin
    known = arrays[EXPECTED[name]].ravel()
    golden = read_build(build.folder).samples.sums[0].ravel()
    on_rtl = build.predict(image, on="rtl").ravel()
    on_hls = build.predict(image, on="hls").ravel()
    exact = all(bool((found == known).all()) for found in (golden, on_hls, on_rtl))
    figures = build.plan.figures
    print(
        f"{name}: integers {'equal' if exact else 'DIFFER'} (class {int(on_rtl.argmax())}), "
        f"{verdict.values} values, {verdict.mismatches} mismatches, "
        f"{verdict.cycles_per_frame:.1f} cycles a frame simulated, {figures.bound_cycles} bound, "
        f"{figures.fps:.0f} frames/s at {build.plan.clock_mhz:g} MHz by formula, verified in {seconds:.0f} s"
    )
    return exact and verdict.passed


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", metavar="lfc|cnv")
    parser.add_argument("--out", type=Path, default=Path("work/networks"))
    parser.add_argument("--frames", type=int, default=16)
    options = parser.parse_args()
    names = options.networks or sorted(NETWORKS)
    if unknown := set(names) - set(NETWORKS):
        parser.error(f"there is no network {sorted(unknown)[0]!r}")
    results = [run(options.folder, name, options.out, options.frames) for name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
