"""Seconds and peak memory of ``build --verify none`` for the street-view network, and its weight memory.

    python -m benchmarks.build_cost [--networks FOLDER]

The build runs in a process of its own, imports included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.steady_state import street_view


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = street_view(options.networks, folder)
        command = [sys.executable, "-m", "xnorhw", "build", "--board", "pynq-z2", "--verify", "none"]
        begin = time.monotonic()
        subprocess.run(
            [*command, str(model), "-o", str(folder / "out")], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.monotonic() - begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        report = json.loads((folder / "out" / "report.json").read_text())
    weights = report["weights"]
    print(f"build --verify none: {seconds:.1f} s, peak memory {peak:.0f} MiB")
    print(
        f"weights: {weights['binary_bits']} bits, {weights['float32_bytes']} bytes as float32, "
        f"ratio {weights['ratio']:g}; all ROMs {weights['total_bytes']} bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
