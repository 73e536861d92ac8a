"""The threshold search against chains whose steps are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw.ir.errors import ModelError
from xnorhw.lower import search
from xnorhw.lower.search import Chain, ChainValues, Staircase, Sums, find_staircase


def affine_chain(gain: np.ndarray, offset: np.ndarray, pool_gain: np.ndarray | None = None) -> Chain:
    """sign(gain * (pool_gain * s) + offset) with a pool between the two factors."""

    def chain(sums: Sums) -> ChainValues:
        inner = sums * (pool_gain if pool_gain is not None else 1.0)
        return ChainValues(gain * inner + offset >= 0, (inner,))

    return chain


def apply(steps: Staircase, sums: Sums) -> np.ndarray:
    table = steps.table(0, 1)[:, 0]
    return np.where(steps.direction > 0, sums >= table, sums <= table)


@pytest.mark.parametrize("exhaustive", [search.EXHAUSTIVE, 0])
@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_steps_reproduce_the_chain(exhaustive: int, data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 5))
    pick = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0]), min_size=channels, max_size=channels)
    gain = np.array(data.draw(pick))
    pool_gain = np.array(data.draw(pick))
    offset = np.array(
        data.draw(st.lists(st.integers(-60, 60), min_size=channels, max_size=channels)), np.float64
    )
    low = np.array(data.draw(st.lists(st.integers(-40, -1), min_size=channels, max_size=channels)))
    high = np.array(data.draw(st.lists(st.integers(0, 40), min_size=channels, max_size=channels)))
    chain = affine_chain(gain, offset, pool_gain)
    old, search.EXHAUSTIVE = search.EXHAUSTIVE, exhaustive
    try:
        steps = find_staircase(chain, low, high, "sign")
    finally:
        search.EXHAUSTIVE = old
    sums = np.arange(low.min(), high.max() + 1)[:, None] + np.zeros(channels, np.int64)
    inside = (sums >= low) & (sums <= high)
    assert (apply(steps, sums) == chain(sums).codes)[inside].all()
    # the pool takes the minimum exactly where the part behind it falls and the channel decides
    both = ~steps.constant
    assert (steps.pool_minimum[0][both] == (gain < 0)[both]).all()
    table = steps.table(0, 1)[:, 0]
    assert (table >= low).all() and (table <= high + 1).all()


@pytest.mark.parametrize("exhaustive", [search.EXHAUSTIVE, 0])
def test_two_steps_are_refused(exhaustive: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "EXHAUSTIVE", exhaustive)

    def chain(sums: Sums) -> ChainValues:
        return ChainValues((sums > -3) & (sums < 5), ())

    with pytest.raises(ModelError, match="channel 0"):
        find_staircase(chain, np.array([-10]), np.array([100]), "sign")


def test_constants_are_marked() -> None:
    chain = affine_chain(np.array([0.0, 0.0]), np.array([0.0, -1.0]))
    steps = find_staircase(chain, np.array([-4, -4]), np.array([4, 4]), "sign")
    assert steps.constant.all()
    assert steps.table(0, 1)[:, 0].tolist() == [-4, 5]
    assert steps.direction.tolist() == [1, 1]


def test_large_ranges_are_bisected() -> None:
    threshold = np.array([123456, -654321])

    calls = 0

    def chain(sums: Sums) -> ChainValues:
        nonlocal calls
        calls += len(sums)
        return ChainValues(np.where([True, False], sums >= threshold, sums <= threshold), ())

    steps = find_staircase(chain, np.array([-(10**6)] * 2), np.array([10**6] * 2), "sign")
    assert steps.table(0, 1)[:, 0].tolist() == threshold.tolist()
    assert steps.direction.tolist() == [1, -1]
    assert calls < 2000
