"""Starts and widths: the roms have a word for each, wide enough for every partial sum."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plan.networks import Conv, Linear, digits, network
from xnorhw import pack
from xnorhw.board import load_board
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import make_plan
from xnorhw.plan.model import MatrixUnit, StartRom
from xnorhw.plan.stages import chip_layers
from xnorhw.plan.starts import accumulator_widths, flipped_weights, position_classes, start_values

SAME = Pads(1, 1, 1, 1)
NETWORKS = {
    "digits": digits(),
    "asymmetric": network((3, 5, 6), [Conv(7, (3, 2), Pads(1, 0, 2, 1)), Conv(4, pads=SAME), Linear(3)]),
    "ones": network((3, 5, 5), [Conv(5, pads=SAME, pad_value=1), Linear(4)]),
    "unsigned": network((3, 5, 5), [Conv(5, pads=SAME, pad_value=3), Linear(4)], code(2, False)),
    "raw convolution": network((3, 5, 5), [Conv(5, pads=SAME)]),
    "raw codes": network((3, 5, 5), [Conv(5, pads=SAME)], code(8, True)),
}


@pytest.mark.parametrize("graph", NETWORKS.values(), ids=NETWORKS.keys())
def test_each_position_class_has_its_words(graph: IntGraph) -> None:
    plan = make_plan(graph, load_board("pynq-z2"))
    for layer in chip_layers(graph):
        rom = plan.unit(f"l{layer.index}_starts")
        assert isinstance(rom, StartRom)
        matrix = plan.unit(f"l{layer.index}_mvu")
        assert isinstance(matrix, MatrixUnit)
        if matrix.pixels == 1:
            assert rom.classes == len(start_values(layer))
        words = pack.start_words(plan, graph, rom)
        assert len(words) == rom.classes * rom.groups
        assert max(words) < 1 << rom.width


@pytest.mark.parametrize("graph", NETWORKS.values(), ids=NETWORKS.keys())
def test_widths_hold_the_extremes_and_no_more(graph: IntGraph) -> None:
    for layer in chip_layers(graph):
        widths = accumulator_widths(layer)
        starts = start_values(layer)
        assert -(1 << widths.start_bits - 1) <= starts.min()
        assert starts.max() < 1 << widths.start_bits - 1
        weights = flipped_weights(layer).reshape(layer.outputs, -1).astype(np.int64)
        if layer.act.is_bipolar:
            first = starts >> 1 if layer.threshold is None else starts
            low, high = first, first + weights.shape[1]
        else:
            # the worst order: all that lowers the sum first, or all that raises it
            lanes = np.stack([weights * layer.act.min, weights * layer.act.max])
            low = starts + lanes.min(axis=0).sum(axis=1)
            high = starts + lanes.max(axis=0).sum(axis=1)
        assert -(1 << widths.acc_bits - 1) <= low.min()
        assert high.max() < 1 << widths.acc_bits - 1
        # a padded row, all ones from 0, is the only reason for more than the real rows need
        n = weights.shape[1]
        least = min(int(low.min()), n * layer.act.min if not layer.act.is_bipolar else 0)
        most = max(int(high.max()), n * layer.act.max)
        assert least < -(1 << widths.acc_bits - 2) or most >= 1 << widths.acc_bits - 2


def test_thresholded_bits_by_hand() -> None:
    """bit = (start + p >= 0) with p the popcount equals (direction * s >= direction * T)."""
    graph = network((2, 3, 3), [Conv(4, pads=SAME), Linear(2)], seed=5)
    layer = chip_layers(graph)[0]
    assert layer.threshold is not None
    rows, columns, _, column_classes = position_classes(layer)
    draw = np.random.default_rng(3)
    weights = layer.product.terms[0].weight.astype(np.int64)
    flipped = flipped_weights(layer).astype(np.int64)
    starts = start_values(layer)
    for _ in range(20):
        x = draw.choice([-1, 1], (2, 3, 3))
        for y in range(3):
            for z in range(3):
                sums, agree = np.zeros(4, np.int64), np.zeros(4, np.int64)
                for ky in range(3):
                    for kx in range(3):
                        inside = 0 <= y + ky - 1 < 3 and 0 <= z + kx - 1 < 3
                        values = x[:, y + ky - 1, z + kx - 1] if inside else np.array([-1, -1])
                        sums += weights[:, :, ky, kx] @ values if inside else 0
                        agree += (flipped[:, :, ky, kx] == values).sum(axis=1)
                start = starts[rows[y] * column_classes + columns[z]]
                level, direction = layer.threshold.table[0, :, 0], layer.threshold.direction
                np.testing.assert_array_equal(agree + start >= 0, direction * sums >= direction * level)
