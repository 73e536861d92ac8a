"""The vocabulary's operations as torch modules, by the definitions of QONNX."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw.frontends.modules import module_of
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads, WindowGeometry


def run(op: fg.FloatOp, x: list[float] | np.ndarray) -> np.ndarray:
    module = module_of(op, "m")
    assert not module.training
    with torch.inference_mode():
        return np.asarray(module(torch.tensor(np.asarray(x, np.float32))).numpy())


HALVES = [-2.5, -1.5, -0.5, -0.2, 0.2, 0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("ROUND", [-2, -2, 0, 0, 0, 0, 2, 2]),
        ("half_even", [-2, -2, 0, 0, 0, 0, 2, 2]),
        ("CEIL", [-2, -1, 0, 0, 1, 1, 2, 3]),
        ("FLOOR", [-3, -2, -1, -1, 0, 0, 1, 2]),
        ("UP", [-3, -2, -1, -1, 1, 1, 2, 3]),
        ("DOWN", [-2, -1, 0, 0, 0, 0, 1, 2]),
        ("HALF_UP", [-3, -2, -1, 0, 0, 1, 2, 3]),
        ("HALF_DOWN", [-2, -1, 0, 0, 0, 0, 1, 2]),
    ],
)
def test_quant_roundings(rounding: str, expected: list[int]) -> None:
    assert run(fg.Quant(0.5, 0.0, 8, True, False, rounding), np.array(HALVES) / 2).tolist() == [
        e / 2 for e in expected
    ]


@pytest.mark.parametrize(
    ("signed", "narrow", "low", "high"),
    [(True, False, -4, 3), (True, True, -3, 3), (False, False, 0, 7), (False, True, 0, 6)],
)
def test_quant_ranges(signed: bool, narrow: bool, low: int, high: int) -> None:
    assert run(fg.Quant(1.0, 0.0, 3, signed, narrow, "ROUND"), [-100, 100]).tolist() == [low, high]


def test_quant_clamps_before_it_rounds_and_shifts_by_the_zero_point() -> None:
    assert run(fg.Quant(0.5, 3.0, 3, False, False, "CEIL"), [10.0, -1.6, 0.2]).tolist() == [2.0, -1.5, 0.5]


def test_quant_of_one_signed_bit_is_bipolar() -> None:
    assert run(fg.Quant(0.5, 0.0, 1, True, False, "ROUND"), [-0.1, -0.0, 3]).tolist() == [-0.5, 0.5, 0.5]


def test_unknown_rounding() -> None:
    with pytest.raises(ModelError, match="STOCHASTIC"):
        module_of(fg.Quant(1.0, 0.0, 2, True, False, "STOCHASTIC"), "m")


def test_bipolar_quant() -> None:
    x = [-1.0, -0.0, 0.0, 2.0, float("nan")]
    assert run(fg.BipolarQuant(), x).tolist() == [-1, 1, 1, 1, -1]
    assert run(fg.BipolarQuant(0.25), x).tolist() == [-0.25, 0.25, 0.25, 0.25, -0.25]


def test_multi_threshold() -> None:
    per_channel = np.array([[0, 1, 2], [-1, 0, 5]], np.float32)
    x = np.array([[0.0, 0.0], [1.5, 5.0], [-3.0, -2.0]], np.float32)
    assert run(fg.MultiThreshold(per_channel), x).tolist() == [[1, 2], [2, 3], [0, 0]]
    assert run(fg.MultiThreshold(per_channel[:1], 2.0, -1.0), x[:, :, None, None])[:, :, 0, 0].tolist() == [
        [1, 1], [3, 5], [-1, -1],
    ]  # fmt: skip


def test_hardtanh_of_equal_limits() -> None:
    assert run(fg.Hardtanh(0.5, 0.5), [-1, 2]).tolist() == [0.5, 0.5]
    assert run(fg.Hardtanh(0.0, float("inf")), [-1, 2]).tolist() == [0, 2]


def test_batch_norm_with_one_of_gamma_and_beta() -> None:
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    x = np.array([[1, 2]], np.float32)
    found = run(fg.BatchNorm(2 * ones, None, zeros, ones, 0.0, 2), x)
    assert found.tolist() == [[2, 4]]
    assert run(fg.BatchNorm(None, 3 * ones, zeros, ones, 0.0, 2), x).tolist() == [[4, 5]]


def test_max_pool_and_its_uneven_padding() -> None:
    geometry = WindowGeometry((2, 2), (1, 2), Pads(1, 1, 0, 0), (1, 1), True)
    x = -np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4) - 1
    expected = nn.MaxPool2d((2, 2), (1, 2), (0, 1), ceil_mode=True)(torch.from_numpy(x)).numpy()
    assert np.array_equal(run(fg.MaxPool2d(geometry), x), expected)
    with pytest.raises(ModelError, match="unevenly"):
        module_of(fg.MaxPool2d(WindowGeometry((2, 2), pads=Pads(1, 0))), "m")
