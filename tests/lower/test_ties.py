"""Numbers read by coarser ones: modules round ties to even, and so does one multiplication."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from tests.lower.lowering import batch_norm, conv, equal
from tests.lower.test_lower_family import op_of, residual
from xnorhw import nn as xnn
from xnorhw.golden.run import requant
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import Lookup, Requant
from xnorhw.lower import threshold as threshold_rewrite


def test_ties_to_even_are_a_multiplication(monkeypatch: pytest.MonkeyPatch) -> None:
    """s / 4 has a tie at every even sum: >= for odd codes, > for even, on no line that rounds up."""
    net = nn.Sequential(conv(4, 4, seed=1), xnn.QuantReLU(5, 4.0), conv(4, 3, 1, in_scale=4.0))
    declared = Input((4, 5, 5), 4, True)
    graph = equal(net, declared).graph
    op = op_of(graph, "1", Requant)
    assert (op.shift, op.low, op.high, op.even) == (2, 0, 31, True)
    assert op.multiplier.tolist() == [1] * 4 and op.addend.tolist() == [2] * 4
    # without a multiplication there is a table
    monkeypatch.setattr(threshold_rewrite, "find_requant", lambda *_: None)
    table = op_of(equal(net, declared).graph, "1", Lookup).table
    kind = graph.tensor("0").type
    assert kind is not None
    sums = np.arange(kind.min, kind.max + 1)
    assert table.shape == (4, len(sums))
    reached = np.abs(sums) <= 4 * 9 * 7
    wanted = np.clip(np.rint(sums / 4), 0, 31)
    assert (table == wanted)[:, reached].all()
    x = np.broadcast_to(sums[reached][:, None, None, None], (reached.sum(), 4, 1, 1))
    assert (requant(op, x)[:, :, 0, 0].T == wanted[reached]).all()


SIGNED = batch_norm([1.0, -1.0, 0.5, 0.0], beta=[0.0, 3.25, -0.125, 1.0])
TIED: dict[str, tuple[list[nn.Module], float]] = {
    "a coarser grid": ([xnn.Grid(16, 6), xnn.Grid(8, 3)], 1.0),
    "one bit coarser": ([xnn.Grid(12, 6), xnn.Grid(11, 5)], 1.0),
    "codes of numbers": ([xnn.Grid(12, 6), xnn.QuantReLU(8, 2.0**-5)], 2.0**-5),
    "codes of codes": ([xnn.QuantReLU(8, 0.25), xnn.QuantReLU(6, 1.0)], 1.0),
    "a norm of any direction": ([xnn.Grid(12, 6), SIGNED, xnn.Grid(8, 3)], 1.0),
    "a norm and codes": ([xnn.Grid(12, 6), SIGNED, nn.ReLU(), xnn.QuantReLU(6, 0.125)], 0.125),
    "an average": ([xnn.Grid(12, 6), nn.AvgPool2d(2, 1), xnn.Grid(8, 4)], 1.0),
    "a pool": ([xnn.Grid(12, 6), SIGNED, nn.MaxPool2d(2, 1), xnn.Grid(8, 3)], 1.0),
    "a clip": ([xnn.Grid(12, 6), nn.Hardtanh(-0.8125, 1.1875), xnn.Grid(8, 3)], 1.0),
}


@pytest.mark.parametrize("case", TIED)
def test_ties_of_modules_are_multiplications(case: str) -> None:
    """Numbers read by coarser ones: torch's codes, and ties of both parities among what was compared."""
    modules, scale = TIED[case]
    front = batch_norm([2.0**-6] * 4, mean=[1.0, -2.0, 3.0, 0.0], beta=[0.5, 1.0, 0.75, 2.0])
    net = nn.Sequential(conv(4, 4, seed=1), front, *modules, conv(4, 3, 1, in_scale=scale))
    result = equal(net, Input((4, 7, 7), 4, True), 40)
    nodes = [node for node in result.graph.nodes if isinstance(node.op, Requant) and node.op.even]
    assert len(nodes) == 1
    op, x = nodes[0].op, result.tensors[nodes[0].input]
    assert isinstance(op, Requant) and np.abs(op.multiplier).max() <= 4 and op.shift <= 6
    scaled = x * op.multiplier[None, :, None, None] + op.addend[None, :, None, None]
    up = scaled >> op.shift
    tied = (scaled == up << op.shift) & (op.low < up) & (up <= op.high)
    for channel in np.flatnonzero(op.multiplier):
        assert {0, 1} == set((up % 2)[:, channel][tied[:, channel]]), channel
    if any(isinstance(module, nn.BatchNorm2d) for module in modules):
        assert sorted(np.sign(op.multiplier)) == [-1, 0, 1, 1]


def test_a_shortcut_on_another_grid() -> None:
    """A sum on the finer of two grids, read by numbers of a third and by codes: a ResNet's block."""

    def shortcut(net: Any, y: Tensor, body: Tensor) -> Tensor:
        result: Tensor = net.coarse(net.grid(net.norm(body)) + net.fine(net.quant0(y)))
        return result

    fine = {"fine": xnn.Grid(9, 5), "quant0": batch_norm([0.5, -0.25, 0.75, 1.0], beta=2.0**-5)}
    result = equal(residual(shortcut, **fine, coarse=xnn.Grid(7, 2)))
    op = op_of(result.graph, "coarse", Requant)
    assert op.even and op.shift == 3 and op.multiplier.tolist() == [1] * 4 and op.addend.tolist() == [4] * 4
