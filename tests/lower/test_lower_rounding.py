"""Channels whose threshold hangs on how a batch norm's x*a + b is rounded are listed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from torch import nn

from tests.lower.lowering import batch_norm, conv, equal
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.ir.float_graph import BatchNorm, Input
from xnorhw.ir.int_graph import Threshold
from xnorhw.lower import lower

CHANNELS = 40
DECLARED = Input((4, 4, 4), encoding="bipolar")


def network(norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv(4, CHANNELS, seed=8), norm, xnn.Sign(), conv(CHANNELS, 2, 2, seed=9)).eval()


def fused_residual(op: BatchNorm, channel: int) -> Fraction:
    """s*a + b at the sum s = mean with one rounding: what is left of s*a - float32(s*a)."""
    one = np.float32(1)
    assert op.gamma is not None
    a = op.gamma[channel] * (one / np.sqrt(op.var[channel] + np.float32(op.eps)))
    mean = op.mean[channel]
    return Fraction(float(mean)) * Fraction(float(a)) - Fraction(float(np.float32(mean * a)))


def test_channels_that_a_fused_multiply_add_moves_are_listed() -> None:
    """With mean an attainable sum and beta 0, two roundings give exactly 0 there, one may give less."""
    rng = np.random.default_rng(5)
    gamma = rng.uniform(0.3, 3.0, CHANNELS) * rng.choice([-1, 1], CHANNELS)
    means = rng.choice([-14, -12, -10, -6, 6, 10, 12, 14], CHANNELS).astype(float)
    net = network(batch_norm(gamma.tolist(), mean=means.tolist(), var=1.7, eps=1e-5))
    graph = trace(net, DECLARED)
    op = graph.node("1").op
    assert isinstance(op, BatchNorm)
    moved = [c for c in range(CHANNELS) if fused_residual(op, c) < 0]
    assert 4 <= len(moved) <= CHANNELS - 4
    lowered = lower(graph, TorchEvaluator(graph))
    listed = {r.channel: r for r in lowered.rounding_dependent}
    assert sorted(listed) == moved
    threshold = lowered.node("2").op
    assert isinstance(threshold, Threshold)
    for channel, entry in listed.items():
        assert entry.tensor == "2"
        assert entry.stored == threshold.table[0, channel, 0]
        fused, separate = entry.others
        # without the rounding error the sum at the mean passes, with it the next one does
        assert separate == means[channel]
        assert fused == means[channel] + (1 if gamma[channel] > 0 else -1)
        assert entry.stored in (fused, separate)


def test_ties_exact_in_binary_are_not_listed() -> None:
    gamma = [2.0 ** (c % 5 - 2) * (-1) ** c for c in range(CHANNELS)]
    result = equal(network(batch_norm(gamma, mean=[float(c % 7 - 3) for c in range(CHANNELS)])), DECLARED)
    assert result.graph.rounding_dependent == ()


def test_a_listed_channel_is_still_compared() -> None:
    """The stored integer is the module's own: torch = golden holds at the very sum in question."""
    gamma = np.linspace(0.3, 3.0, CHANNELS).tolist()
    result = equal(network(batch_norm(gamma, mean=6.0, var=1.7, eps=1e-5)), DECLARED, frames=64)
    listed = [entry.channel for entry in result.graph.rounding_dependent]
    assert listed
    assert (result.tensors["0"][:, listed] == 6).any(axis=(0, 2, 3)).all()
