"""Brevitas' export to QuantizeLinear and DequantizeLinear, and average pools that it truncates.

It needs Brevitas with its examples and onnxoptimizer in the environment of the tests, as
``test_brevitas`` does.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.foreign.test_brevitas import SHAPES, network, pytestmark  # noqa: F401
from xnorhw import load
from xnorhw.api import Model
from xnorhw.frontends import save
from xnorhw.frontends.foreign import read_foreign
from xnorhw.frontends.foreign.base import Options

SHAPE = (3, 10, 10)


def small(weights: int, activations: int) -> nn.Module:
    """Convolutions and a linear layer of Brevitas' integer quantisers, their scales learned from data."""
    import brevitas.nn as qnn

    torch.manual_seed(0)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(3, 8, 3, weight_bit_width=weights, bias=False),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=activations),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(8, 6, 2, weight_bit_width=weights, bias=True),
        nn.BatchNorm2d(6),
        qnn.QuantIdentity(bit_width=activations),
        nn.Flatten(),
        qnn.QuantLinear(54, 5, bias=True, weight_bit_width=weights),
    )
    for _ in range(5):
        net(torch.rand(64, *SHAPE))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.normal_()
                module.bias.normal_(0, 0.5)
    return net.eval()


def pooled(pool: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with one of Brevitas' average pools that cut low bits off."""
    import brevitas.nn as qnn

    pools = {
        "round": (qnn.TruncAvgPool2d(4, 4, bit_width=4), 32, 10),
        "floor": (qnn.TruncAvgPool2d(4, 4, bit_width=3, float_to_int_impl_type="floor"), 32, 10),
        "of nine": (qnn.TruncAvgPool2d(3, 3, bit_width=4), 32, 8),
        "whole map": (qnn.TruncAdaptiveAvgPool2d((1, 1), bit_width=4), 8, 10),
    }
    made, features, size = pools[pool]
    torch.manual_seed(1)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(3, 8, 3, weight_bit_width=2, bias=False),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        made,
        nn.Flatten(),
        qnn.QuantLinear(features, 5, bias=True, weight_bit_width=4),
    )
    for _ in range(5):
        net(torch.rand(64, 3, size, size))
    return net.eval(), (3, size, size)


def exported(net: nn.Module, shape: tuple[int, ...], dynamo: bool, path: Path) -> Path:
    from brevitas.export import export_onnx_qcdq

    args = torch.zeros(1, *shape)
    export_onnx_qcdq(copy.deepcopy(net), args=args, export_path=str(path), dynamo=dynamo)
    return path


def imported(path: Path, shape: tuple[int, ...]) -> Model:
    said = f"{'x'.join(map(str, shape))},mean=0,std=1"
    _, made = read_foreign(path, None, Options(input=said))
    save(made.net, path.with_suffix(".pt"), input=made.input)
    return load(path.with_suffix(".pt"))


def differing(model: Model, net: nn.Module, shape: tuple[int, ...], divisor: int = 255) -> tuple[int, int]:
    """How many decisions differ from the modules', and how many classes these choose."""
    pixels = np.random.default_rng(1).integers(0, 256, (500, *shape)).astype(np.float32)
    with torch.no_grad():
        made = net(torch.from_numpy(pixels / np.float32(divisor)))
    wanted = getattr(made, "value", made).argmax(1).numpy()
    return int((model.predict(pixels).argmax(1) != wanted).sum()), len(set(wanted))


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize(("weights", "activations"), [(4, 3), (2, 2)])
def test_every_decision_is_that_of_the_modules(
    weights: int, activations: int, dynamo: bool, tmp_path: Path
) -> None:
    net = small(weights, activations)
    model = imported(exported(net, SHAPE, dynamo, tmp_path / "net.onnx"), SHAPE)
    assert model.integer.nodes
    wrong, classes = differing(model, net, SHAPE)
    assert wrong == 0 and classes >= 3
    # the comparison can fail: as if the pixels had been divided by 128
    assert differing(model, net, SHAPE, 128)[0] > 0


@pytest.mark.long
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_the_cnv_of_two_bits(dynamo: bool, tmp_path: Path) -> None:
    name = "CNV_2W2A"
    net, shape = network(name), SHAPES[name]
    model = imported(exported(net, shape, dynamo, tmp_path / "net.onnx"), shape)
    wrong, classes = differing(model, net, shape)
    assert wrong == 0 and classes >= 3


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("pool", ["round", "floor", "of nine", "whole map"])
def test_average_pools_that_cut_bits_off(pool: str, dynamo: bool, tmp_path: Path) -> None:
    from brevitas.export import export_qonnx

    net, shape = pooled(pool)
    path = tmp_path / "net.onnx"
    export_qonnx(copy.deepcopy(net), args=torch.zeros(1, *shape), export_path=str(path), dynamo=dynamo)
    model = imported(path, shape)
    assert model.integer.nodes
    pixels = np.random.default_rng(1).integers(0, 256, (300, *shape)).astype(np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(pixels / np.float32(255))).numpy()
    found = model.predict(pixels)
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max() < np.ptp(wanted, axis=0).max()
    assert np.array_equal(found.argmax(1), wanted.argmax(1))
