"""A checkpoint of 62 million weights with its optimiser's state: the time and the memory of its import."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.foreign.projects.common import trained
from tests.foreign.projects.xnor_net import AlexNet

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS, BYTES = 20, 2 << 30


@pytest.mark.long
@pytest.mark.parametrize("new", [True, False])
def test_alexnet_in_twenty_seconds_and_two_gigabytes(new: bool, tmp_path: Path) -> None:
    net = trained(AlexNet())
    weights = list(net.parameters())
    assert sum(w.numel() for w in weights) > 60e6
    content = {
        "epoch": 54,
        "arch": "alexnet",
        "state_dict": net.state_dict(),
        "optimizer": {"state": {i: {"exp_avg": torch.zeros_like(w)} for i, w in enumerate(weights)}},
    }
    torch.save(content, tmp_path / "best.pth.tar", _use_new_zipfile_serialization=new)
    fed = "3x227x227,mean=0.485/0.456/0.406,std=0.00392157"
    program = "from xnorhw.cli import main; main()"
    arguments = ["import", "best.pth.tar", "-o", "model.pt", "--input", fed]
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    assert time.monotonic() - begin < SECONDS
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < BYTES
    assert (tmp_path / "model.pt").stat().st_size < 80e6
