"""The multiplier and the addend of a channel, found where there are any and only there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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
    """Ties to the odd neighbour, and ties to the even one of which one step is a sum late."""

    def odd(sums: Sums) -> ChainValues:
        return ChainValues(np.clip(np.rint(sums / 4 + 1) - 1, -31, 31), ())

    def late(sums: Sums) -> ChainValues:
        return ChainValues(np.clip(np.rint((sums - (sums == 38)) / 4), 0, 31), ())

    for chain in (odd, late):
        stairs = find_staircase(chain, np.array([-200]), np.array([200]), "quant")
        assert find_requant(stairs, -32, 31) is None


# --- ties to even ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rounded:
    """Channels of round-half-even((s * slope + offset) / 2^point), clamped, as exact modules give them."""

    slope: Sums
    offset: Sums
    point: int
    low: int
    high: int

    def __call__(self, sums: Sums) -> ChainValues:
        values = (sums * self.slope + self.offset) / 2.0**self.point
        return ChainValues(np.clip(np.rint(values), self.low, self.high), ())

    def ties(self, channel: int, sums: Sums) -> npt.NDArray[np.float64]:
        """The values half way between two codes among those of ``sums``."""
        values = (sums * self.slope[channel] + self.offset[channel]) / 2.0**self.point
        return values[(values % 1 == 0.5) & (values > self.low) & (values < self.high)]


HIT: Counter[str] = Counter()


@pytest.mark.parametrize("exhaustive", [search.EXHAUSTIVE, 4])
@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_ties_to_even_are_found(exhaustive: int, data: st.DataObject) -> None:
    """Any exact line in steps of 2^-point, of both directions or flat, onto any range of codes."""
    channels, point = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    many = {"min_size": channels, "max_size": channels}
    slopes = st.one_of(st.sampled_from([1, -1, 2, -2, 0]), st.integers(-(3 << point), 3 << point))
    half = 1 << (point - 1)
    offsets = st.one_of(st.sampled_from([0, half, 3 * half]), st.integers(-(20 << point), 20 << point))
    bits, signed = data.draw(st.integers(2, 9)), data.draw(st.booleans())
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    chain = Rounded(
        np.array(data.draw(st.lists(slopes, **many))),
        np.array(data.draw(st.lists(offsets, **many))),
        point,
        lowest,
        highest,
    )
    low = np.array(data.draw(st.lists(st.integers(-5000, 100), **many)))
    high = low + np.array(data.draw(st.lists(st.integers(0, 9000), **many)))
    old, search.EXHAUSTIVE, rewrite.EXHAUSTIVE = search.EXHAUSTIVE, exhaustive, exhaustive
    try:
        found = find_requant(find_staircase(chain, low, high, "quant"), lowest, highest)
    finally:
        search.EXHAUSTIVE = rewrite.EXHAUSTIVE = old
    assert found is not None and lowest <= found.low <= found.high <= highest
    assert (np.abs(found.multiplier) < (1 << 17 if found.even else 1 << 30)).all()
    HIT["even" if found.even else "plain"] += 1
    for c in range(channels):
        sums = np.arange(low[c], high[c] + 1)
        x = np.zeros((len(sums), channels, 1, 1), np.int64)
        x[:, c, 0, 0] = sums
        wanted = chain(x[:, :, 0, 0]).codes[:, c]
        assert np.array_equal(requant(found, x)[:, c, 0, 0], wanted)
        if found.even:
            floors = np.floor(chain.ties(c, sums)).astype(int)
            way = "falling" if chain.slope[c] < 0 else "rising"
            HIT[f"{way}, tie above an even code"] += int((floors % 2 == 0).sum())
            HIT[f"{way}, tie above an odd code"] += int((floors % 2 == 1).sum())
    # half at the least, and no more than needed: where rounding up is exact, the flag is not set
    ties = [np.floor(chain.ties(c, np.arange(low[c], high[c] + 1))) % 2 for c in range(channels)]
    if not any((odd == 0).any() for odd in ties):
        HIT["no tie above an even code"] += 1
        assert not found.even


def test_the_ties_were_there() -> None:
    """Of the test above: its cases hold ties of both parities in both directions, and cases without."""
    if not HIT:
        pytest.skip("the test that counts did not run")
    names = [f"{way}, tie above an {kind} code" for way in ("rising", "falling") for kind in ("even", "odd")]
    for name in (*names, "even", "plain", "no tie above an even code"):
        assert HIT[name] >= 10, HIT


@pytest.mark.parametrize(("slope", "bits"), [(1, 3), (-1, 3), (3, 5), (-5, 6), (77, 9)])
def test_the_factors_of_ties_are_short(slope: int, bits: int) -> None:
    """The line itself, not a multiple of it: the exact quotient, a half in the addend."""
    chain = Rounded(np.array([slope]), np.array([0]), bits, -128, 127)
    found = find_requant(find_staircase(chain, np.array([-4000]), np.array([4000]), "quant"), -128, 127)
    assert found == Requant(np.array([slope]), np.array([1 << (bits - 1)]), bits, -128, 127, True)


def test_a_constant_beside_ties_keeps_its_odd_code() -> None:
    chain = Rounded(np.array([1, 0, 0]), np.array([0, 3 << 2, -(5 << 2)]), 2, -8, 7)
    found = find_requant(find_staircase(chain, np.full(3, -60), np.full(3, 60), "quant"), -8, 7)
    assert found is not None and found.even
    sums = np.broadcast_to(np.arange(-60, 61)[:, None], (121, 3))
    assert np.array_equal(requant(found, sums[:, :, None, None])[:, :, 0, 0], chain(sums).codes)


def test_more_sums_than_can_be_tried() -> None:
    """A grid of 16 bits and more onto 8: 2^20 sums, every one compared here."""
    chain = Rounded(np.array([1, -3]), np.array([32, 0]), 6, -128, 127)
    low, high = np.array([-(1 << 19), -(1 << 19)]), np.array([1 << 19, 1 << 19])
    found = find_requant(find_staircase(chain, low, high, "quant"), -128, 127)
    assert found is not None and found.even
    sums = np.broadcast_to(np.arange(low[0], high[0] + 1)[:, None], (2**20 + 1, 2))
    assert np.array_equal(requant(found, sums[:, :, None, None])[:, :, 0, 0], chain(sums).codes)


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
