"""Seeded integer graphs for the benches: thresholds lie in the middle of what a layer's sums do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, MaxPool, Product, Tensor, Term, Threshold
from xnorhw.ir.types import BIPOLAR, type_for_range
from xnorhw.plan import Folding, LayerFolding, PoolFolding
from xnorhw.plan.columns import column_hindrance, packed_pes
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.geometry import layer_shape, legal_pe, legal_simd, legal_taps
from xnorhw.plan.stages import chip_layers

__all__ = ["Conv", "Linear", "Pool", "network", "random_folding", "random_layers", "random_network"]


@dataclass(frozen=True)
class Conv:
    """A binary convolution; a threshold follows unless it is the last layer."""

    out: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    pads: Pads = Pads()
    dilation: tuple[int, int] = (1, 1)
    pad_value: int = 0


@dataclass(frozen=True)
class Pool:
    """A max-pool; every second channel takes the minimum where ``mixed``."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    pads: Pads = Pads()
    mixed: bool = True


@dataclass(frozen=True)
class Linear:
    """A layer over the whole map."""

    out: int


Layer = Union[Conv, Pool, Linear]
Values = npt.NDArray[np.int64]


def _values(kind: Input, shape: tuple[int, int, int], frames: int, rng: np.random.Generator) -> Values:
    if kind.type.is_bipolar:
        return rng.choice(np.array([-1, 1]), size=(frames, *shape)).astype(np.int64)
    return rng.integers(kind.type.min, kind.type.max + 1, size=(frames, *shape))


def network(
    shape: tuple[int, int, int],
    layers: list[Layer],
    *,
    seed: int,
    frames: int = 6,
    bits: int = 1,
    signed: bool = False,
) -> tuple[IntGraph, Values]:
    """A chain of layers on bipolar (``bits`` 1) or code input, and frames [N, C, H, W] to run on it."""
    rng = np.random.default_rng(seed)
    encoding = "bipolar" if bits == 1 else "code"
    given = Input(shape, bits=bits, signed=signed, encoding=encoding)
    source = Tensor("input", shape, given.type)
    values = _values(given, shape, frames, rng)
    nodes: list[IntNode] = []
    host_input = source
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        channels, height, width = source.shape
        if isinstance(layer, Pool):
            geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads)
            minimum = np.arange(channels) % 2 == 1 if layer.mixed else np.zeros(channels, bool)
            size = (channels, *geometry.output_size(height, width))
            nodes.append(
                IntNode(MaxPool(geometry, minimum), source.name, Tensor(f"pool{number}", size, BIPOLAR))
            )
            source = nodes[-1].output
            continue
        if isinstance(layer, Linear):
            layer = Conv(layer.out, (height, width))
        geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads, layer.dilation)
        weight = rng.choice(np.array([-1, 1], np.int8), size=(layer.out, channels, *layer.kernel))
        assert source.type is not None
        reach = weight[0].size * max(abs(source.type.min), abs(source.type.max))
        size = (layer.out, *geometry.output_size(height, width))
        product = Product((Term(1, weight),), geometry, 1, layer.pad_value)
        nodes.append(
            IntNode(product, source.name, Tensor(f"conv{number}", size, type_for_range(-reach, reach)))
        )
        if last:
            break
        so_far = IntGraph(given, host_input, tuple(nodes), nodes[-1].output.name, (), size)
        sums = golden.run(so_far, values)[nodes[-1].output.name]
        # a real sum as the threshold makes ties, where >= and > differ
        table = np.sort(sums.transpose(1, 0, 2, 3).reshape(layer.out, -1), axis=1)
        middle = table[:, table.shape[1] // 2]
        direction = rng.choice(np.array([-1, 1], np.int8), size=layer.out)
        threshold = Threshold(
            middle.reshape(1, -1, 1).astype(np.int64), direction, np.zeros(1, bool), np.zeros(layer.out, bool)
        )
        nodes.append(IntNode(threshold, f"conv{number}", Tensor(f"sign{number}", size, BIPOLAR)))
        source = nodes[-1].output
    output = nodes[-1].output
    return IntGraph(given, host_input, tuple(nodes), output.name, (), output.shape), values


def _size(layers: list[Layer], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    for layer in layers:
        channels, height, width = shape
        if isinstance(layer, Linear):
            shape = (layer.out, 1, 1)
            continue
        dilation = layer.dilation if isinstance(layer, Conv) else (1, 1)
        geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads, dilation)
        channels = layer.out if isinstance(layer, Conv) else channels
        shape = (channels, *geometry.output_size(height, width))
    return shape


def random_layers(rng: np.random.Generator, shape: tuple[int, int, int], bits: int) -> list[Layer]:
    """A random chain that begins at ``shape``: two to five layers, every geometry in turn."""

    def pick(*choices: int) -> int:
        return int(rng.choice(np.array(choices)))

    def pads(kernel: tuple[int, int]) -> Pads:
        return Pads(*(pick(0, k // 2) for k in (kernel[1], kernel[1], kernel[0], kernel[0])))

    layers: list[Layer] = []
    for number in range(pick(2, 3, 4)):
        _, height, width = _size(layers, shape)
        kernel = (min(pick(1, 2, 3, 5), height), min(pick(1, 2, 3, 5), width))
        dilation = (
            pick(1, 1, 2) if 2 * kernel[0] - 1 <= height else 1,
            pick(1, 1, 2) if 2 * kernel[1] - 1 <= width else 1,
        )
        pad_value = 0 if number == 0 and bits > 1 else pick(-1, 0, 0, 1)
        out = pick(1, 3, 5, 8, 12)
        layers.append(Conv(out, kernel, (pick(1, 1, 2), pick(1, 1, 2)), pads(kernel), dilation, pad_value))
        _, height, width = _size(layers, shape)
        if height >= 2 and width >= 2 and pick(0, 1):
            window = (pick(2, min(3, height)), pick(2, min(3, width)))
            layers.append(Pool(window, (pick(1, 2), pick(1, 2)), pads(window)))
    if pick(0, 1, 1):
        layers.append(Linear(pick(2, 5, 10)))
    if not isinstance(layers[-1], Pool):
        return layers
    return [*layers, Conv(pick(2, 5), (1, 1))]


def random_network(seed: int, frames: int = 4) -> tuple[IntGraph, Values]:
    """A random chain on random input, the same for the same seed."""
    rng = np.random.default_rng(seed)
    bits = int(rng.choice(np.array([1, 1, 2, 4, 8])))
    shape = tuple(int(n) for n in (rng.integers(1, 6), rng.integers(3, 10), rng.integers(3, 10)))
    signed = bits > 1 and bool(rng.integers(2))
    return network(shape, random_layers(rng, shape, bits), seed=seed, frames=frames, bits=bits, signed=signed)


def random_folding(graph: IntGraph, seed: int, dsps: int = 0) -> Folding:
    """A random legal folding: PE and SIMD that divide and that do not, both memories.

    ``dsps``: where codes meet binary weights, up to so many DSPs a layer add them, on 7 series.
    """
    rng, columns = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    layers, pools = [], []
    for layer in chip_layers(graph):
        simd = int(rng.choice(np.array(legal_simd(layer))))
        pe = int(rng.integers(1, layer.outputs + 1))
        if layer.groups > 1:
            pe = int(rng.choice(np.array(legal_pe(layer))))
        memory = str(rng.choice(np.array(["lut", "block", "auto"])))
        pes, shape = 0, layer_shape(layer, pe, simd)
        if dsps and not column_hindrance(layer, shape, Fabric("xc7")):
            packed = packed_pes(layer.act_bits, layer.act.signed, simd)
            pes = int(columns.integers(0, min(pe, dsps // simd * packed) + 1))
        layers.append(LayerFolding(layer.name, pe, simd, 1, memory, dsp_pes=pes))
        pools += [PoolFolding(p.name, int(rng.choice(np.array(legal_taps(p))))) for p in layer.pools]
    return Folding(tuple(layers), tuple(pools))
