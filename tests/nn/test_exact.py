from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw import nn as xnn
from xnorhw.nn.exact import exact_sum, lowest_bit


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1),
    st.booleans(),
)
def test_lowest_bit_against_rationals(values: list[float], double: bool) -> None:
    x = torch.tensor(values, dtype=torch.float64 if double else torch.float32)
    found = lowest_bit(x)
    nonzero = [Fraction(v) for v in x.tolist() if v != 0]
    if not nonzero:
        assert found is None
        return
    assert found is not None
    step = Fraction(2) ** found
    multiples = [v / step for v in nonzero]
    assert all(m.denominator == 1 for m in multiples)
    assert any(m.numerator % 2 for m in multiples)


def test_a_kernel_that_errs_by_less_than_half_a_step_is_restored() -> None:
    x = torch.tensor([[0.25, -1.5, 7.75]])
    for error in (0.12, -0.12):
        s = exact_sum(x, 3, lambda dtype, e=error: x.to(dtype).sum(1) + e)  # type: ignore[misc]
        assert s.item() == 6.5


def test_sums_that_float32_cannot_hold_are_float64() -> None:
    x = torch.full((1, 3), float(2**24 - 1))
    seen: list[torch.dtype] = []

    def form(dtype: torch.dtype) -> torch.Tensor:
        seen.append(dtype)
        return x.to(dtype).sum(1)

    s = exact_sum(x, 3, form)
    assert s.dtype == torch.float64
    assert seen == [torch.float64]
    assert s.item() == 3 * (2**24 - 1)


@pytest.mark.parametrize("values", [[float("inf"), 1.0], [float("nan")], [1.0, 2.0**-60], [0.0, 0.0]])
def test_what_is_no_fixed_point_passes_unrounded(values: list[float]) -> None:
    x = torch.tensor([values])
    s = exact_sum(x, len(values), lambda dtype: x.to(dtype).sum(1) + 0.3)
    assert torch.equal(s, x.sum(1) + 0.3) or bool(s.isnan().all())


def _windows(x: np.ndarray, kernel: tuple[int, int], stride: int, dilation: int) -> np.ndarray:
    span = [(k - 1) * dilation + 1 for k in kernel]
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    return view[:, :, ::stride, ::stride, ::dilation, ::dilation]


@pytest.mark.parametrize("largest", [1, 127, 2**11 + 1, 2**20 - 1, 2**23 + 1, 2**24 - 1])
@pytest.mark.parametrize("point", [0, 7])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_sums_are_exact(largest: int, point: int, groups: int) -> None:
    rng = np.random.default_rng(largest + point)
    channels, outputs, kernel, stride, dilation = 64, 6, (3, 2), 2, 2
    codes = rng.integers(-largest, largest + 1, (2, channels, 11, 10))
    layer = xnn.BinaryConv2d(
        channels, outputs, kernel, stride=stride, padding=(1, 0, 2, 3), dilation=dilation, groups=groups
    ).eval()
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(1))
    x = torch.from_numpy((codes / 2.0**point).astype(np.float32))
    with torch.inference_mode():
        found = layer.sum(x)
    signs = np.where(layer.weight.detach().numpy() >= 0, 1, -1)
    padded = np.pad(codes, ((0, 0), (0, 0), (2, 3), (1, 0)))
    parts = []
    for g in range(groups):
        window = _windows(padded, kernel, stride, dilation)[
            :, g * channels // groups : (g + 1) * channels // groups
        ]
        parts.append(
            np.einsum("nchwyx,ocyx->nohw", window, signs[g * outputs // groups : (g + 1) * outputs // groups])
        )
    expected = np.concatenate(parts, axis=1)
    assert np.array_equal(found.double().numpy() * 2.0**point, expected)


@pytest.mark.parametrize("largest", [1, 255, 2**16, 2**24 - 1])
def test_linear_sums_are_exact(largest: int) -> None:
    rng = np.random.default_rng(largest)
    codes = rng.integers(-largest, largest + 1, (4, 4096))
    layer = xnn.BinaryLinear(4096, 7).eval()
    with torch.inference_mode():
        found = layer.sum(torch.from_numpy(codes.astype(np.float32)))
    signs = np.where(layer.weight.detach().numpy() >= 0, 1, -1)
    assert np.array_equal(found.double().numpy(), codes @ signs.T)


def test_gradient_passes_the_rounding_in_eval() -> None:
    layer = xnn.BinaryLinear(8, 2).eval()
    x = torch.tensor([[0.5] * 8], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(layer.weight >= 0, 1.0, -1.0).sum(0, keepdim=True))
