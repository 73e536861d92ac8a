"""The multiplier and the addend of a channel, found where there are any and only there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw.golden.run import requant
from xnorhw.ir.int_graph import Requant
from xnorhw.lower import requant as rewrite
from xnorhw.lower import search
from xnorhw.lower.requant import find_requant
from xnorhw.lower.search import ChainValues, Staircase, Sums, find_staircase


def staircase(op: Requant, low: Sums, high: Sums) -> Staircase:
    def chain(sums: Sums) -> ChainValues:
        return ChainValues(requant(op, sums[:, :, None, None])[:, :, 0, 0], ())

    return find_staircase(chain, low, high, "quant")


@pytest.mark.parametrize("exhaustive", [search.EXHAUSTIVE, 4])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_one_multiplication_makes_is_found(exhaustive: int, data: st.DataObject) -> None:
    """Staircases that some multiplier and addend make: the search finds them, or others as good."""
    channels, shift = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 14))
    many = {"min_size": channels, "max_size": channels}
    top = 3 << shift
    multiplier = np.array(data.draw(st.lists(st.integers(-min(top, 90000), min(top, 90000)), **many)))
    addend = np.array(data.draw(st.lists(st.integers(-(40 << shift), 40 << shift), **many)))
    bits, signed = data.draw(st.integers(1, 9)), data.draw(st.booleans())
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    low = np.array(data.draw(st.lists(st.integers(-300, 100), **many)))
    high = low + np.array(data.draw(st.lists(st.integers(0, 500), **many)))
    op = Requant(multiplier, addend, shift, lowest, highest)
    old, search.EXHAUSTIVE, rewrite.EXHAUSTIVE = search.EXHAUSTIVE, exhaustive, exhaustive
    try:
        stairs = staircase(op, low, high)
        found = find_requant(stairs, lowest, highest)
    finally:
        search.EXHAUSTIVE = rewrite.EXHAUSTIVE = old
    assert found is not None
    assert (np.abs(found.multiplier) < 1 << 17).all() and lowest <= found.low <= found.high <= highest
    for c in range(channels):
        sums = np.arange(low[c], high[c] + 1)
        x = np.zeros((len(sums), channels, 1, 1), np.int64)
        x[:, c, 0, 0] = sums
        assert np.array_equal(requant(found, x)[:, c], requant(op, x)[:, c])
        assert np.array_equal(stairs.at(c, sums), requant(op, x)[:, c, 0, 0])


def test_a_clamp_in_front_that_is_closer_than_the_codes_own() -> None:
    """A ReLU in front of a grid: below 0 the code stays 0, which the line alone would leave."""
    relu = Requant(np.array([3]), np.array([1]), 2, 0, 100)
    found = find_requant(staircase(relu, np.array([-50]), np.array([60])), -128, 127)
    assert found is not None
    sums = np.arange(-50, 61)[:, None, None, None]
    assert np.array_equal(requant(found, sums), requant(relu, sums))


def test_a_channel_that_leaves_the_first_code_late() -> None:
    """One step from 5 to 6 beside a channel that begins at 0: the line may not fall below 5."""

    def chain(sums: Sums) -> ChainValues:
        one = np.where(sums[:, 1] >= 40, 6, 5), np.where(sums[:, 2] <= -40, 6, 5)
        return ChainValues(np.stack([np.clip(sums[:, 0], 0, 20), *one], 1), ())

    found = find_requant(find_staircase(chain, np.full(3, -50), np.full(3, 50), "quant"), 0, 63)
    assert found is not None
    sums = np.broadcast_to(np.arange(-50, 51)[:, None], (101, 3))
    assert np.array_equal(requant(found, sums[:, :, None, None])[:, :, 0, 0], chain(sums).codes)


def test_steps_on_no_line_have_none() -> None:
    def chain(sums: Sums) -> ChainValues:
        return ChainValues(np.clip(np.rint(sums / 4), 0, 31), ())

    assert find_requant(find_staircase(chain, np.array([-200]), np.array([200]), "quant"), 0, 31) is None


def test_a_line_that_needs_a_wide_multiplier() -> None:
    """Steps that only 30 bits of the slope tell apart."""
    wide = Requant(np.array([(1 << 29) + 12345]), np.array([777]), 36, 0, 255)
    stairs = staircase(wide, np.array([-30000]), np.array([30000]))
    found = find_requant(stairs, 0, 255)
    assert found is not None and np.abs(found.multiplier).max() < 1 << 30
    sums = np.arange(-30000, 30001)[:, None, None, None]
    assert np.array_equal(requant(found, sums), requant(wide, sums))


def test_what_was_fitted_is_tried_at_every_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    op = Requant(np.array([5]), np.array([3]), 4, 0, 63)
    stairs = staircase(op, np.array([-10]), np.array([100]))
    assert find_requant(stairs, 0, 63) is not None
    monkeypatch.setattr(rewrite, "_fit", lambda *_: (np.array([5]), np.array([4])))
    assert find_requant(stairs, 0, 63) is None
