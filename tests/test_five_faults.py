"""Five ways in which generators of binary networks are known to go wrong; none of them is ours.

Each test states the fault as a few lines of NumPy, shows on random networks that the fault
would change decisions, and asserts that torch = golden holds for the same networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.lower.lowering import batch_norm, conv, equal
from xnorhw import nn as xnn
from xnorhw.golden.run import product
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import Product, Term

CHANNELS = 8
DECLARED = Input((4, 5, 5), encoding="bipolar")
SEEDS = st.integers(0, 10_000)
Array = npt.NDArray[Any]


def property_test(test: Callable[[int], None]) -> Callable[[], None]:
    return settings(
        max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )(given(seed=SEEDS)(test))


def middle_of(layer: xnn.BinaryConv2d, seed: int) -> list[float]:
    """A value that each channel's output takes, near its median: there decisions can go wrong."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy((2 * rng.integers(0, 2, (8, *DECLARED.shape)) - 1).astype(np.float32))
    with torch.no_grad():
        rows = layer.eval()(x).transpose(0, 1).reshape(CHANNELS, -1)
    return [float(v) for v in rows.median(dim=1).values]


def network(layer: xnn.BinaryConv2d, norm: nn.Module | None) -> nn.Sequential:
    between = [xnn.Sign()] if norm is None else [norm, xnn.Sign()]
    return nn.Sequential(layer, *between, conv(CHANNELS, 3, 2, seed=77)).eval()


def differs(faulty: Array, bits: Array) -> float:
    """The share of decisions that the fault changes."""
    assert faulty.shape == bits.shape
    return float((faulty != bits).mean())


@property_test
def test_the_sign_of_a_negative_gamma_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = conv(4, CHANNELS, seed=seed)
    gamma = rng.uniform(0.5, 2, CHANNELS) * np.where(np.arange(CHANNELS) % 2, -1, 1)
    mean = np.array(middle_of(layer, seed)) + 0.5
    result = equal(network(layer, batch_norm(gamma.tolist(), mean=mean.tolist())), DECLARED)
    sums, bits = result.tensors["0"], result.tensors["2"]
    faulty = np.where(sums >= mean[None, :, None, None], 1, -1)
    assert differs(faulty[:, 1::2], bits[:, 1::2]) > 0.9
    assert differs(faulty[:, ::2], bits[:, ::2]) == 0


@property_test
def test_thresholds_are_rounded_towards_the_comparison(seed: int) -> None:
    """s >= t on integers is s >= ceil(t): floor(t) lets one sum too many pass."""
    rng = np.random.default_rng(seed)
    layer = conv(4, CHANNELS, seed=seed)
    # sums of 36 signs are even, so that the step must lie just above an even number
    mean = np.array(middle_of(layer, seed)) + rng.uniform(0.1, 0.9, CHANNELS)
    result = equal(network(layer, batch_norm([1.0] * CHANNELS, mean=mean.tolist())), DECLARED)
    sums, bits = result.tensors["0"], result.tensors["2"]
    faulty = np.where(sums >= np.floor(mean)[None, :, None, None], 1, -1)
    assert differs(faulty, bits) > 0.03
    assert differs(np.where(sums >= np.ceil(mean)[None, :, None, None], 1, -1), bits) == 0


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (1, 0, 0, 0), (0, 2, 1, 0)])
def test_zero_padding_is_not_read_as_minus_one(pads: tuple[int, int, int, int]) -> None:
    @property_test
    def check(seed: int) -> None:
        layer = conv(4, CHANNELS, padding=pads, seed=seed)
        mean = middle_of(layer, seed)
        result = equal(network(layer, batch_norm([1.0] * CHANNELS, mean=mean)), DECLARED)
        sums, bits = result.tensors["0"], result.tensors["2"]
        op = result.graph.node("0").op
        assert isinstance(op, Product)
        geometry = WindowGeometry((3, 3), pads=Pads(*pads))
        weight = op.terms[0].weight
        faulty = product(Product((Term(1, weight),), geometry, 1, -1), result.tensors["input"])
        assert (faulty != sums).any()
        assert differs(np.where(faulty >= np.array(mean)[None, :, None, None], 1, -1), bits) > 0.01

    check()


@pytest.mark.parametrize("scale", [None, "channel", "layer"])
def test_a_bias_is_added_behind_the_scale(scale: str | None) -> None:
    """The bias lives in the domain of the module's output, not in that of the integer sum or popcount."""

    @property_test
    def check(seed: int) -> None:
        layer = conv(4, CHANNELS, seed=seed, bias=True, scale=scale)
        with torch.no_grad():
            layer.weight.mul_(4)  # a scale well away from 1/2, where two faults would cancel
        signs, alpha = layer.binarised()
        factor = np.ones(CHANNELS) if alpha is None else alpha.detach().double().numpy()
        factor = np.broadcast_to(factor, CHANNELS)
        assert layer.bias is not None
        with torch.no_grad():
            layer.bias.zero_()
            # the zero of each channel between two of its even sums, some steps away from zero
            steps = np.random.default_rng(seed).choice([-5, 5], CHANNELS)
            zero = np.array(middle_of(layer, seed)) + steps * factor
            layer.bias.copy_(torch.from_numpy(-zero))
        bias = layer.bias.detach().double().numpy()
        result = equal(network(layer, None), DECLARED)
        sums, bits = result.tensors["0"], result.tensors["1"]
        shape = (1, CHANNELS, 1, 1)
        right = np.where(sums * factor.reshape(shape) + bias.reshape(shape) >= 0, 1, -1)
        assert differs(right, bits) == 0
        # popcounts: s = 2p - n, so a bias added to p counts twice
        n = signs[0].numel()
        on_popcount = 2 * ((sums + n) // 2 + bias.reshape(shape)) - n
        faulty = np.where(on_popcount * factor.reshape(shape) >= 0, 1, -1)
        assert differs(faulty, bits) > 0.02
        if scale is not None:
            in_front = np.where((sums + bias.reshape(shape)) >= 0, 1, -1)
            assert differs(in_front, bits) > 0.005

    check()


@property_test
def test_a_scale_per_channel_is_built_and_right(seed: int) -> None:
    """With a batch norm behind it the scale moves every threshold; leaving it out is no option."""
    rng = np.random.default_rng(seed)
    layer = conv(4, CHANNELS, seed=seed, scale="channel")
    with torch.no_grad():
        spread = torch.from_numpy(10.0 ** rng.uniform(-1, 1, CHANNELS)).float()
        layer.weight.mul_(spread.reshape(-1, 1, 1, 1))
    _, alpha = layer.binarised()
    assert alpha is not None and alpha.shape == (CHANNELS,)
    factor = alpha.detach().double().numpy()
    # between two attainable sums, away from zero
    mean = np.array(middle_of(layer, seed)) + factor * rng.choice([-5, 5], CHANNELS)
    result = equal(network(layer, batch_norm([1.0] * CHANNELS, mean=mean.tolist())), DECLARED)
    sums, bits = result.tensors["0"], result.tensors["2"]
    shape = (1, CHANNELS, 1, 1)
    assert differs(np.where(sums * factor.reshape(shape) >= mean.reshape(shape), 1, -1), bits) == 0
    assert differs(np.where(sums >= mean.reshape(shape), 1, -1), bits) > 0.02
    # one scale for the whole layer, as other generators fall back to
    assert differs(np.where(sums * factor.mean() >= mean.reshape(shape), 1, -1), bits) > 0.005
