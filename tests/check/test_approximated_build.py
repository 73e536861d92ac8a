"""A residual network that is not snapped, approximated: its first layer, its norms, through the C engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import xnorhw
from benchmarks.varied import varied
from xnorhw import nn as xnn
from xnorhw.emit.store import read_build
from xnorhw.ir.int_graph import FullProduct, Requant
from xnorhw.sim.tools import missing_tools

SHAPE = xnorhw.Input((3, 9, 7))
CHANNELS = 40
"""No multiple of a word; sums of 17 bits, which no table takes."""


class Residual(nn.Module):
    """Weights that are small, behind them a block of codes of 8 bits on numbers of 12."""

    def __init__(self) -> None:
        super().__init__()
        self.quant = xnn.InputQuant(mean=0.45, std=0.23)
        self.first = xnn.FullConv2d(3, CHANNELS, 3, padding=1, in_scale=self.quant.scale, bias=False)
        with torch.no_grad():
            self.first.weight.mul_(2.0**-6)
        self.norm0, self.relu, self.grid0 = nn.BatchNorm2d(CHANNELS), nn.ReLU(), xnn.Grid(9, 5)
        self.act = xnn.QuantReLU(8, 2.0**-5)
        self.conv = xnn.BinaryConv2d(CHANNELS, CHANNELS, 3, padding=1, scale="channel", in_scale=2.0**-5)
        self.norm, self.grid, self.out = nn.BatchNorm2d(CHANNELS), xnn.Grid(12, 6), xnn.Grid(12, 6)
        self.last = nn.Sequential(nn.Flatten(), xnn.FullLinear(CHANNELS * 63, 4, in_frac=8))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to scores."""
        y = self.grid0(self.relu(self.norm0(self.first(self.quant(x)))))
        return self.last(self.out(self.grid(self.norm(self.conv(self.act(y)))) + y))  # type: ignore[no-any-return]


@pytest.mark.skipif(bool(missing_tools()), reason="needs Verilator, g++, make and perl")
def test_it_is_the_same_in_c_and_decides_as_the_trained_network(tmp_path: Path) -> None:
    torch.manual_seed(4)
    x = torch.randint(0, 256, (200, 3, 9, 7)).float()
    net = varied(Residual(), x)
    xnorhw.save(net, tmp_path / "model.pt", SHAPE, samples=x[:8].numpy())
    build = xnorhw.load(tmp_path / "model.pt").build(
        "cpu", tmp_path / "out", verify="full", frames=8, approximate=True
    )
    verdict = build.verdict
    assert verdict is not None and verdict.passed and verdict.approximation is not None
    assert {link.name for link in verdict.links if link.ran} >= {"golden", "c"}
    assert verdict.approximation.layers == ("first", "conv", "norm", "last.1")
    graph = read_build(tmp_path / "out").graph
    first = next(n.op for n in graph.nodes if isinstance(n.op, FullProduct))
    assert first.frac > 30
    assert any(n.output.name == "grid" and isinstance(n.op, Requant) for n in graph.nodes)
    with torch.inference_mode():
        theirs = net(x).argmax(dim=1).numpy()
    assert (build.predict(x.numpy(), on="golden").argmax(axis=1) == theirs).all()
    assert len(set(theirs.tolist())) > 2
