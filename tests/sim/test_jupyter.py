"""Notebooks on the simulated device without pynq; with it, they are run in tests/pynq."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from xnorhw.sim import jupyter


def test_without_pynq(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said in one paragraph, before anything is written."""
    assert importlib.util.find_spec("pynq") is None
    assert jupyter.main([str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        "xnorhw: error: pynq: it is not installed here. Use the environment that make test-pynq makes, "
        ".venv-pynq by default.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_old_build(small_build: Path, tmp_path: Path) -> None:
    """The notebook is copied where it may be changed; a build without one is told from one with."""
    copy = jupyter.notebook(small_build, tmp_path / "work")
    assert copy.parent == tmp_path / "work" and copy.suffix == ".ipynb"
    (tmp_path / "old" / "pynq").mkdir(parents=True)
    with pytest.raises(jupyter.XnorhwError, match="was built before there was a notebook"):
        jupyter.notebook(tmp_path / "old", tmp_path / "work")
