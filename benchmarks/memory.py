"""What a network's weights take in the built files, beside float32: the memory table of XNOR-Net, honestly.

    python -m benchmarks.memory [NAME ...] [--json]

Each network of the zoo is initialised and built for the CPU.  The bits of its binary weights and the
words of its full-precision ones are those that the build's report counts; its ratio is of all weights,
at a bit and at four bytes each, to the same in float32.  Then the build's own C source of the network
is compiled and what its constants take is measured: weights as the engine reads them, padding,
thresholds and lookup tables included.  `binary layers` is what these alone come to: 32, by definition,
for one base of weights.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.zoo import model_of
from xnorhw.nn import zoo

FRAMES = 2
CONSTANTS = re.compile(r"^\.(?:rodata|data\.rel\.ro|data)\S*\s+(\d+)\s", re.MULTILINE)
"""A section of `size -A` that holds constants, and its bytes."""

HEAD = (
    "| network | weights | binary bits | binary MB | full-precision MB | binary layers | ratio by count "
    "| constants measured, MB | ratio measured |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """A network: weights, bits, and bytes."""

    name: str
    weights: int
    binary_bits: int
    full_bytes: float
    total_bytes: float
    float32_bytes: int
    constants_bytes: int

    @property
    def text(self) -> str:
        """The row of the table."""
        binary = self.float32_bytes - self.full_bytes
        shrunk = f"{binary / (self.binary_bits / 8):.1f}x" if self.binary_bits else "-"
        return (
            f"| {self.name} | {self.weights:,} | {self.binary_bits:,} | {self.binary_bits / 8e6:.3f} "
            f"| {self.full_bytes / 1e6:.3f} | {shrunk} | {self.float32_bytes / self.total_bytes:.1f}x "
            f"| {self.constants_bytes / 1e6:.3f} | {self.float32_bytes / self.constants_bytes:.1f}x |"
        )


def constants(network: Path, work: Path) -> int:
    """What the constants of a build's ``accel_network.c`` take in its object file, in bytes."""
    compiled = work / "network.o"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-std=c11", "-O1", "-c", str(network), "-o", str(compiled)], check=True)
    listed = subprocess.run(["size", "-A", str(compiled)], check=True, capture_output=True, text=True).stdout
    return sum(int(size) for size in CONSTANTS.findall(listed))


def measure(name: str) -> Row:
    """Build one network and read what its files hold."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with contextlib.redirect_stdout(io.StringIO()):
            model, _ = model_of(name, None, folder, FRAMES)
            built = model.build("cpu", folder / "cpu", frames=FRAMES, verify="none")
        counted = json.loads((built.folder / "report.json").read_text())["weights"]
        measured = constants(built.folder / "host" / "engine" / "accel_network.c", folder)
    return Row(
        name,
        counted["float32_bytes"] // 4,
        counted["binary_bits"],
        counted["total_bytes"] - counted["binary_bits"] / 8,
        counted["total_bytes"],
        counted["float32_bytes"],
        measured,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    if not asked.json:
        print(HEAD, flush=True)
    for name in asked.names or zoo.NAMES:
        rows.append(measure(name))
        if not asked.json:
            print(rows[-1].text, flush=True)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
