"""Batch norms in front of a grid as lines of integers: nearest, and what of a network they may take."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.varied import varied
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.check.torch_link import check_torch
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.exact_norms import exact_norms
from xnorhw.frontends.exact_numbers import Channels, NotExactError
from xnorhw.frontends.grid_lines import grid_line
from xnorhw.frontends.modules import module_of
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.rounding import approximated, changed
from xnorhw.frontends.steps import of_graph
from xnorhw.frontends.trace import trace
from xnorhw.golden.codes import codes_of
from xnorhw.ir.float_graph import BatchNorm, FloatGraph, Grid, GridLine, Input
from xnorhw.ir.grid import round_to_grid
from xnorhw.ir.int_graph import Requant
from xnorhw.lower import lower

_RANDOM = np.random.default_rng(1)
# no short decimals: these would make ties
A = np.array([0.7e-3, -1.3e-4, 3e-3, 0.0, -2e-3]) * _RANDOM.uniform(0.9, 1.1, 5)
B = _RANDOM.normal(0, 4, 5)


@pytest.mark.parametrize("point", [0, 5])
def test_a_line_is_the_rounded_real_number(point: int) -> None:
    most = 1 << 20
    grid = Grid(12, 6)
    line = grid_line(Channels(A, B, point, np.full(5, most * 2.0**-point)), grid)
    assert 1 << 27 < np.abs(line.multiplier).max() <= 1 << 28
    drawn = np.random.default_rng(0).integers(-most, most + 1, 3000)
    sums = np.unique(np.concatenate([drawn, [-most, -1, 0, 1, most]]))
    x = torch.from_numpy(np.repeat(sums[:, None] * 2.0**-point, 5, axis=1).astype(np.float32))
    found = module_of(line, "line")(x)
    assert found.dtype == torch.float32
    apart = 0
    for c in range(5):
        a, b = Fraction(float(A[c])), Fraction(float(B[c]))
        for s, y in zip(sums.tolist(), found[:, c].tolist(), strict=True):
            steps = (Fraction(s, 1 << point) * a + b) * 64 + Fraction(1, 2)
            wanted = min(max(floor(steps), -2048), 2047)
            # the line's own rounding may move what lies this close to the middle of two steps
            near = abs(steps - round(steps)) < Fraction(1, 1 << 8)
            apart += y * 64 != wanted
            assert y * 64 == wanted or (near and abs(y * 64 - wanted) == 1), (c, s)
    assert apart <= 3


def test_what_float32_does_is_met_nearly_everywhere() -> None:
    """Sums of 18 bits: what an exact form in float32 keeps of the slope moves a third of the numbers."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(64)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
        assert norm.running_var is not None and norm.running_mean is not None
        norm.running_var.uniform_(1e6, 1e8)
        norm.running_mean.normal_(0, 1e3)
    front = xnn.QuantConv2d(64, 64, 3, weight=xnn.DoReFaWeight(2))
    net = nn.Sequential(front, norm, xnn.Grid(12, 8), nn.Flatten(), xnn.FullLinear(64, 2)).eval()
    graph = trace(net, Input((64, 3, 3), bits=8, signed=True))
    ops = [exact_norms(of_graph(graph), lines=lines).ops["1"] for lines in (False, True)]
    assert norm.running_var is not None and norm.running_mean is not None
    drawn = torch.randn(4000, 64) * norm.running_var.sqrt() + norm.running_mean
    with torch.inference_mode():
        unit = net[0].after_sum(torch.ones(1, 64, 1, 1))
    x = (drawn[:, :, None, None] / unit).round().clamp(-(1 << 17), 1 << 17)
    grid = net[2]
    with torch.inference_mode():
        wanted, coarse, line = (
            grid(m) for m in (norm(net[0].after_sum(x)), *(module_of(op, "1")(x) for op in ops))
        )
    assert isinstance(ops[0], BatchNorm) and isinstance(ops[1], GridLine)
    assert float(wanted.abs().max()) > 4 and len(torch.unique(wanted)) > 2000
    assert float((coarse != wanted).float().mean()) > 0.1
    assert float((line != wanted).float().mean()) < 2e-5 and float((line - wanted).abs().max()) <= 2.0**-8


@pytest.mark.parametrize(
    "a, b, reach", [(np.inf, 0.0, 8.0), (1.0, np.nan, 8.0), (1.0, 0.0, 2.0**25), (1e40, 0, 8)]
)
def test_what_has_no_line(a: float, b: float, reach: float) -> None:
    with pytest.raises(NotExactError):
        grid_line(Channels(np.array([a]), np.array([b]), 0, np.array([reach])), Grid(8, 4))


class Forked(nn.Module):
    """A norm behind wide sums, read by a grid and by ``other``."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.front = xnn.BinaryConv2d(64, 4, 5, scale="channel", in_scale=2.0**-7)
        self.norm, self.grid, self.other = nn.BatchNorm2d(4), xnn.Grid(12, 6), other
        self.last = nn.Sequential(xnn.Sign(), nn.Flatten(), xnn.BinaryLinear(64, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.front(x))
        return self.last(self.grid(y) + self.other(y))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "other, line",
    [
        (xnn.Grid(10, 6), True),
        (nn.Sequential(nn.ReLU(), xnn.Grid(8, 6)), True),
        (xnn.Grid(12, 5), False),
        (xnn.Sign(), False),
        (xnn.QuantReLU(3, 0.5), False),
    ],
)
def test_all_that_reads_the_norm_must_land_on_one_grid(other: nn.Module, line: bool) -> None:
    torch.manual_seed(0)
    net = varied(Forked(other), torch.randint(-128, 128, (8, 64, 8, 8)).float())
    graph = trace(net, Input((64, 8, 8), bits=8, signed=True))
    made = exact_norms(of_graph(graph), lines=True)
    assert made.left == () and isinstance(made.ops["norm"], GridLine) is line
    if line:
        op = made.ops["norm"]
        assert isinstance(op, GridLine) and (op.low, op.high, op.frac) == (-2048, 2047, 6)


class Residual(nn.Module):
    """Three blocks of codes of 8 bits on numbers of 12, as residual networks of binary weights have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = xnn.FullConv2d(3, 32, 3, padding=1, in_scale=2.0**-7, bias=False)
        self.norm0, self.grid0 = nn.BatchNorm2d(32), xnn.Grid(9, 5)
        self.relu = nn.ReLU()
        self.acts = nn.ModuleList(xnn.QuantReLU(8, 2.0**-5) for _ in range(3))
        self.convs = nn.ModuleList(
            xnn.BinaryConv2d(32, 32, 3, padding=1, scale="channel", in_scale=2.0**-5) for _ in range(3)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(32) for _ in range(3))
        self.grids = nn.ModuleList(xnn.Grid(12, 6) for _ in range(3))
        self.outs = nn.ModuleList(xnn.Grid(12, 6) for _ in range(3))
        self.last = nn.Sequential(nn.Flatten(), xnn.FullLinear(32 * 36, 4, in_frac=8))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.grid0(self.relu(self.norm0(self.first(x))))
        for act, conv, norm, grid, out in zip(
            self.acts, self.convs, self.norms, self.grids, self.outs, strict=True
        ):
            y = out(grid(norm(conv(act(y)))) + y)
        return self.last(y)  # type: ignore[no-any-return]


def _share(graph: FloatGraph, other: FloatGraph, x: np.ndarray) -> float:
    traced = [TorchEvaluator(g).trace(x) for g in (graph, other)]
    names = [f"acts.{i}" for i in range(3)]
    return float(np.mean([traced[0][name] != traced[1][name] for name in names]))


def test_a_residual_network_keeps_its_codes_and_is_lowered() -> None:
    declared = Input((3, 6, 6), bits=8, signed=True)
    torch.manual_seed(0)
    net = varied(Residual(), torch.randint(-128, 128, (32, 3, 6, 6)).float())
    graph = trace(net, declared)
    made = approximated(graph)
    assert changed(graph, made) == (
        "first", "convs.0", "norms.0", "convs.1", "norms.1", "convs.2", "norms.2", "last.1",
    )  # fmt: skip
    x = random_inputs(declared, 300)
    assert _share(graph, round_to_grid(graph), x) > 0.02
    assert _share(graph, made, x) < 1e-4
    evaluator = TorchEvaluator(made)
    integers = lower(made, evaluator)
    requants = [n for n in integers.nodes if n.output.name.startswith("grids.")]
    assert len(requants) == 3 and all(isinstance(n.op, Requant) for n in requants)
    assert not any(d.tensor.startswith("grids.") for d in integers.rounding_dependent)
    codes = codes_of(integers, random_inputs(declared, 16))
    link = check_torch(integers, evaluator, codes, golden.run(integers, codes))
    assert link.comparison.mismatches == 0, link.comparison.first
