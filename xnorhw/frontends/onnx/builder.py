"""The steps of the network that is made, and what may still be added to the last of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.onnx.constants import Const
from xnorhw.frontends.onnx.flow import Flow, Names
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.products import ConvShape, Weight, layer
from xnorhw.nn.activations import Grid, QuantReLU
from xnorhw.nn.foreign import Affine, MultiThreshold, Step, StepNet
from xnorhw.nn.quantizers import InputQuant, Sign

__all__ = ["ADD", "Builder", "Product", "Scaled", "concatenate"]

Float32 = npt.NDArray[np.float32]
_QUANTISERS = (InputQuant, Sign, QuantReLU, Grid, MultiThreshold)
_KEEPING = (nn.MaxPool2d, nn.Flatten, nn.ReLU)
"""What makes integers of integers."""


@dataclass
class Product:
    """A layer that may still take a scale and a bias from the nodes behind it."""

    weight: Weight
    shape: ConvShape | None
    bias: Float32 | None
    in_scale: float

    @property
    def outputs(self) -> int:
        """Output channels."""
        values = self.weight.codes if self.weight.codes is not None else self.weight.real
        assert values is not None
        return len(values)


@dataclass
class Scaled:
    """A multiplication or division that may still take a bias."""

    scale: Float32 | None
    bias: Float32 | None
    divide: bool


class Builder:
    """Collects steps; ``values`` maps a tensor of the file to what it is here.

    ``readers`` counts who reads a tensor; only what one node reads is changed afterwards.
    """

    def __init__(self, readers: dict[str, int]) -> None:
        self.names = Names()
        self.readers = readers
        self.values: dict[str, Any] = {}
        self.made: dict[str, nn.Module | Product | Scaled] = {}
        self.steps: list[Step] = []
        self.kinds: dict[str, str] = {}

    def add(
        self,
        node: Node,
        module: nn.Module | Product | Scaled,
        source: Flow,
        made: Flow,
        *origins: str,
        behind: str = "",
    ) -> Flow:
        """A step with ``module``; ``made`` is what comes out, its name is set here."""
        path = self.names.path(node, *origins, behind=behind)
        self.made[path] = module
        self.steps.append(Step(path, (source.name,)))
        kind = "" if behind else node.note.split(" ")[0]
        if kind.isidentifier():
            self.kinds[path] = kind
        whole = isinstance(module, _QUANTISERS) or (isinstance(module, _KEEPING) and source.whole)
        return replace(made, name=path, whole=whole)

    def join(self, node: Node, function: Callable[..., Any], sources: Sequence[Flow], made: Flow) -> Flow:
        """A step that joins several values by a function."""
        path = self.names.path(node)
        self.steps.append(Step(path, tuple(s.name for s in sources), function))
        return replace(made, name=path)

    def plain(self, node: Node, flow: Flow) -> Flow:
        """``flow`` in the file's own numbers: its scale is multiplied where there is one."""
        if flow.scale == 1.0:
            return flow
        scaled = Scaled(np.array([flow.scale], np.float32), None, False)
        path = self.names.path(node, behind="_scale")
        self.made[path] = scaled
        self.steps.append(Step(path, (flow.name,)))
        return flow.named(path)

    def last(self, flow: Flow) -> Any:
        """The module that made ``flow`` where one node alone reads it, by whatever name of the file."""
        names = [t for t, v in self.values.items() if isinstance(v, Flow) and v.name == flow.name]
        return self.made.get(flow.name) if all(self.readers.get(t, 0) <= 1 for t in names) else None

    def multiply(self, node: Node, flow: Flow, by: Float32, const: Const) -> Flow:
        """``flow`` times constants [1] or [C]."""
        if flow.in_frac is not None and by.size == 1 and by[0] > 0:
            return replace(flow, scale=float(np.float32(flow.scale) * by[0]))
        if node.note.startswith("FullLinear"):
            # the steps of what a Round behind it rounds to
            return self.add(node, Scaled(by, None, False), self.plain(node, flow), flow.named(""))
        own = node.note.startswith("Affine")  # xnorhw wrote it as a module of its own
        product = None if own else self.last(flow)
        if isinstance(product, Product) and _free(product) and flow.order is None:
            if _scaled_by_factors(product, const):
                return flow
            if by.size == 1 and float(by[0]) > 0:
                product.in_scale = float(by[0])
                return flow
            if product.weight.codes is not None:
                product.weight = replace(product.weight, scale=by)
                return flow
        if bool((by == 1).all()) and not own:
            return flow
        if by.size == 1 and float(by[0]) > 0 and flow.whole and not own:
            return replace(flow, scale=float(np.float32(flow.scale) * by[0]))
        flow = self.plain(node, flow)
        return self.add(node, Scaled(by, None, False), flow, flow)

    def divide(self, node: Node, flow: Flow, by: Float32) -> Flow:
        """``flow`` divided by constants [1] or [C]."""
        if not by.all():
            node.refuse("divides by 0", "Train again, or load the last good checkpoint")
        if bool((by == 1).all()) and not node.note.startswith("Affine"):
            return flow
        flow = self.plain(node, flow)
        return self.add(node, Scaled(by, None, True), flow, flow)

    def shift(self, node: Node, flow: Flow, by: Float32) -> Flow:
        """``flow`` plus constants [1] or [C]."""
        maker = self.last(flow)
        own = node.note.startswith("Affine")
        if by.size == 1 and not by.any() and not own:
            return flow
        plain = flow.scale == 1.0 and flow.order is None and not own
        if isinstance(maker, Product) and maker.bias is None and plain:
            maker.bias = np.broadcast_to(by, (maker.outputs,)).copy()
            return flow
        if isinstance(maker, Scaled) and maker.bias is None and flow.scale == 1.0:
            maker.bias = by
            return flow
        flow = self.plain(node, flow)
        return self.add(node, Scaled(None, by, False), flow, flow)

    def network(self, output: Flow) -> StepNet:
        """The network whose result is ``output``."""
        modules = {}
        for path, made in self.made.items():
            modules[path] = _module(made)
            if path in self.kinds:
                modules[path].foreign_kind = self.kinds[path]  # type: ignore[assignment]
        return StepNet(modules, self.steps, output.name).eval()


def _free(product: Product) -> bool:
    """True where the layer has neither scale nor bias, nor reads codes of a worth."""
    return product.weight.scale is None and product.bias is None and product.in_scale == 1.0


def _scaled_by_factors(product: Product, const: Const) -> bool:
    """Take (scale, in_scale) where the constant is their product; its rounding is that of the layer."""
    if const.factors is None or product.weight.codes is None:
        return False
    scale, in_scale = (np.asarray(f.values, np.float32).reshape(-1) for f in const.factors)
    if in_scale.size != 1 or not in_scale[0] > 0 or scale.size not in (1, product.outputs):
        return False
    product.weight, product.in_scale = replace(product.weight, scale=scale), float(in_scale[0])
    return True


def _module(made: nn.Module | Product | Scaled) -> nn.Module:
    if isinstance(made, Product):
        return layer(made.weight, made.shape, made.bias, made.in_scale)
    if isinstance(made, Scaled):
        return Affine(made.scale, made.bias, made.divide).eval()
    return made.eval()


def concatenate(*values: Any) -> Any:
    """Tensors one behind the other along the channels."""
    return torch.cat(values, dim=1)


ADD: Callable[..., Any] = operator.add
