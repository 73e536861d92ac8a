"""The Evaluator on torch: every node's own module, called as the trained network calls it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.frontends.modules import module_of
from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Array, Rounding
from xnorhw.ir.float_graph import BatchNorm, FloatGraph
from xnorhw.nn.full import FullBase
from xnorhw.nn.layers import ConvBase, LinearBase

__all__ = ["TorchEvaluator", "batch_norm_terms"]

Float32 = npt.NDArray[np.float32]

_PRODUCTS = (ConvBase, LinearBase, FullBase)


class TorchEvaluator:
    """Runs a float graph, whole or node by node, on torch modules in eval, float32, contiguous.

    Sums are in the units of the layer's own input: integers, except behind an input that is
    declared with a scale, where they are integers times that scale.
    """

    def __init__(self, graph: FloatGraph) -> None:
        self.graph = graph
        self._nodes = {node.output.name: node for node in graph.nodes}
        self._modules = {name: module_of(node.op, name) for name, node in self._nodes.items()}

    def call(self, node: str, x: Array, rounding: Rounding = "module") -> Array:
        """Run ``node``'s module on [N, ...] in its input's layout; see the protocol.

        ``rounding`` "fused" and "separate" replace a batch norm by a model of x*a + b in
        float32 that rounds once or twice; other nodes are not concerned.
        """
        op = self._nodes[node].op
        if rounding != "module" and isinstance(op, BatchNorm):
            return _batch_norm(op, np.asarray(x, np.float32), rounding)
        with torch.inference_mode():
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
                remedy="Ask for a binary or a full-precision layer",
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
        with torch.inference_mode():
            for name, node in self._nodes.items():
                module = self._modules[name]
                source = values[node.input]
                if isinstance(module, _PRODUCTS):
                    sums = module.sum(source)
                    values[name] = module.after_sum(sums)
                    result[name] = _sums(sums * 2.0**module.frac if isinstance(module, FullBase) else sums)
                    result[f"{name}:out"] = _array(values[name])
                else:
                    values[name] = module(source)
                    result[name] = _array(values[name])
        result[":scores"] = _array(values[self.graph.output])
        return result

    def run(self, x: Tensor) -> Tensor:
        """The network's result on a float32 batch, as a tensor."""
        values = {FloatGraph.INPUT_NAME: x}
        with torch.inference_mode():
            for name, node in self._nodes.items():
                values[name] = self._modules[name](values[node.input])
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


def _batch_norm(op: BatchNorm, x: Float32, rounding: Rounding) -> Float32:
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
