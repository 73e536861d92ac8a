"""Lines of integers laid where float32 takes the steps of a norm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from benchmarks.varied import varied
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.evaluator import rounded_norm
from xnorhw.frontends.exact_norms import exact_norms
from xnorhw.frontends.exact_numbers import Channels
from xnorhw.frontends.grid_lines import grid_line
from xnorhw.frontends.nearest_lines import nearest_line
from xnorhw.frontends.steps import of_graph
from xnorhw.frontends.trace import trace
from xnorhw.ir.float_graph import BatchNorm, FloatGraph, Grid, GridLine, Input

Ints = npt.NDArray[np.int64]

CHANNELS, REACH = 40, 1 << 17


def norm_of(seed: int, channels: int = CHANNELS) -> BatchNorm:
    """Norms of either direction, one of them constant, whose numbers are no short binary fractions."""
    random = np.random.default_rng(seed)
    gamma = (0.3 + np.abs(random.normal(0, 1, channels))) * random.choice([-1, 1], channels)
    gamma[3] = 0
    beta, mean = random.normal(0, 1, channels), random.normal(0, 9e3, channels)
    parts = (gamma, beta, mean, random.uniform(1e8, 1e9, channels))
    return BatchNorm(*(p.astype(np.float32) for p in parts), 1e-5, 4)


def line_of(norm: BatchNorm, grid: Grid, point: int = 0) -> GridLine:
    """The real line of a norm on multiples of 2^-point."""
    assert norm.gamma is not None and norm.beta is not None
    a = norm.gamma.astype(np.float64) / np.sqrt(norm.var.astype(np.float64) + norm.eps)
    reach = np.full(a.shape, REACH * 2.0**-point)
    return grid_line(Channels(a, norm.beta - norm.mean * a, point, reach), grid)


def codes_of(line: GridLine, sums: Ints) -> Ints:
    """The line's own codes of sums [N, C]."""
    return np.clip((sums * line.multiplier + line.addend) >> line.shift, line.low, line.high)


def float32_codes(norm: BatchNorm, grid: Grid, x: npt.NDArray[np.float32]) -> Ints:
    """The codes of x [N, C], with a fused norm."""
    y = rounded_norm(norm, x, "fused").astype(np.float64) * 2.0**grid.frac
    half = 1 << (grid.bits - 1)
    return np.clip(np.rint(y), -half, half - 1).astype(np.int64)


def deviations(norm: BatchNorm, codes: Ints, frac: int) -> npt.NDArray[np.float64]:
    """How far a step lies from beta, in gammas."""
    assert norm.gamma is not None and norm.beta is not None
    gamma = np.where(norm.gamma == 0, 1, np.abs(norm.gamma))
    return np.abs((codes * 2.0**-frac - norm.beta) / gamma)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("point, spread", [(0, 1.0), (0, 0.3), (6, 0.3)])
def test_what_is_given_up_lies_far_out(seed: int, point: int, spread: float) -> None:
    norm, grid = norm_of(seed), Grid(12, 6)
    unit = np.float32(spread * 2.0**-point)
    norm = replace(norm, mean=norm.mean * unit, var=norm.var * unit**2)
    line = line_of(norm, grid, point)
    made = nearest_line(line, np.full(CHANNELS, REACH * 2.0**-point), norm, None, relu=False)
    sums = np.repeat(np.arange(-REACH, REACH + 1)[:, None], CHANNELS, axis=1)
    wanted = float32_codes(norm, grid, (sums * 2.0**-point).astype(np.float32))
    far = deviations(norm, wanted, grid.frac)
    before, after = codes_of(line, sums) != wanted, codes_of(made, sums) != wanted
    assert np.abs(codes_of(made, sums) - wanted).max() <= 1
    # what a norm makes is about normally distributed
    missed = [float(np.exp(-(far[off] ** 2) / 2).sum()) for off in (before, after)]
    assert missed[0] > 3 and missed[1] < missed[0] * (0.25 if spread == 1 else 1e-3)
    assert before.any(axis=0).sum() > CHANNELS * 3 // 4
    # in no channel the first step that is given up lies nearer to beta than the first that was missed
    first = [np.where(off, far, np.inf).min(axis=0) for off in (before, after)]
    assert (first[1] >= first[0] - 1e-6).all() and (first[1] > first[0] + 1).sum() > CHANNELS // 2
    met = ~before.any(axis=0)
    assert met.any() and np.array_equal(made.multiplier[met], line.multiplier[met])
    assert np.array_equal(made.addend[met], line.addend[met])
    assert made.multiplier[3] == 0 and (made.shift, made.point) == (line.shift, line.point)


def test_every_step_is_met_where_a_line_can() -> None:
    """Few codes of short sums: there is room for a line that is exact, which the shifted one is not."""
    norm, grid = norm_of(1), Grid(9, 3)
    line = line_of(norm, grid)
    moved = replace(line, addend=line.addend + line.multiplier * 2)
    reach = np.full(CHANNELS, float(REACH))
    made = nearest_line(moved, reach, norm, None, relu=False)
    sums = np.repeat(np.arange(-REACH, REACH + 1)[:, None], CHANNELS, axis=1)
    wanted = float32_codes(norm, grid, sums.astype(np.float32))
    assert (codes_of(moved, sums) != wanted).any(axis=0).sum() == CHANNELS - 1
    assert (codes_of(made, sums) == wanted).all()


def test_behind_a_relu_only_sums_that_are_not_negative_count() -> None:
    norm, grid = norm_of(0), Grid(12, 8)
    norm = replace(norm, mean=-np.sqrt(norm.var))
    line, reach = line_of(norm, grid), np.full(CHANNELS, float(REACH))
    sums = np.repeat(np.arange(REACH + 1)[:, None], CHANNELS, axis=1)
    wanted = float32_codes(norm, grid, sums.astype(np.float32))
    count = np.exp(-(deviations(norm, wanted, grid.frac) ** 2) / 2) + 1e-6
    missed = []
    for relu in (False, True):
        made = nearest_line(line, reach, norm, None, relu=relu)
        missed.append(float(count[codes_of(made, sums) != wanted].sum()))
    assert missed[0] > 3 and missed[1] < missed[0] / 4


def test_a_channel_that_is_far_off_stays() -> None:
    norm, grid = norm_of(2), Grid(9, 3)
    line = line_of(norm, grid)
    addend = line.addend.copy()
    addend[7] += line.multiplier[7] * 40
    off = replace(line, addend=addend)
    made = nearest_line(off, np.full(CHANNELS, float(REACH)), norm, None, relu=False)
    assert (made.multiplier[7], made.addend[7]) == (off.multiplier[7], off.addend[7])


def test_what_is_not_looked_at_stays_the_same() -> None:
    norm = norm_of(0)
    line, wide = line_of(norm, Grid(12, 6)), line_of(norm, Grid(20, 14))
    reach = np.full(CHANNELS, float(REACH))
    assert nearest_line(wide, reach, norm, None, relu=False) is wide
    assert nearest_line(line, np.full(CHANNELS, np.inf), norm, None, relu=False) is line
    few = np.full(CHANNELS, 2.0)
    assert nearest_line(line, few, norm, None, relu=False) is line
    made = nearest_line(line, reach, norm, None, relu=False)
    assert made is not line
    # what met float32 before meets it again
    again = nearest_line(made, reach, norm, None, relu=False)
    assert np.array_equal(again.multiplier, made.multiplier) and np.array_equal(again.addend, made.addend)


class Net(nn.Module):
    """Sums of 18 bits, scaled, through a norm onto a grid; a ReLU or a pool between where asked."""

    def __init__(self, front: nn.Module, between: tuple[nn.Module, ...]) -> None:
        super().__init__()
        channels = 48
        self.front, self.between = front, nn.Sequential(*between)
        self.norm, self.grid = nn.BatchNorm2d(channels), xnn.Grid(12, 6)
        side = 4 if any(isinstance(m, nn.MaxPool2d) for m in between) else 8
        self.last = nn.Sequential(xnn.Sign(), nn.Flatten(), xnn.BinaryLinear(channels * side * side, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Codes to scores."""
        return self.last(self.grid(self.norm(self.between(self.front(x)))))  # type: ignore[no-any-return]


def fronts(name: str) -> nn.Module:
    if name == "binary":
        return xnn.BinaryConv2d(48, 48, 5, scale="channel", in_scale=2.0**-7, bias=False)
    if name == "bias":
        front = xnn.BinaryConv2d(48, 48, 5, scale="channel", in_scale=2.0**-7, bias=True)
        nn.init.normal_(front.bias)  # type: ignore[arg-type]
        return front
    return xnn.QuantConv2d(48, 48, 5, weight=xnn.BasesWeight(3, 4), in_scale=2.0**-7)


@pytest.mark.parametrize(
    "front, between",
    [
        ("binary", ()),
        ("bias", ()),
        ("bases", ()),
        ("binary", (nn.ReLU(),)),
        ("binary", (nn.MaxPool2d(2),)),
        ("bases", (nn.ReLU(), nn.MaxPool2d(2))),
    ],
)
def test_the_lines_of_a_network_meet_its_own_norms(front: str, between: tuple[nn.Module, ...]) -> None:
    torch.manual_seed(1)
    x = torch.randint(-128, 128, (60, 48, 12, 12)).float()
    net = Net(fronts(front), between)
    graph = trace(varied(net, x), Input((48, 12, 12), bits=8, signed=True))
    ops = exact_norms(of_graph(graph), lines=True).ops
    assert isinstance(ops["norm"], GridLine)
    made = FloatGraph(
        graph.input,
        tuple(replace(n, op=ops.get(n.output.name, n.op)) for n in graph.nodes),
        graph.output,
    )
    before, after = (TorchEvaluator(g).trace(x.numpy())["grid"] for g in (graph, made))
    assert len(np.unique(before)) > 300
    assert int((before != after).sum()) == 0
