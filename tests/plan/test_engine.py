"""Packed weights and thresholds of the CPU engine: their inverse, and their meaning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw.golden.run import threshold
from xnorhw.ir.int_graph import Threshold
from xnorhw.ir.types import BIPOLAR
from xnorhw.plan.engine import ALWAYS, NEVER, pack_bits, product_bits, product_lanes, sign_table

SHAPES = [(1, 1, 1, 1), (16, 32, 1, 1), (17, 33, 3, 2), (40, 65, 2, 3), (12, 5, 1, 3)]


def weights(shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    return (np.random.default_rng(sum(shape)).integers(0, 2, shape) * 2 - 1).astype(np.int8)


def test_a_bit_has_its_place() -> None:
    rows = np.zeros((2, 33), np.bool_)
    rows[0, 1] = rows[0, 31] = rows[1, 32] = True
    assert pack_bits(rows).tolist() == [[0x80000002, 0], [0, 1]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_weights_for_bits_unpack(shape: tuple[int, ...], groups: int) -> None:
    out = shape[0] * groups
    made = weights((out, *shape[1:]))
    packed = product_bits(made, groups)
    blocks, words = -(-shape[0] // 16), -(-shape[1] // 32)
    assert packed.shape == (groups, blocks, shape[2], shape[3], words, 16)
    assert packed.dtype == np.uint32
    for o, i, y, x in np.ndindex(made.shape):
        group, within = divmod(o, shape[0])
        word = packed[group, within // 16, y, x, i // 32, within % 16]
        assert (int(word) >> i % 32 & 1) == (made[o, i, y, x] > 0)
    assert np.unpackbits(packed.view(np.uint8)).sum() == (made > 0).sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_for_codes_unpack(shape: tuple[int, ...]) -> None:
    made = weights(shape)
    packed = product_lanes(made, 1)
    assert packed.shape == (1, -(-shape[0] // 16), *shape[2:], shape[1]) and packed.dtype == np.uint16
    for o, i, y, x in np.ndindex(made.shape):
        assert (int(packed[0, o // 16, y, x, i]) >> o % 16 & 1) == (made[o, i, y, x] > 0)


EXTREMES = (-(2**62), -(2**40), ALWAYS - 1, ALWAYS, ALWAYS + 1, NEVER - 1, NEVER, NEVER + 1, 2**62)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.integers(-6, 6) | st.sampled_from(EXTREMES), st.booleans()), min_size=1, max_size=40
    ),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_a_sign_is_the_threshold(channels: list[tuple[int, bool]], strict: bool, positions: int) -> None:
    count = len(channels)
    table = np.array([t for t, _ in channels], np.int64)
    # the second position holds the channels' thresholds in another order
    rows = np.stack([np.roll(table, p) for p in range(positions)])[:, :, None]
    direction = np.array([-1 if falling else 1 for _, falling in channels], np.int8)
    op = Threshold(rows, direction, np.array([strict]), np.zeros(count, np.bool_))
    made = sign_table(op)
    sums = np.arange(-8, 9)
    x = np.broadcast_to(sums[:, None, None, None], (len(sums), count, positions, 1))
    expected = threshold(op, x, BIPOLAR)
    flip = np.zeros(count, np.bool_)
    if made.flip is not None:
        flip = (made.flip[np.arange(count) // 32] >> (np.arange(count) % 32) & 1).astype(np.bool_)
    assert made.at.shape == (positions, -(-count // 16) * 16) and made.at.dtype == np.int32
    bits = (x >= made.at[:, :count].T[None, :, :, None]) ^ flip[None, :, None, None]
    assert np.array_equal(np.where(bits, 1, -1), expected)
    assert (made.at[:, count:] == NEVER).all()
    # what never changes is told by its threshold alone
    constant = ((made.at[:, :count] == ALWAYS) | (made.at[:, :count] == NEVER)).all(axis=0)
    assert not flip[constant].any()


def test_each_group_has_blocks_of_its_own() -> None:
    table = np.arange(6)[None, :, None].astype(np.int64)
    op = Threshold(table, np.ones(6, np.int8), np.array([False]), np.zeros(6, np.bool_))
    at = sign_table(op, groups=2).at[0]
    assert at[:3].tolist() == [0, 1, 2] and at[16:19].tolist() == [3, 4, 5]
    assert (np.delete(at, [0, 1, 2, 16, 17, 18]) == NEVER).all()
