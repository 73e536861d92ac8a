"""The notebook in real JupyterLab, run by the menu in a browser; its screenshot stays in work/."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xnorhw.sim import jupyter

HERE = Path(__file__).resolve().parent
SCREENSHOT = HERE.parent.parent / "work" / "notebook.png"
ERRORS = ("application/vnd.jupyter.error", "application/vnd.jupyter.stderr")


@pytest.fixture(scope="module")
def lab() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lab", HERE / "lab.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lab"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_cell_ends_without_error(
    lab: ModuleType, digits: Path, devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.access(lab.CHROMIUM, os.X_OK):
        pytest.skip("no browser: sudo apt-get install chromium")
    monkeypatch.setenv("XDG_CACHE_HOME", str(devices))
    copy = jupyter.notebook(digits, tmp_path / "notebooks")
    variables = jupyter.environment(digits, tmp_path / "ipython", work=devices)
    with lab.server(copy.parent, variables, tmp_path / "jupyter") as address, lab.browser() as page:
        lab.run_all(page, address, copy.name)
        shown = lab.outputs(page)
        lab.save(page)
        lab.picture(page, SCREENSHOT)

    wrong = [cell["text"] for cell in shown if set(cell["kinds"]) & set(ERRORS)]
    assert not wrong
    assert [cell["prompt"] for cell in shown] == [f"[{i}]:" for i in range(1, len(shown) + 1)]
    cells = saved(copy)
    assert [cell["execution_count"] for cell in cells.values()] == list(range(1, len(shown) + 1))
    seen = dict(zip(cells, (cell["text"] for cell in shown), strict=True))
    assert "self-test passed on simulated" in seen["self-test"]
    assert "SIMULATED" in seen["device"] and re.search(r"verified: c\s+not run", seen["device"])
    assert "accelerator equals golden on 16 of 16 frames" in seen["accuracy"]
    mean = dict(re.findall(r"(\w+): ([\d.]+)% of 16 labelled", seen["accuracy"]))
    assert mean["accelerator"] == mean["golden"] and float(mean["golden"]) > 60
    assert "equal, bit for bit" in seen["engine"]
    assert SCREENSHOT.stat().st_size > 50_000


def saved(path: Path) -> dict[str, Any]:
    """The code cells of the notebook as the server wrote it, by id."""
    book = json.loads(path.read_text())
    return {cell["id"]: cell for cell in book["cells"] if cell["cell_type"] == "code"}
