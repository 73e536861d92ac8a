"""Quantisers as thresholds, weights as bases: every bit width, every rounding, every value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xnorhw.frontends.onnx.products import bases_of
from xnorhw.frontends.onnx.quantisers import ROUNDINGS, Quantiser, bipolar, integer, thresholds
from xnorhw.frontends.onnx.truncating import Truncation
from xnorhw.nn.foreign import ABOVE_ZERO, Affine, MultiThreshold, sign_at_zero

Scale = np.float32


def near(table: np.ndarray) -> np.ndarray:
    """The thresholds, their neighbours in float32, and random numbers around them."""
    top = float(np.abs(table).max()) * 2 + 1
    drawn = np.random.default_rng(0).uniform(-top, top, 4000).astype(np.float32)
    below, above = (np.nextafter(table, np.float32(s * np.inf)) for s in (-1, 1))
    special = np.array([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    return np.concatenate([table, below, above, drawn, special])


@pytest.mark.parametrize("rounding", sorted(ROUNDINGS))
@pytest.mark.parametrize(("bits", "signed", "narrow"), [
    (1, False, False), (1, True, False), (2, True, True), (2, True, False), (3, False, True),
    (4, True, True), (8, False, False), (8, True, False),
])  # fmt: skip
@pytest.mark.parametrize(("scale", "zero"), [(0.5, 0), (0.0298, 3), (1.0, -2)])
def test_thresholds_are_the_quantiser(
    rounding: str, bits: int, signed: bool, narrow: bool, scale: float, zero: int
) -> None:
    quantiser = integer(np.array([scale], np.float32), zero, bits, signed, narrow, rounding)
    table = thresholds(quantiser)
    low = -1 if quantiser.bipolar else quantiser.low
    module = MultiThreshold(table[None], 2.0 if quantiser.bipolar else 1.0, float(low))
    x = near(table)
    found = module(torch.from_numpy(x)[None, :]).numpy()[0]
    assert np.array_equal(found, quantiser.codes(x))
    assert (quantiser.codes(table) > quantiser.codes(np.nextafter(table, np.float32(-np.inf)))).all()


def test_one_step_off_is_seen() -> None:
    quantiser = integer(np.array([0.5], np.float32), 0, 3, False, False)
    table = np.nextafter(thresholds(quantiser), np.float32(np.inf))
    x = near(thresholds(quantiser))
    found = MultiThreshold(table[None])(torch.from_numpy(x)[None]).numpy()[0]
    assert not np.array_equal(found, quantiser.codes(x))


def test_known_values_of_quant() -> None:
    # QONNX: clamp, then round half to even; narrow signed two bits are -1, 0, +1
    quantiser = integer(np.array([1], np.float32), 0, 2, True, True)
    x = np.array([-5, -1.5, -0.51, -0.5, 0.5, 0.51, 7], np.float32)
    assert quantiser.codes(x).tolist() == [-1, -1, -1, 0, 0, 1, 1]
    half_up = integer(np.array([1], np.float32), 0, 4, True, False, "HALF_UP")
    assert half_up.codes(np.array([0.5, -0.5, 1.5, 0.49999997], np.float32)).tolist() == [1, -1, 2, 0]
    assert integer(np.array([1], np.float32), 0, 4, True, False, "HALF_DOWN").codes(
        np.array([0.5, -1.5, 1.51], np.float32)
    ).tolist() == [0, -1, 2]


@pytest.mark.parametrize("scale", [0.1, 0.2160856, 0.29, 0.7, 0.9])
@pytest.mark.parametrize("window", [2, 3, 5, 7, 8])
def test_a_trunc_cuts_bits_off_the_whole_sum(scale: float, window: int) -> None:
    """As an average pool leaves it: some sums, divided by what one is worth, are a little less in float32."""
    area = np.float32(window**2)
    sums = np.arange(15 * window**2 + 1)
    shift = int(sums[-1]).bit_length() - 4
    unit = np.float32(scale) / area
    step = np.array([unit * np.float32(2**shift)])
    made = Truncation(step, 0, 15, 0, "FLOOR", unit=unit, shift=shift)
    x = (sums / area).astype(np.float32) * np.float32(scale)
    assert np.array_equal(made.codes(x), sums >> shift)
    counted = MultiThreshold(thresholds(made)[None])(torch.from_numpy(x)[None]).numpy()[0]
    assert np.array_equal(counted, sums >> shift)


def test_bipolar_is_plus_one_at_zero_and_minus_zero() -> None:
    x = np.array([0.0, -0.0, -1e-45, np.nan], np.float32)
    assert bipolar(np.ones(1, np.float32)).codes(x).tolist() == [1, 1, -1, -1]
    assert thresholds(bipolar(np.ones(1, np.float32))).tolist() == [0.0]


def test_an_unreachable_code_is_infinite() -> None:
    quantiser = Quantiser(np.array([3e38], np.float32), 0, 3)
    assert np.isinf(thresholds(quantiser)).any()


@pytest.mark.parametrize(("low", "high", "most"), [(-1, 1, 2), (-3, 3, 4), (-8, 7, 5), (-128, 127, 9)])
def test_weights_are_their_bases(low: int, high: int, most: int) -> None:
    codes = np.arange(low, high + 1).reshape(1, -1)
    signs, steps, frac = bases_of(codes)
    assert np.isin(signs, (-1, 1)).all() and len(signs) == most
    whole = (signs * steps.reshape(-1, 1, 1)).sum(axis=0) * 2.0**-frac
    assert np.array_equal(whole, codes)


def test_odd_weights_need_no_further_base() -> None:
    signs, steps, frac = bases_of(np.array([[-3, -1, 1, 3]]))
    assert steps.tolist() == [1, 2] and frac == 0 and len(signs) == 2


@pytest.mark.parametrize(("zero", "expected"), [(-1, [-1, -1, -1, 1]), (0, [-1, 0, 0, 1])])
def test_other_signs(zero: int, expected: list[int]) -> None:
    x = torch.tensor([[-ABOVE_ZERO, -0.0, 0.0, ABOVE_ZERO]])
    assert sign_at_zero(zero)(x).tolist() == [expected]


def test_many_thresholds_are_counted_as_few_are() -> None:
    rng = np.random.default_rng(0)
    table = np.sort(rng.normal(0, 1, (3, 40)).astype(np.float32), axis=1)
    x = torch.from_numpy(rng.normal(0, 1, (5, 3, 4, 2)).astype(np.float32))
    x[0, 0, 0, 0], x[0, 1, 0, 0] = float(table[0, 7]), torch.nan
    expected = (x.numpy()[..., None] >= table.reshape(1, 3, 1, 1, 40)).sum(axis=-1)
    assert np.array_equal(MultiThreshold(table)(x).numpy(), expected)


def test_affine_rounds_each_operation() -> None:
    x = torch.tensor([[0.1, 0.2]])
    assert torch.equal(Affine([3.0, 0.7], [0.1])(x), x * torch.tensor([3.0, 0.7]) + 0.1)
    assert torch.equal(Affine([3.0], divide=True)(x), x / 3.0)


@pytest.mark.parametrize("make", [
    lambda: MultiThreshold([[np.inf]]), lambda: MultiThreshold([0.0]), lambda: MultiThreshold([[0.0]], 0.0),
    lambda: Affine([np.nan]), lambda: Affine([0.0], divide=True), lambda: sign_at_zero(1),
])  # fmt: skip
def test_bad_numbers_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError):
        make()
