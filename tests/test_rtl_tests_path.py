"""The benches of rtl_tests in a checkout whose path has a space."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parent.parent / "rtl_tests" / "conftest.py"


def test_a_path_with_a_space_is_refused_in_one_line(tmp_path: Path) -> None:
    place = tmp_path / "my checkout" / "rtl_tests"
    place.mkdir(parents=True)
    shutil.copy(CONFTEST, place)
    (place / "test_nothing.py").write_text("def test_nothing() -> None:\n    raise AssertionError\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place.parent, check=False)
    assert done.returncode == 2
    assert (
        f"make cannot build in a path with spaces: {place.parent}; move the checkout"
        in done.stderr + done.stdout
    )
    assert "Traceback" not in done.stderr + done.stdout and "1 failed" not in done.stdout
