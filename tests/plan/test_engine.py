"""Packed weights and thresholds of the CPU engine: their inverse, and their meaning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw.golden.run import threshold
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, Product, Requant, Tensor, Term, Threshold
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code, type_for_range
from xnorhw.plan.engine import engine_network
from xnorhw.plan.engine_memory import buffers_of
from xnorhw.plan.engine_model import (
    AddStep,
    EngineLayer,
    EngineTensor,
    Format,
    PlanesStep,
    ProductStep,
    ReshapeStep,
)
from xnorhw.plan.engine_tables import (
    ALWAYS,
    NEVER,
    levels_step,
    pack_bits,
    product_bits,
    product_lanes,
    requant_step,
    sign_table,
)

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


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 15, 16, 17, 200]), st.sampled_from([1, 3]))
def test_levels_are_the_threshold(seed: int, levels: int, positions: int) -> None:
    """Order, directions and strictness are all in the table; channels that never change as well."""
    rng = np.random.default_rng(seed)
    channels, source = 9, IntType(int(rng.choice([6, 32, 50])), True, Encoding.TWOS)
    table = rng.integers(-40, 40, (positions, channels, levels))
    table[:, 7:] = rng.choice([-(2**62), 2**62, source.min, source.max], (positions, 2, levels))
    direction = rng.choice([-1, 1], channels).astype(np.int8)
    op = Threshold(table, direction, rng.random(levels) < 0.5, np.zeros(channels, np.bool_))
    x = np.array([source.min, source.min + 1, *range(-32, 32), source.max - 1, source.max], np.int64)
    values = np.broadcast_to(x[:, None, None, None], (len(x), channels, positions, 1))
    step = levels_step(op, source)
    at = step.at if step.at is not None else step.wide
    assert at is not None and (step.at is None) == (step.wide is not None) == (source.bits >= 32)
    if levels < 16:
        at = at.transpose(0, 2, 1)
    assert at.shape == (positions, channels, levels) and (np.diff(at.astype(object), axis=2) >= 0).all()
    count = (
        (values.transpose(0, 2, 1, 3)[..., None] >= at[None, :, :, None, :])
        .sum(axis=-1)
        .transpose(0, 2, 1, 3)
    )
    if step.falling is not None:
        count = np.where(step.falling[None, :, None, None] != 0, levels - count, count)
    else:
        assert (direction > 0).all()
    assert np.array_equal(count, threshold(op, values, code(10, False)))


@pytest.mark.parametrize(
    ("source_bits", "multiplier", "addend", "shift", "low", "narrow", "wide"),
    [
        (13, 1 << 17, 1 << 30, 20, -128, ("multiplier", "addend"), ()),
        (13, 1 << 17, 1 << 30, 40, -128, ("multiplier", "addend"), ()),
        (13, 1 << 19, 0, 20, -128, ("multiplier",), ("wide_addend",)),
        (13, 1 << 17, 1 << 40, 20, -128, ("multiplier",), ("wide_addend",)),
        (31, 1 << 30, 0, 30, -128, ("multiplier",), ("wide_addend",)),
        (32, 1 << 30, 0, 30, -128, (), ("wide_multiplier", "wide_addend")),
        (32, 1 << 30, 0, 29, -128, (), ("wide_multiplier", "wide_addend")),
        (32, 1 << 30, 0, 33, -128, (), ("wide_multiplier", "wide_addend")),
        (13, 1 << 32, 0, 30, -128, (), ("wide_multiplier", "wide_addend")),
        (40, 3, 0, 20, -128, (), ("wide_multiplier", "wide_addend")),
    ],
)
def test_a_multiplication_takes_the_narrowest_numbers(
    source_bits: int, multiplier: int, addend: int, shift: int, low: int, narrow: tuple[str], wide: tuple[str]
) -> None:
    op = Requant(np.array([1, -multiplier]), np.array([-addend, addend]), shift, low, 127)
    step = requant_step(op, IntType(source_bits, True, Encoding.TWOS), "grid")
    fields = ("multiplier", "addend", "wide_multiplier", "wide_addend")
    assert {name for name in fields if getattr(step, name) is not None} == {*narrow, *wide}
    assert step.shift == (31 if "addend" in narrow and shift > 31 else shift)


@pytest.mark.parametrize(
    ("shift", "narrow"), [(31, ("multiplier", "addend")), (32, ("multiplier",)), (33, ())]
)
def test_a_tie_is_known_by_every_bit_that_is_dropped(shift: int, narrow: tuple[str, ...]) -> None:
    """-2^31 drops 31 zeros and is a tie; of 32 and 33 bits it drops one that is not."""
    op = Requant(np.array([1 << 18]), np.array([0]), shift, -128, 127, even=True)
    step = requant_step(op, IntType(14, True, Encoding.TWOS), "grid")
    assert step.even and step.shift == shift
    assert all(getattr(step, name) is not None for name in narrow)
    assert (step.wide_multiplier is not None) == (not narrow)


@pytest.mark.parametrize(
    ("bits", "multiplier", "low", "said"),
    [(60, 1 << 10, 0, "more than 64 bits"), (20, 5, -(1 << 40), "more than 32 bits")],
)
def test_a_multiplication_that_no_number_holds(bits: int, multiplier: int, low: int, said: str) -> None:
    op = Requant(np.array([multiplier]), np.array([0]), 8, low, 127)
    with pytest.raises(ModelError, match=said) as caught:
        requant_step(op, IntType(bits, True, Encoding.TWOS), "features.grid")
    assert caught.value.module == "features.grid"


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_what_is_still_read_is_not_written_over(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    tensors = [EngineTensor("0", (int(rng.integers(1, 90)), 3, 3), Format.BITS)]
    layers = []
    for number in range(1, count + 1):
        shape = (int(rng.integers(1, 90)), 3, 3)
        tensors.append(EngineTensor(str(number), shape, list(Format)[rng.integers(len(Format))]))
        inputs = [int(v) for v in rng.integers(max(0, number - 6), number, 3)]
        layers.append(EngineLayer(AddStep((0, 0, 0)), inputs[0], number, (*inputs[1:],)))
    tensors.append(EngineTensor("seen by a trace", (5, 1, 1), Format.I32))
    buffers = buffers_of(tensors, layers)
    assert len(buffers) == len(tensors) and buffers[-1] == -1 and min(buffers[:-1]) == 0
    holds = {buffers[0]: 0}
    for layer in layers:
        for tensor in layer.inputs:
            assert holds[buffers[tensor]] == tensor
            assert buffers[tensor] != buffers[layer.output]
        holds[buffers[layer.output]] = layer.output
    assert max(buffers) < 9


def test_a_chain_takes_two_buffers() -> None:
    tensors = [EngineTensor(str(n), (8, 4, 4), Format.U8) for n in range(6)]
    layers = [EngineLayer(ReshapeStep(), n, n + 1) for n in range(5)]
    assert buffers_of(tensors, layers) == (0, 1, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("channels", "kind", "planes", "groups", "expected"),
    [
        (64, code(2, False), None, 1, PlanesStep),
        (64, code(8, False), None, 1, PlanesStep),
        (3, code(8, False), None, 1, ProductStep),
        (3, code(1, False), None, 1, PlanesStep),
        (64, code(4, False), None, 64, ProductStep),
        (64, code(12, True), None, 1, ProductStep),
        (3, IntType(3, False, Encoding.THERMOMETER), 2, 1, PlanesStep),
        (64, BIPOLAR, None, 1, ProductStep),
    ],
)
def test_products_of_codes_count_bits_where_that_is_faster(
    channels: int, kind: IntType, planes: int | None, groups: int, expected: type
) -> None:
    op = Product(
        (Term(1, weights((64, channels // groups, 1, 1)), planes),), WindowGeometry((1, 1)), groups, 0
    )
    sums = Tensor("fc", (64, 1, 1), type_for_range(-(1 << 20), 1 << 20))
    source = Tensor("input", (channels, 1, 1), kind)
    graph = IntGraph(Input((channels,)), source, (IntNode(op, "input", sums),), "fc", (), (64,))
    assert isinstance(engine_network(graph).layers[0].step, expected)


def test_a_base_that_the_engine_has_not() -> None:
    op = Product((Term(1, weights((4, 3, 1, 1)), 128),), WindowGeometry((1, 1)), 1, 0)
    sums = Tensor("fc", (4, 1, 1), type_for_range(-9, 9))
    source = Tensor("input", (3, 1, 1), IntType(60, False, Encoding.THERMOMETER))
    graph = IntGraph(Input((3,)), source, (IntNode(op, "input", sums),), "fc", (), (4,))
    with pytest.raises(ModelError, match="base 129") as caught:
        engine_network(graph)
    assert caught.value.module == "fc"
