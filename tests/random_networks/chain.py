"""One random network through the first link of the chain, everything asserted on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tests.random_networks.build import LEAST_MIXED, RandomNetwork
from xnorhw import golden
from xnorhw.check.torch_link import check_torch
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.golden.codes import codes_of
from xnorhw.ir.float_graph import FloatGraph
from xnorhw.ir.int_graph import IntGraph, Product, Threshold
from xnorhw.lower import lower

__all__ = ["Checked", "check_network"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Checked:
    """A network whose golden tensors were found equal to torch's."""

    network: RandomNetwork
    float_graph: FloatGraph
    graph: IntGraph
    codes: npt.NDArray[np.int64]
    tensors: dict[str, Array]
    traced: dict[str, Array]


def check_network(network: RandomNetwork) -> Checked:
    """Trace, lower and run ``network``; every tensor of the golden model must be torch's."""
    graph = trace(network.net, network.input)
    evaluator = TorchEvaluator(graph)
    lowered = lower(graph, evaluator, samples=network.x)
    codes = codes_of(lowered, network.x)
    tensors = golden.run(lowered, codes)
    link = check_torch(lowered, evaluator, codes, tensors)
    assert link.comparison.mismatches == 0, f"{link.comparison.first}\n{network.net}"
    traced = evaluator.trace(network.x)
    named = [n.output.name for n in lowered.nodes if n.output.name in traced]
    signs = [n.op for n in lowered.nodes if isinstance(n.op, Product | Threshold)]
    assert link.comparison.tensors == len(named) >= len(signs)
    _assert_modules_agree(network, traced)
    _assert_alive(network, lowered, tensors)
    return Checked(network, graph, lowered, codes, tensors, traced)


def _assert_modules_agree(network: RandomNetwork, traced: dict[str, Array]) -> None:
    """The trace that golden was compared with is what the user's own modules compute."""
    value = torch.from_numpy(network.x)
    with torch.inference_mode():
        for name, module in network.net.named_children():
            value = module(value)
            found = traced.get(f"{name}:out", traced.get(name))
            if found is not None:
                assert np.array_equal(found, value.numpy()), f"{name} of\n{network.net}"
    assert np.array_equal(traced[":scores"], value.numpy())


def _assert_alive(network: RandomNetwork, graph: IntGraph, tensors: dict[str, Array]) -> None:
    """In every thresholded layer enough channels take both values, planned constants apart."""
    for node in graph.nodes:
        if not isinstance(node.op, Threshold):
            continue
        sign = node.output.name.split(":")[0]
        planned = network.planned[sign]
        assert (node.op.constant | ~planned).all(), f"{sign}: a planned constant was found to change"
        rows = np.moveaxis(tensors[node.output.name], 1, 0).reshape(planned.size, -1)
        mixed = (rows != rows[:, :1]).any(axis=1)[~planned]
        assert mixed.sum() >= LEAST_MIXED * mixed.size, f"{sign} decides nothing in\n{network.net}"
        assert planned.sum() <= max(1, planned.size // 8)
