"""The Evaluator on torch: every node's own module, called as the trained network calls it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.frontends.modules import AveragePool, module_of
from xnorhw.ir.bases import bases_of
from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Array, Rounding
from xnorhw.ir.float_graph import (
    BasesQuant,
    BatchNorm,
    Concat,
    Flatten,
    FloatGraph,
    MaxPool2d,
    MultiThreshold,
)
from xnorhw.nn.foreign import MultiThreshold as ThresholdModule
from xnorhw.nn.full import FullBase
from xnorhw.nn.layers import ConvBase, LinearBase
from xnorhw.nn.quant_layers import QuantBase
from xnorhw.nn.scaled import ScaledConvBase

__all__ = ["TorchEvaluator", "batch_norm_terms", "rounded_norm"]

Float32 = npt.NDArray[np.float32]

_PRODUCTS = (ConvBase, LinearBase, QuantBase, ScaledConvBase, FullBase, AveragePool)
_FRACTIONS = (QuantBase, FullBase)
_ON_BASES = (Concat, Flatten, MaxPool2d)
"""What leaves bases bases: it makes numbers of ones of numbers of ones."""


class TorchEvaluator:
    """Runs a float graph, whole or node by node, on torch modules in eval, float32, contiguous.

    Sums are in the units of the layer's own input: integers, except behind an input that is
    declared with a scale, where they are integers times that scale.
    """

    def __init__(self, graph: FloatGraph) -> None:
        self.graph = graph
        self._nodes = {node.output.name: node for node in graph.nodes}
        self._modules = {name: module_of(node.op, name) for name, node in self._nodes.items()}
        self._bases = {name for name, node in self._nodes.items() if bases_of(graph, node) is not None}

    def call(self, node: str, x: Array, rounding: Rounding = "module") -> Array:
        """Run ``node``'s module on [N, ...] in its input's layout; see the protocol.

        ``rounding`` "fused" and "separate" replace a batch norm by a model of x*a + b in
        float32 that rounds once or twice; other nodes are not concerned.
        """
        op = self._nodes[node].op
        if rounding != "module" and isinstance(op, BatchNorm):
            return rounded_norm(op, np.asarray(x, np.float32), rounding)
        with torch.inference_mode():
            if node in self._bases:
                return self._ones(node, _tensor(x))
            return _array(self._modules[node](_tensor(x)))

    def after_sum(self, node: str, sums: Array) -> Array:
        """Scale and bias of product ``node`` on sums [N, O, H, W] or [N, O] of any dtype; float32.

        A sum is rounded to float32 once, as the module does with sums that need more bits.
        """
        module = self._modules[node]
        if not isinstance(module, _PRODUCTS):
            raise ModelError(
                "it has no sum of its own: it is no layer with weights",
                module=node,
                remedy="Ask for a layer with weights, or for an average pool",
            )
        with torch.inference_mode():
            return _array(module.after_sum(torch.from_numpy(np.ascontiguousarray(sums, dtype=np.float64))))

    def trace(self, x: Array) -> dict[str, Array]:
        """Every value of the network on a batch; see the protocol.

        Sums are int64 where they are whole, else float64; everything else is the module's
        float32.  The input is there as ``input``.
        """
        values: dict[str, Tensor] = {FloatGraph.INPUT_NAME: _tensor(x)}
        result: dict[str, Array] = {FloatGraph.INPUT_NAME: _array(values[FloatGraph.INPUT_NAME])}
        ones: dict[str, Tensor] = {}
        with torch.inference_mode():
            for name, node in self._nodes.items():
                module = self._modules[name]
                sources = [values[read] for read in node.inputs]
                if isinstance(module, _PRODUCTS):
                    sums = module.sum(sources[0])
                    values[name] = module(sources[0])
                    result[name] = _sums(sums * 2.0**module.frac if isinstance(module, _FRACTIONS) else sums)
                    result[f"{name}:out"] = _array(values[name])
                    continue
                values[name] = module(*sources)
                result[name] = _array(values[name])
                if name in self._bases:
                    ones[name] = torch.from_numpy(self._ones(name, sources[0])).to(torch.float32)
                elif isinstance(node.op, _ON_BASES) and all(read in ones for read in node.inputs):
                    ones[name] = module(*(ones[read] for read in node.inputs))
                if name in ones:
                    result[f"{name}:out"] = result[name]
                    result[name] = _array(ones[name]).astype(np.int64)
        result[":scores"] = _array(values[self.graph.output])
        return result

    def _ones(self, name: str, x: Tensor) -> Array:
        """How many of the bases of ``name`` are +1, int64 of x's shape."""
        op, module = self._nodes[name].op, self._modules[name]
        if isinstance(op, MultiThreshold):
            assert isinstance(module, ThresholdModule)
            return np.asarray(module.count(x).numpy().astype(np.int64))
        assert isinstance(op, BasesQuant)
        # the sum is in float32, as the module's is
        shifts = torch.from_numpy(op.shifts.copy())
        return np.asarray(sum((x + shift >= 0.5).to(torch.int64) for shift in shifts).numpy())

    def run(self, x: Tensor) -> Tensor:
        """The network's result on a float32 batch, as a tensor."""
        values = {FloatGraph.INPUT_NAME: x}
        with torch.inference_mode():
            for name, node in self._nodes.items():
                values[name] = self._modules[name](*(values[read] for read in node.inputs))
        return values[self.graph.output]

    def module(self, node: str) -> nn.Module:
        """The torch module behind ``node``."""
        return self._modules[node]


def batch_norm_terms(op: BatchNorm, rounding: Rounding) -> tuple[Float32, Float32]:
    """(a, b) of torch's CPU kernel y = x*a + b, float32 [C].

    a = gamma * (1 / sqrt(var + eps)) and b = beta - mean * a, each operation rounded, the
    last one fused or not as ``rounding`` says.
    """
    one = np.float32(1)
    gamma = np.ones_like(op.mean) if op.gamma is None else op.gamma
    beta = np.zeros_like(op.mean) if op.beta is None else op.beta
    a = gamma * (one / np.sqrt(op.var + np.float32(op.eps)))
    if rounding == "fused":
        return a, _fused(-op.mean, a, beta)
    return a, beta - op.mean * a


def rounded_norm(op: BatchNorm, x: Float32, rounding: Rounding) -> Float32:
    """torch's CPU kernel on x [N, C, ...], its product and its sum rounded as ``rounding`` says."""
    with np.errstate(all="ignore"):  # an overflow is infinity here as in torch
        a, b = batch_norm_terms(op, rounding)
        shape = (1, -1, *[1] * (x.ndim - 2))
        a, b = a.reshape(shape), b.reshape(shape)
        return _fused(x, a, b) if rounding == "fused" else x * a + b


def _fused(x: Float32, a: Float32, b: Float32) -> Float32:
    """float32(x*a + b), rounded once.

    The product of two float32 is exact in float64.  Rounding the float64 sum to float32
    would round twice; rounded to odd instead, its last bit keeps what was lost, and the
    second rounding is the only one (Boldo and Melquiond, 2008).
    """
    product = x.astype(np.float64) * a.astype(np.float64)
    term = np.broadcast_to(b.astype(np.float64), product.shape)
    total = product + term
    back = total - product
    lost = (product - (total - back)) + (term - back)  # TwoSum: total + lost is exact
    even = (np.ascontiguousarray(total).view(np.int64) & 1) == 0
    toward = np.where(lost > 0, np.inf, -np.inf)
    odd = np.where((lost != 0) & even, np.nextafter(total, toward), total)
    return odd.astype(np.float32)


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def _array(x: Tensor) -> Array:
    return np.ascontiguousarray(x.numpy())


def _sums(sums: Tensor) -> Array:
    exact = sums.numpy().astype(np.float64)
    whole = np.rint(exact)
    return whole.astype(np.int64) if np.array_equal(whole, exact) else exact
