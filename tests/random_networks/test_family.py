"""Random networks of the whole family: torch = golden on every tensor, and what they covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.random_networks.draw import SeededChoices
from tests.random_networks.family import FamilyNetwork, draw_family
from xnorhw import golden
from xnorhw.check.torch_link import check_torch
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.golden.codes import codes_of
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    IntGraph,
    Lookup,
    MaxPool,
    Multiply,
    Product,
    Requant,
    SumPool,
    Threshold,
)
from xnorhw.ir.serial import encode
from xnorhw.lower import lower, search

SEEDS = 80
LEAST_SPREAD = 0.75
"""Share of the quantisers of which at least half of the channels take several codes."""

NEEDED = (
    "Threshold of 1 level", "Threshold of 3 levels", "Threshold of 15 levels", "falling channels", "Requant",
    "Requant of a grid", "Requant that falls", "Lookup behind a layer", "thermometer", "planes",
    "bit planes", "several groups", "max-pool max", "max-pool min", "Add", "Add with a shift", "Concat",
    "SumPool", "SumPool padded", "SumPool at the end", "BoxSum", "Multiply", "tail features", "several users",
    "QuantReLU 1", "QuantReLU 2", "QuantReLU 3", "QuantReLU 4", "QuantReLU 5", "QuantReLU 6", "QuantReLU 7",
    "QuantReLU 8",
)  # fmt: skip


def check(network: FamilyNetwork) -> tuple[IntGraph, dict[str, Any]]:
    """Lower ``network``; every tensor of golden that has a name in torch must be torch's."""
    graph = trace(network.net, network.input)
    evaluator = TorchEvaluator(graph)
    lowered = lower(graph, evaluator, samples=network.x)
    codes = codes_of(lowered, network.x)
    tensors = golden.run(lowered, codes)
    link = check_torch(lowered, evaluator, codes, tensors)
    assert link.comparison.mismatches == 0, f"{link.comparison.first}\n{network.net}"
    traced = evaluator.trace(network.x)
    with torch.inference_mode():
        scores = network.net(torch.from_numpy(network.x)).numpy()
    assert np.array_equal(traced[":scores"], scores)
    assert link.comparison.tensors == sum(n.output.name in traced for n in lowered.nodes)
    return lowered, tensors


def found(graph: IntGraph) -> set[str]:
    """What the integer graph of one network covers."""
    seen = set()
    for node in graph.nodes:
        op, kind = node.op, node.output.type
        source = graph.tensor(node.input).type
        assert kind is not None and source is not None
        if isinstance(op, Threshold):
            seen.add(f"Threshold of {op.levels} level{'s' * (op.levels > 1)}")
            seen |= {"falling channels"} if (op.direction < 0).any() else set()
        if isinstance(op, Requant):
            seen |= {"Requant", *(["Requant of a grid"] if kind.signed else [])}
            seen |= {"Requant that falls"} if (op.multiplier < 0).any() else set()
        if isinstance(op, Lookup) and node.input != "input":
            seen.add("Lookup behind a layer")
        if isinstance(op, Product):
            seen |= {"planes"} if any(t.plane is not None for t in op.terms) else set()
            seen |= {"bit planes"} if len(op.terms) > 1 and op.terms[0].plane is None else set()
            seen |= {"several groups"} if op.groups > 1 else set()
        if isinstance(op, MaxPool):
            seen |= {"max-pool min"} if op.minimum.any() else set()
            seen |= {"max-pool max"} if not op.minimum.all() else set()
        if isinstance(op, Add):
            seen |= {"Add", *(["Add with a shift"] if any(op.shifts) else [])}
        if isinstance(op, SumPool):
            seen |= {"SumPool", *(["SumPool padded"] if op.geometry.pads.any() else [])}
            seen |= {"SumPool at the end"} if node.output.name == graph.output else set()
        for cls in (Concat, BoxSum, Multiply):
            seen |= {cls.__name__} if isinstance(op, cls) else set()
        seen |= {"thermometer"} if kind.encoding.value == "thermometer" else set()
        seen |= {"several users"} if len(graph.users(node.output.name)) > 1 else set()
    return seen


def spread(graph: IntGraph, tensors: dict[str, Any]) -> list[bool]:
    """For each quantiser: whether half of its channels take several codes."""
    result = []
    for node in graph.nodes:
        if isinstance(node.op, Threshold | Requant):
            rows = np.moveaxis(tensors[node.output.name], 1, 0).reshape(node.output.shape[0], -1)
            result.append(bool((rows != rows[:, :1]).any(axis=1).mean() >= 0.5))
    return result


def test_torch_equals_golden_on_the_family(record_property: Callable[[str, object], None]) -> None:
    seen: Counter[str] = Counter()
    alive: list[bool] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for seed in range(SEEDS):
            network = draw_family(SeededChoices(seed), seed)
            graph, tensors = check(network)
            seen.update(found(graph) | set(network.drawn))
            alive += spread(graph, tensors)
    finally:
        torch.set_num_threads(threads)
    record_property("coverage", "\n".join(f"{name:30}{count:6}" for name, count in sorted(seen.items())))
    assert not [name for name in NEEDED if not seen[name]], seen
    assert np.mean(alive) >= LEAST_SPREAD


@pytest.mark.parametrize("seed", range(0, 24, 3))
def test_bisection_finds_what_trying_every_sum_finds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search above 2^16 sums, on networks small enough for both."""
    network = draw_family(SeededChoices(seed), seed)
    graph = trace(network.net, network.input)
    evaluator = TorchEvaluator(graph)
    forms: list[tuple[Any, dict[str, Any]]] = []
    for limit in (search.EXHAUSTIVE, 8):
        monkeypatch.setattr(search, "EXHAUSTIVE", limit)
        arrays: dict[str, Any] = {}
        forms.append((encode(lower(graph, evaluator), arrays), arrays))
    (tree, arrays), (other_tree, other_arrays) = forms
    assert tree == other_tree and set(arrays) == set(other_arrays)
    assert all(np.array_equal(arrays[key], other_arrays[key]) for key in arrays)
