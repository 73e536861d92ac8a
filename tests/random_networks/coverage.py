"""Counts what a campaign of random networks has reached, and asserts that it suffices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tests.random_networks.chain import Checked
from tests.random_networks.spec import (
    BatchNorm,
    Conv,
    Flatten,
    Front,
    Hardtanh,
    Linear,
    NetworkSpec,
    Pool,
    Relu,
    Sign,
)
from xnorhw.ir.float_graph import BipolarQuant
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import MaxPool, Product

__all__ = ["Coverage", "EVERYWHERE", "PYTHON_ONLY", "table"]

SIDES = ("left", "right", "top", "bottom")
CENTRE = {(True, False, False): "first", (False, False, False): "inner", (False, False, True): "last"}

EVERYWHERE: tuple[str, ...] = (
    "gamma < 0", "gamma = 0", "gamma tiny", "no affine", "exact tie", "ReLU constant",
    *(f"pad {side} {value}" for side in SIDES for value in ("-1", "0", "+1")),
    "pad codes 0", "pad codes other", "pads not alike",
    "stride 1x1", "stride 2x2", "stride 1x2", "stride 2x1", "stride that skips the last rows",
    *(f"position class {y}/{x} of 3x3" for y in CENTRE.values() for x in CENTRE.values()),
    "pool in front of batch norm", "pool between batch norm and sign", "pool behind sign", "two pools",
    "pool between two batch norms", "pool overlapping", "pool padded", "pool ceil_mode", "pool AND",
    "pool OR", "pool AND padded", "C = 1", "dilation", "kernel not square", "map not square", "linear only",
    "one layer", "two layers", "three layers", "flatten into linear", "flatten in front of sign",
    "ReLU in front of batch norm", "ReLU behind batch norm", "hardtanh", "sign without batch norm",
    "bias", "scale none", "scale channel", "scale layer", "in_scale", "input codes signed",
    "input codes unsigned", "input bipolar", "input table", "input mean and std", "input bipolar table",
    "input batch norm and sign", "input scaled", "output map", "output vector", "tail batch norm",
    "tail ReLU", "tail bias",
)  # fmt: skip
"""Rows that both campaigns reach."""

PYTHON_ONLY: tuple[str, ...] = (
    *(f"input bits {b}" for b in range(1, 9)), "groups", "pool on codes", "four layers", "five layers",
    "channels 33", "channels 17", "kernel 4",
)  # fmt: skip
"""Rows of the large campaign alone."""


class Coverage:
    """Rows and how often each was reached."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.networks = 0
        self.frames = 0
        self.values = 0
        self.negative = 0
        self.gammas = 0

    def add(self, checked: Checked) -> None:
        """Count one network that was found equal."""
        spec = checked.network.spec
        self.networks += 1
        self.frames += len(checked.codes)
        self.values += sum(v.size for v in checked.tensors.values())
        for gamma in checked.network.gammas:
            self.gammas += gamma.size
            self.negative += int((gamma < 0).sum())
        self.rows.update(_of_values(checked))
        self.rows.update(_of_front(spec.front, spec))
        self.rows.update(_of_structure(spec))
        self.rows.update(_of_pools(checked))
        for node in checked.graph.nodes:
            if isinstance(node.op, Product):
                source = checked.graph.tensor(node.input)
                assert source.type is not None
                bipolar = source.type.is_bipolar
                self.rows.update(_of_product(node.op, source.shape, bipolar))
                self.rows.update(_of_pads(node.op.geometry.pads, node.op.pad_value, bipolar))

    @property
    def negative_share(self) -> float:
        """The share of channels in front of a sign whose gamma is negative."""
        return self.negative / max(self.gammas, 1)

    def missing(self, required: Iterable[str]) -> list[str]:
        """The required rows that were never reached."""
        return [row for row in required if not self.rows[row]]


def table(coverage: Coverage, required: Iterable[str], title: str) -> str:
    """The required rows as text, a row a line."""
    lines = [
        f"{title}: {coverage.networks} networks, {coverage.frames} frames, {coverage.values} values",
        f"  {'gamma < 0, share of channels':<44}{coverage.negative_share:8.0%}",
    ]
    lines += [f"  {row:<44}{coverage.rows[row]:8d}" for row in required]
    return "\n".join(lines)


def _of_values(checked: Checked) -> Iterable[str]:
    network = checked.network
    for gamma in network.gammas:
        size = np.abs(gamma)
        yield from ["gamma < 0"] * int((gamma < 0).sum())
        yield from ["gamma = 0"] * int((size == 0).sum())
        yield from ["gamma tiny"] * int(((size > 0) & (size < 1e-5)).sum())
    yield from ["ReLU constant"] * network.relu_constants
    for node in checked.float_graph.nodes:
        if not isinstance(node.op, BipolarQuant):
            continue
        before = checked.traced.get(f"{node.input}:out", checked.traced[node.input])
        rows = np.moveaxis(before, 1, 0).reshape(before.shape[1], -1)
        bits = np.moveaxis(checked.traced[node.output.name], 1, 0).reshape(before.shape[1], -1)
        mixed = (bits != bits[:, :1]).any(axis=1)
        ties = ((rows == 0).any(axis=1) & mixed).sum()
        assert (bits[rows == 0] == 1).all()
        yield from ["exact tie"] * int(ties)


def _of_front(front: Front, spec: NetworkSpec) -> Iterable[str]:
    if front.kind == "codes":
        yield "input codes signed" if front.signed else "input codes unsigned"
        yield f"input bits {front.bits}"
        if front.point:
            yield "input scaled"
    elif front.kind == "normalised":
        yield "input mean and std"
    else:
        yield f"input {front.kind}"
    steps = [s for s in spec.steps if not isinstance(s, Relu)]
    if isinstance(steps[0], BatchNorm):
        yield "input batch norm and sign"
    if isinstance(steps[0], Pool) and front.kind not in ("bipolar", "bipolar table"):
        yield "pool on codes"
    if len(front.shape) == 3 and front.shape[1] != front.shape[2]:
        yield "map not square"


def _of_structure(spec: NetworkSpec) -> Iterable[str]:
    products = [i for i, s in enumerate(spec.steps) if isinstance(s, Conv | Linear)]
    yield ("one layer", "two layers", "three layers", "four layers", "five layers")[len(products) - 1]
    if all(isinstance(spec.steps[i], Linear) for i in products):
        yield "linear only"
    for first, following in zip(products, [*products[1:], len(spec.steps)], strict=True):
        product = spec.steps[first]
        assert isinstance(product, Conv | Linear)
        chain = spec.steps[first + 1 : following]
        yield "bias" if product.bias else "no bias"
        yield f"scale {str(product.scale).lower()}"
        if product.in_scale != 1.0:
            yield "in_scale"
        yield f"channels {product.out}"
        if following == len(spec.steps):
            yield from _of_tail(product, chain)
        else:
            yield from _of_chain(chain)
            if isinstance(product, Conv) and isinstance(spec.steps[following], Linear):
                yield "flatten into linear"


def _of_tail(product: Conv | Linear, chain: tuple[object, ...]) -> Iterable[str]:
    kinds = [type(s) for s in chain]
    yield "output map" if isinstance(product, Conv) and Flatten not in kinds else "output vector"
    if BatchNorm in kinds:
        yield "tail batch norm"
    if Relu in kinds:
        yield "tail ReLU"
    if product.bias:
        yield "tail bias"


def _of_chain(chain: tuple[object, ...]) -> Iterable[str]:
    kinds = [type(s) for s in chain]
    sign = kinds.index(Sign)
    norms = [i for i, k in enumerate(kinds) if k is BatchNorm]
    pools = [i for i, k in enumerate(kinds) if k is Pool]
    for i in pools:
        if norms and i < norms[0]:
            yield "pool in front of batch norm"
        if norms and norms[-1] < i < sign:
            yield "pool between batch norm and sign"
        if len(norms) > 1 and norms[0] < i < norms[-1]:
            yield "pool between two batch norms"
        if i > sign:
            yield "pool behind sign"
    if len(pools) > 1:
        yield "two pools"
    if not norms:
        yield "sign without batch norm"
    if any(isinstance(s, BatchNorm) and not s.affine for s in chain):
        yield "no affine"
    for i, kind in enumerate(kinds):
        if kind is Relu:
            yield "ReLU behind batch norm" if any(n < i for n in norms) else "ReLU in front of batch norm"
    if Hardtanh in kinds:
        yield "hardtanh"
    if Flatten in kinds[:sign]:
        yield "flatten in front of sign"


def _of_pools(checked: Checked) -> Iterable[str]:
    for node in checked.graph.nodes:
        if not isinstance(node.op, MaxPool):
            continue
        geometry, minimum = node.op.geometry, node.op.minimum
        if any(k > s for k, s in zip(geometry.kernel, geometry.stride, strict=True)):
            yield "pool overlapping"
        if geometry.pads.any():
            yield "pool padded"
        size = checked.graph.tensor(node.input).shape[1:]
        if geometry.output_size(*size) != replace(geometry, ceil_mode=False).output_size(*size):
            yield "pool ceil_mode"
        if geometry.taps > 1:
            yield from ["pool AND"] * int(minimum.sum())
            yield from ["pool OR"] * int((~minimum).sum())
            if geometry.pads.any():
                yield from ["pool AND padded"] * int(minimum.sum())


def _of_product(op: Product, shape: tuple[int, int, int], bipolar: bool) -> Iterable[str]:
    geometry = op.geometry
    channels, height, width = shape
    if channels == 1:
        yield "C = 1"
    if op.groups > 1:
        yield "groups"
    if (height, width) == geometry.kernel:
        return
    yield f"stride {geometry.stride[0]}x{geometry.stride[1]}"
    if geometry.dilation != (1, 1):
        yield "dilation"
    if geometry.kernel[0] != geometry.kernel[1]:
        yield "kernel not square"
    if 4 in geometry.kernel:
        yield "kernel 4"
    out = geometry.output_size(height, width)
    used = (out[0] - 1) * geometry.stride[0] + (geometry.kernel[0] - 1) * geometry.dilation[0] + 1
    if used < height + geometry.pads.top and geometry.pads.bottom == 0:
        yield "stride that skips the last rows"
    centred = geometry.kernel == (3, 3) and geometry.pads == Pads(1, 1, 1, 1)
    if centred and geometry.dilation == (1, 1) and op.pad_value == 0 and bipolar:
        for row in geometry.axis_classes(height, 0).padded:
            for column in geometry.axis_classes(width, 1).padded:
                if row in CENTRE and column in CENTRE:
                    yield f"position class {CENTRE[row]}/{CENTRE[column]} of 3x3"


def _of_pads(pads: Pads, value: int, bipolar: bool) -> Iterable[str]:
    sizes = (pads.left, pads.right, pads.top, pads.bottom)
    if not any(sizes):
        return
    if len(set(sizes)) > 1:
        yield "pads not alike"
    if not bipolar:
        yield "pad codes other" if value else "pad codes 0"
        return
    for side, size in zip(SIDES, sizes, strict=True):
        if size:
            yield f"pad {side} {('0', '+1', '-1')[value]}"
