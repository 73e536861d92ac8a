"""The proof of a trace: graph and module give the same bits on random inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.evaluator import TorchEvaluator
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    Add,
    AvgPool2d,
    BasesQuant,
    BipolarQuant,
    Concat,
    FloatGraph,
    Grid,
    Input,
    InputQuant,
    MaxPool2d,
    QuantRelu,
)

__all__ = ["prove", "random_inputs"]


def random_inputs(declared: Input, count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Seeded random input values (codes times scale) [count, *shape] over the declared range."""
    rng = np.random.default_rng(seed)
    kind = declared.type
    size = (count, *declared.shape)
    codes = (
        rng.integers(0, 2, size) * 2 - 1 if kind.is_bipolar else rng.integers(kind.min, kind.max + 1, size)
    )
    return (codes * declared.scale).astype(np.float32)


def prove(net: nn.Module, graph: FloatGraph) -> None:
    """Run graph and module on three random inputs, as batches of two and one."""
    inputs = torch.from_numpy(random_inputs(graph.input, 3))
    evaluator = TorchEvaluator(graph)
    for batch in (inputs[:2], inputs[2:]):
        try:
            with torch.inference_mode():
                expected = net(batch.clone())
        except Exception as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"it fails on a random input of the declared shape {graph.input.shape}: {text}",
                module="the network",
                remedy="Declare the input that the network takes",
            ) from error
        found = evaluator.run(batch.clone())
        if not isinstance(expected, torch.Tensor) or not torch.equal(expected, found):
            _check_averages(graph)
            raise ModelError(
                "the traced graph does not compute what the network computes on a random input: "
                "something is hidden from tracing (a forward hook, a random number, another memory format)",
                module=_first_difference(net, graph, evaluator, batch),
                remedy="Remove it, or exchange the module by replace= in save",
            )


def _check_averages(graph: FloatGraph) -> None:
    """ModelError for an average of real values: torch's own averages round it in several orders."""
    integers = {FloatGraph.INPUT_NAME}
    for node in graph.nodes:
        name, op = node.output.name, node.op
        if isinstance(op, InputQuant | BipolarQuant | QuantRelu | Grid | BasesQuant) or (
            isinstance(op, Add | Concat | MaxPool2d) and integers.issuperset(node.inputs)
        ):
            integers.add(name)
        if isinstance(op, AvgPool2d) and node.input not in integers:
            raise ModelError(
                f"({graph.kind(name)}) takes the average of real values ({node.input}), which rounds in an "
                "order that is torch's own",
                module=name,
                remedy=f"Put xnn.Grid(bits, frac) or xnn.QuantReLU(bits) behind {node.input}",
            )


def _first_difference(
    net: nn.Module, graph: FloatGraph, evaluator: TorchEvaluator, batch: torch.Tensor
) -> str:
    """The first module whose own result differs from the graph's value of its name."""
    seen: dict[str, torch.Tensor] = {}
    handles = []

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, result: Any) -> None:
            if name not in seen and isinstance(result, torch.Tensor):
                seen[name] = result.clone()

        return hook

    for name, module in net.named_modules():
        handles.append(module.register_forward_hook(watch(name)))
    try:
        with torch.inference_mode():
            net(batch.clone())
    finally:
        for handle in handles:
            handle.remove()
    traced = evaluator.trace(batch.numpy())
    for node in graph.nodes:
        name = node.output.name
        found = traced.get(f"{name}:out", traced[name])
        if name in seen and not np.array_equal(seen[name].numpy(), found):
            return name
    return "the network"
