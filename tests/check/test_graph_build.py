"""Builds of networks with branches: what the host hands to the chip, and what it makes of what leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xnorhw
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.check.c_link import CLink
from xnorhw.emit.store import read_build
from xnorhw.golden.run import requant
from xnorhw.ir.int_graph import Requant
from xnorhw.plan.model import RequantUnit


class Residual(nn.Module):
    """A block on numbers of 9 bits: they enter the chip in two bytes each, and their sum leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = xnn.FullConv2d(1, 4, 3, frac=4)
        self.norm, self.grid = nn.BatchNorm2d(4), xnn.Grid(9, 2)
        self.sign = xnn.Sign()
        self.conv = xnn.BinaryConv2d(4, 4, 3, padding=1)
        self.norm2, self.grid2 = nn.BatchNorm2d(4), xnn.Grid(9, 2)
        self.flatten, self.last = nn.Flatten(), xnn.FullLinear(64, 3, frac=6, in_frac=4)

    def forward(self, x: Tensor) -> Tensor:
        start = self.grid(self.norm(self.first(x)))
        total = self.grid2(self.norm2(self.conv(self.sign(start)))) + start
        scores: Tensor = self.last(self.flatten(total))
        return scores


class Fire(nn.Module):
    """Signs of two layers side by side leave the chip, for a layer in full precision."""

    def __init__(self) -> None:
        super().__init__()
        self.few, self.norm, self.sign = xnn.BinaryConv2d(1, 3, 3), nn.BatchNorm2d(3), xnn.Sign()
        self.left, self.norm2, self.sign2 = xnn.BinaryConv2d(3, 5, 1), nn.BatchNorm2d(5), xnn.Sign()
        self.right, self.norm3, self.sign3 = (
            xnn.BinaryConv2d(3, 40, 3, padding=1),
            nn.BatchNorm2d(40),
            xnn.Sign(),
        )
        self.flatten, self.last = nn.Flatten(), xnn.FullLinear(45 * 16, 3, frac=6)

    def forward(self, x: Tensor) -> Tensor:
        few = self.sign(self.norm(self.few(x)))
        sides = self.sign2(self.norm2(self.left(few))), self.sign3(self.norm3(self.right(few)))
        scores: Tensor = self.last(self.flatten(torch.cat(sides, dim=1)))
        return scores


class Weighted(nn.Module):
    """Blocks of binary weights on codes: numbers, and sums of them, are read in coarser steps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = xnn.FullConv2d(1, 4, 3, frac=4)
        self.norm, self.grid = nn.BatchNorm2d(4), xnn.Grid(10, 5)
        self.codes = xnn.QuantReLU(8, 0.125)
        self.conv = xnn.BinaryConv2d(4, 4, 3, padding=1, scale="channel", in_scale=0.125)
        self.norm2, self.grid2 = nn.BatchNorm2d(4), xnn.Grid(9, 4)
        self.coarse, self.codes2 = xnn.Grid(8, 3), xnn.QuantReLU(4, 0.25)
        self.conv2 = xnn.BinaryConv2d(4, 4, 3, padding=1, scale="channel", in_scale=0.25)
        self.norm3, self.grid3 = nn.BatchNorm2d(4), xnn.Grid(8, 3)
        self.held = xnn.Grid(7, 1)
        self.flatten, self.last = nn.Flatten(), xnn.FullLinear(64, 3, frac=6, in_frac=4)

    def forward(self, x: Tensor) -> Tensor:
        start = self.grid(self.norm(self.first(x)))
        total = self.coarse(self.grid2(self.norm2(self.conv(self.codes(start)))) + start)
        total = self.held(self.grid3(self.norm3(self.conv2(self.codes2(total)))) + total)
        scores: Tensor = self.last(self.flatten(total))
        return scores


def built(net: nn.Module, folder: Path) -> Path:
    torch.manual_seed(5)
    x = torch.randint(0, 256, (8, 1, 6, 6)).float()
    net.train()(x)
    net = xnorhw.snap(net.eval())
    xnorhw.save(net, folder / "net.pt", xnorhw.Input((1, 6, 6)), samples=x.numpy().astype(np.uint8))
    xnorhw.load(folder / "net.pt").build(board="pynq-z2", out=folder / "out", verify="golden")
    return folder / "out"


@pytest.mark.parametrize(("make", "bits"), [(Residual, 16), (Fire, 8), (Weighted, 16)])
def test_the_engine_hands_over_and_takes_back(make: type[nn.Module], bits: int, tmp_path: Path) -> None:
    stored = read_build(built(make(), tmp_path))
    assert stored.plan.input_frame.element_bits == bits
    kind = stored.graph.input_tensor.type
    assert kind is not None
    draw = np.random.default_rng(1)
    codes = draw.integers(kind.min, kind.max + 1, (4, *stored.graph.input_tensor.shape))
    compared, _ = CLink(stored).check(golden.run(stored.graph, codes), 0)
    assert compared.values and not compared.mismatches, compared.first


@pytest.mark.long
def test_ties_to_even_in_every_form(tmp_path: Path) -> None:
    """Three readers of finer numbers whose multiplication rounds to even, compared on every tensor."""
    folder = built(Weighted(), tmp_path)
    stored = read_build(folder)
    units = [unit.name for unit in stored.plan.units if isinstance(unit, RequantUnit) and unit.even]
    assert len(units) == 3
    moved = 0
    tensors = golden.run(stored.graph, stored.samples.codes)
    for node in stored.graph.nodes:
        if isinstance(node.op, Requant) and node.op.even:
            up = requant(replace(node.op, even=False), tensors[node.input])
            moved += int((up != tensors[node.output.name]).sum())
    assert moved > 20
    verdict = xnorhw.Build(folder).verify(frames=8)
    assert verdict.passed and {"c", "hls", "rtl"} <= {link.name for link in verdict.links if link.ran}
