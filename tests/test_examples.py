"""The examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_own_network(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples/own_network.py"), str(tmp_path / "own"), "--epochs", "1"],
        env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = re.search(r"accuracy: ([\d.]+) % in PyTorch, ([\d.]+) % in integers", ended.stdout)
    assert found is not None and found[1] == found[2]
    assert (tmp_path / "own/out/report.html").is_file()
