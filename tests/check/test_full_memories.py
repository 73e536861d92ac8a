"""An integer weight changed in a memory file or in the C++ core's arrays: the difference names it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import xnorhw
from xnorhw import nn as xnn
from xnorhw.check.compare import Comparison
from xnorhw.check.hls_memories import check_hls_memories
from xnorhw.check.memories import check_memories
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.ir.int_graph import FullProduct
from xnorhw.nn.snap import snapped
from xnorhw.pack import lanes_from_words
from xnorhw.plan import Folding, LayerFolding
from xnorhw.plan.model import MatrixUnit

PE, SIMD, GROUP, FOLD, ROW, LANE = 2, 6, 1, 2, 1, 4
"""The folding of the first layer, and the weight that is changed."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memories")
    torch.manual_seed(3)
    quant = xnn.InputQuant(mean=0.5, std=0.25)
    conv = xnn.FullConv2d.from_conv(nn.Conv2d(2, 5, 3), in_scale=quant.scale, bits=6)
    net = nn.Sequential(quant, snapped(conv), nn.BatchNorm2d(5), xnn.Sign(), nn.Flatten())
    net.append(xnn.BinaryLinear(5 * 3 * 3, 3))
    xnorhw.save(net.eval(), folder / "model.pt", xnorhw.Input((2, 5, 5)))
    folding = Folding((LayerFolding("1", PE, SIMD), LayerFolding("5", 1, 5)))
    xnorhw.load(folder / "model.pt").build("pynq-z2", folder / "out", folding=folding, verify="none")
    return folder / "out"


@pytest.fixture
def build(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def unit_of(stored: StoredBuild) -> MatrixUnit:
    unit = stored.plan.unit(stored.plan.layers[0].matrix)
    assert isinstance(unit, MatrixUnit) and 2 <= unit.weight_bits <= 6
    assert (unit.pe, unit.simd, unit.folds, unit.groups) == (PE, SIMD, 3, 3)
    return unit


def assert_named(stored: StoredBuild, found: Comparison, was: int) -> None:
    """The difference is that weight, as a number; ``was`` is what the file had."""
    assert found.mismatches == 1 and found.first is not None
    first = found.first
    assert (first.layer, first.channel, first.y, first.x) == ("1", GROUP * PE + ROW, FOLD, LANE)
    assert first.expected == was and abs(first.found - was) == 1
    product = stored.graph.node("1").op
    assert isinstance(product, FullProduct)
    # flattened (ky, kx, channel); a falling channel is turned round
    row = product.weight[GROUP * PE + ROW].transpose(1, 2, 0).ravel()
    assert abs(was) == abs(int(row[FOLD * SIMD + LANE]))


def test_in_a_memory_file(build: Path) -> None:
    stored = read_build(build)
    unit = unit_of(stored)
    assert check_memories(stored).mismatches == 0
    path = build / "rom" / "accel_l0_weights.mem"
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    at, bits = first + GROUP * unit.folds + FOLD, unit.weight_bits
    lane = ROW * SIMD + LANE
    was = int(lanes_from_words([int(lines[at], 16)], PE * SIMD, bits, signed=True)[0, lane])
    lines[at] = f"{int(lines[at], 16) ^ 1 << lane * bits:x}"
    path.write_text("\n".join(lines) + "\n")
    assert_named(stored, check_memories(stored), was)


def test_in_the_arrays_of_the_core(build: Path) -> None:
    stored = read_build(build)
    unit = unit_of(stored)
    whole = check_hls_memories(stored, "rom")
    assert whole.mismatches == 0
    path, bits = build / "hls" / "accel_weights.h", unit.weight_bits
    seen = []

    def change(match: re.Match[str]) -> str:
        rows = re.findall(r"\{([^{}]*)\}", match[2])
        numbers = [row.split(",") for row in rows]
        word = int(numbers[ROW][GROUP * unit.folds + FOLD].strip().removesuffix("ULL"), 16)
        seen.append(int(lanes_from_words([word], SIMD, bits, signed=True)[0, LANE]))
        numbers[ROW][GROUP * unit.folds + FOLD] = f"0x{word ^ 1 << LANE * bits:X}ULL"
        return match[1] + ", ".join("{" + ", ".join(row) + "}" for row in numbers) + "};"

    replace_once(path, rf"(ap_uint<{SIMD * bits}> l0_mvu_weights\[{PE}\]\[9\] = \{{)(.*?)\}};", change)
    assert_named(stored, check_hls_memories(stored, "rom"), seen[0])


def replace_once(path: Path, pattern: str, change: Callable[[re.Match[str]], str]) -> None:
    text, count = re.subn(pattern, change, path.read_text(), flags=re.DOTALL)
    assert count == 1
    path.write_text(text)
