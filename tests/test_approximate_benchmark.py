"""The figures of what `--approximate` changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import approximate
from benchmarks.varied import varied
from xnorhw import Input
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.trace import trace
from xnorhw.ir.float_graph import FloatGraph
from xnorhw.ir.grid import round_to_grid


def network(classes: int | None) -> nn.Module:
    first = xnn.FullConv2d(3, 16, 3, frac=4, in_scale=2.0**-7)
    codes = nn.BatchNorm2d(16), xnn.QuantReLU(4, 0.25)
    second = xnn.BinaryConv2d(16, 16, 3, in_scale=0.25), nn.BatchNorm2d(16), xnn.Sign()
    return nn.Sequential(first, *codes, *second, nn.Flatten(), xnn.FullLinear(256, classes or 4, frac=4))


@pytest.fixture(scope="module")
def graph() -> FloatGraph:
    torch.manual_seed(0)
    given = Input((3, 8, 8))
    return trace(varied(network(None), torch.from_numpy(random_inputs(given, 32))), given)


@pytest.mark.parametrize("size", [1, 5])
def test_what_is_not_run_again_is_what_it_would_be(graph: FloatGraph, size: int) -> None:
    before, after = TorchEvaluator(graph), TorchEvaluator(round_to_grid(graph))
    x = torch.from_numpy(random_inputs(Input((3, 8, 8)), 40, seed=3))
    taken = again = 0
    for part in x.split(size):
        known = approximate.run(before, part)
        found, whole = approximate.run(after, part, known, before), approximate.run(after, part)
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[key], whole[key]) for key in whole)
        taken += sum(found[key] is known[key] for key in found)
        again += not torch.equal(found["5"], known["5"])
    # signs differ in some pictures, and some are taken over whole
    assert again > 0 and (taken > 0 or size == 5)


def test_the_counts_are_those_of_both_networks(monkeypatch: pytest.MonkeyPatch, graph: FloatGraph) -> None:
    x = random_inputs(Input((3, 8, 8)), 120, seed=3)
    monkeypatch.setattr(approximate, "graph_of", lambda *_: (graph, x, "some state"))
    monkeypatch.setattr(approximate, "approximated", round_to_grid)
    line = approximate.measure("lenet5", None, 120, 0)
    traced = [TorchEvaluator(g).trace(x) for g in (graph, round_to_grid(graph))]
    names = ("2", "5")
    assert line.differing == sum(int((traced[0][n] != traced[1][n]).sum()) for n in names) > 0
    assert line.own == line.differing and line.decisions == sum(traced[0][n].size for n in names)
    classes = [t[":scores"].argmax(axis=1) for t in traced]
    assert line.classes == int((classes[0] != classes[1]).sum()) > 0
    assert line.inputs == 120 and line.seen == len(np.unique(classes[0]))
    assert line.rounded == ("0", "7") and line.built == "exact from there on"
