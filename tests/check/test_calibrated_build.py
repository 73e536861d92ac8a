"""A Binary-Weight-Network without a binary activation: trained, calibrated, built, verified in every form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

import xnorhw
from xnorhw import nn as xnn
from xnorhw.nn.data import load_data
from xnorhw.nn.train import RECIPES, Run, train


def network() -> nn.Module:
    """Five layers of binary weights; what they read is real, as torch trains it."""
    quant = xnn.InputQuant(mean=0.5, std=0.5)
    return nn.Sequential(
        quant,
        xnn.BinaryConv2d(1, 16, 3, padding=1, scale="channel", in_scale=quant.scale),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        xnn.BinaryConv2d(16, 16, 3, padding=1, scale="channel"),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        xnn.BinaryConv2d(16, 24, 3, padding=1, scale="channel"),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        xnn.BinaryConv2d(24, 24, 3, scale="channel"),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Flatten(),
        xnn.BinaryLinear(24 * 2 * 2, 10, scale="channel"),
    )


@pytest.mark.long
@pytest.mark.parametrize("bits", [4, 8])
def test_a_trained_network_of_real_activations_is_calibrated_built_and_verified(
    bits: int, tmp_path: Path
) -> None:
    data = load_data("digits", seed=0)
    result = train(network, data, replace(RECIPES["plain"], epochs=10), run=Run(seed=0))
    assert result.accuracy > 0.9
    frames, labels = data.samples(64)
    path = tmp_path / "codes.pt"
    codes = xnorhw.calibrate(result.net.eval(), frames.astype("float32"), bits=bits)
    xnorhw.save(codes, path, xnorhw.Input(data.shape), samples=frames[:16], labels=labels[:16])
    build = xnorhw.load(path).build("pynq-z2", tmp_path / "out", verify="full", frames=8)
    verdict = build.verdict
    assert verdict is not None and verdict.passed and verdict.mismatches == 0
    assert {link.name for link in verdict.links if link.values} >= {"golden", "rom", "c", "hls", "rtl"}
