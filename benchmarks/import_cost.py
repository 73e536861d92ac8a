"""Seconds and memory of the import of a checkpoint of 62 million weights with its optimiser's state: AlexNet.

    python -m benchmarks.import_cost

The file is as XNOR-Net-PyTorch's training writes it, once in torch's zip form and once in the older one.
`xnorhw import` runs in a process of its own, imports included; the seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.foreign.projects.common import trained
from tests.foreign.projects.xnor_net import AlexNet

ROOT = Path(__file__).resolve().parent.parent
FED = "3x227x227,mean=0.485/0.456/0.406,std=0.00392157"
PROGRAM = """
import json, resource, sys
from xnorhw.cli import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]), file=sys.stderr)
"""


@dataclass(frozen=True)
class Cost:
    """What one import took, and the sizes of its files in bytes."""

    seconds: float
    peak_bytes: int
    given_bytes: int
    made_bytes: int


def checkpoint(path: Path, new: bool) -> int:
    """Write the checkpoint, in the zip form where ``new``; the number of its weights."""
    net = trained(AlexNet())
    weights = list(net.parameters())
    moments = {
        i: {"exp_avg": torch.zeros_like(w), "exp_avg_sq": torch.zeros_like(w)} for i, w in enumerate(weights)
    }
    content = {
        "epoch": 54,
        "arch": "alexnet",
        "state_dict": net.state_dict(),
        "optimizer": {"state": moments},
    }
    torch.save(content, path, _use_new_zipfile_serialization=new)
    return sum(w.numel() for w in weights)


def measure(given: Path) -> Cost:
    """Import a checkpoint in a process of its own."""
    made = given.with_name("model.pt")
    arguments = ["import", str(given), "-o", str(made), "--input", FED]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(ended.stderr.splitlines()[-1])
    return Cost(seconds, peak, given.stat().st_size, made.stat().st_size)


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    print("| form | weights | checkpoint, MB | processor, s | peak memory, GB | model file, MB |")
    print("|---|---|---|---|---|---|")
    for new in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder) / "best.pth.tar"
            count = checkpoint(given, new)
            cost = measure(given)
        print(
            f"| {'zip' if new else 'older'} | {count:,} | {cost.given_bytes / 1e6:.0f} | {cost.seconds:.1f} "
            f"| {cost.peak_bytes / 1e9:.2f} | {cost.made_bytes / 1e6:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
