"""Networks lowered by trying every sum and by bisection: the same integers, and the model's at every sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from tests.lower.lowering import batch_norm, conv
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import IntGraph, Lookup, Requant, Threshold
from xnorhw.lower import lower, search
from xnorhw.lower import requant as requant_rewrite

CHANNELS = 12
REACH = 36
"""The largest sum of the layer: 4 channels of -1 and +1 under a kernel of 3x3."""
DECLARED = Input((4, 4, 4), encoding="bipolar")
OPERATIONS = (Threshold, Requant, Lookup)


def bases() -> nn.Module:
    made = xnn.BasesActivation(3, frac=4)
    with torch.no_grad():
        made.betas.copy_(torch.tensor([0.5, -0.25, 1.0]))
        made.shifts.copy_(torch.tensor([0.5, -1.5, 2.25]))
    return made


QUANTISERS: dict[str, Callable[[], nn.Module]] = {
    "sign": xnn.Sign,
    "codes of 2 bits": lambda: xnn.QuantReLU(2, 0.5),
    "codes of 4 bits": lambda: xnn.QuantReLU(4, 0.25),
    "codes of 6 bits": lambda: xnn.QuantReLU(6, 0.3),
    "codes of 8 bits": lambda: xnn.QuantReLU(8, 0.05),
    "a grid": lambda: xnn.Grid(8, 3),
    "bases": bases,
}
WORTH: dict[str, Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]] = {
    "a grid": lambda codes: codes / 8,
    # as many of the betas 1, 0.5 and -0.25, whose shifts fall, add as there are ones
    "bases": lambda ones: np.array([-1.25, 0.75, 1.75, 1.25])[ones],
}
UNEVEN = np.random.default_rng(3).uniform(0.2, 2, CHANNELS)
NORMS: dict[str, Callable[[], nn.Module]] = {
    # slopes of both signs, some of them 0
    "any": lambda: batch_norm(
        (UNEVEN * np.resize([1, -1, 1, -1, 0], CHANNELS)).tolist(),
        mean=np.linspace(-20, 20, CHANNELS).tolist(),
        beta=0.3,
        var=21.3,
        eps=1e-5,
    ),
    # exact in binary: whole sums that lie half way between two codes, and zeros in front of a sign
    "ties": lambda: batch_norm(
        (np.resize([1, -1, 0.5, -0.5, 0.25, -0.25, 0], CHANNELS)).tolist(),
        mean=np.resize([0.0, 2, -4, 8], CHANNELS).tolist(),
        beta=0.25 * (np.arange(CHANNELS) % 2),
    ),
}


def lowered(net: nn.Module, monkeypatch: pytest.MonkeyPatch, every: int) -> IntGraph:
    graph = trace(net.eval(), DECLARED)
    for module in (search, requant_rewrite):
        monkeypatch.setattr(module, "EXHAUSTIVE", every)
    return lower(graph, TorchEvaluator(graph))


@pytest.mark.parametrize("middle", ["", "relu", "clip"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("quantiser", QUANTISERS)
def test_bisection_finds_what_trying_every_sum_finds(
    quantiser: str, norm: str, middle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [NORMS[norm](), *{"relu": [nn.ReLU()], "clip": [nn.Hardtanh(-0.5, 2.5)]}.get(middle, [])]
    quant = QUANTISERS[quantiser]()
    torch.manual_seed(4)
    last = xnn.BinaryConv2d(CHANNELS, 2, 1)
    net = nn.Sequential(conv(4, CHANNELS, seed=8), *chain, quant, last)
    whole = lowered(net, monkeypatch, 1 << 16)
    fast = lowered(net, monkeypatch, 0)
    name = str(len(net) - 2)
    node, other = whole.node(name), fast.node(name)
    assert isinstance(node.op, OPERATIONS) and type(other.op) is type(node.op)
    assert fast.rounding_dependent == whole.rounding_dependent

    # every sum of every channel, which no batch of inputs shows
    rows = np.arange(-REACH, REACH + 1)[:, None, None, None]
    sums = np.ascontiguousarray(np.broadcast_to(rows, (len(rows), CHANNELS, 1, 1)))
    with torch.inference_mode():
        wanted = nn.Sequential(*chain, quant)(torch.from_numpy(sums.astype(np.float32))).numpy()
    for graph in (whole, fast):
        cut = dataclasses.replace(
            graph, input_tensor=graph.tensor("0"), nodes=(graph.node(name),), output=name
        )
        cut = dataclasses.replace(
            cut, input_tensor=dataclasses.replace(cut.input_tensor, shape=(CHANNELS, 1, 1))
        )
        assert np.array_equal(WORTH.get(quantiser, np.asarray)(golden.run(cut, sums)[name]), wanted)
    if norm == "any" and (quantiser, middle) != ("sign", "relu"):
        changes = (wanted[1:] != wanted[:-1]).any(axis=(0, 2, 3))
        assert changes.tolist() == [c % 5 != 4 for c in range(CHANNELS)]
