"""A checkpoint of 62 million weights with its optimiser's state: the memory of its import."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.import_cost import checkpoint, measure

BYTES = 2 << 30


@pytest.mark.long
@pytest.mark.parametrize("new", [True, False])
def test_alexnet_in_two_gigabytes(new: bool, tmp_path: Path) -> None:
    assert checkpoint(tmp_path / "best.pth.tar", new) > 60e6
    cost = measure(tmp_path / "best.pth.tar")
    assert cost.given_bytes > 740e6
    assert cost.peak_bytes < BYTES
    assert cost.made_bytes < 80e6
