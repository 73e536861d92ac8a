"""Small builder of integer graphs for the planner's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np

from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, MaxPool, Product, Tensor, Term, Threshold
from xnorhw.ir.types import BIPOLAR, IntType, code, type_for_range


@dataclass(frozen=True)
class Conv:
    """A convolution of ``outputs`` channels, a sign behind it unless it is the last."""

    outputs: int
    kernel: tuple[int, int] = (3, 3)
    pads: Pads = Pads()
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad_value: int = 0


@dataclass(frozen=True)
class Linear:
    """A linear layer on the whole map."""

    outputs: int


@dataclass(frozen=True)
class Pool:
    """A max-pool; every third channel takes the minimum."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    pads: Pads = Pads()
    ceil_mode: bool = False


Layer = Union[Conv, Linear, Pool]


def network(
    shape: tuple[int, int, int],
    layers: list[Layer],
    kind: IntType | None = None,
    seed: int = 0,
) -> IntGraph:
    """A graph with random weights, thresholds and directions; ``kind`` is bipolar by default."""
    draw = np.random.default_rng(seed)
    act = BIPOLAR if kind is None else kind
    source = Tensor("input", shape, act)
    declared = Input(shape, act.bits, act.signed, encoding="bipolar" if act.is_bipolar else "code")
    first = source
    nodes: list[IntNode] = []
    products = [i for i, layer in enumerate(layers) if not isinstance(layer, Pool)]
    for i, layer in enumerate(layers):
        if isinstance(layer, Pool):
            geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads, ceil_mode=layer.ceil_mode)
            minimum = np.arange(source.shape[0]) % 3 == 2
            out = Tensor(f"pool{i}", (source.shape[0], *geometry.output_size(*source.shape[1:])), BIPOLAR)
            nodes.append(IntNode(MaxPool(geometry, minimum), source.name, out))
            source = out
            continue
        if isinstance(layer, Linear):
            geometry, pad_value = WindowGeometry((source.shape[1], source.shape[2])), 0
        else:
            geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads, layer.dilation)
            pad_value = layer.pad_value
        weight = draw.choice(
            np.array([-1, 1], np.int8), (layer.outputs, source.shape[0], *geometry.kernel)
        ).astype(np.int8)
        n = int(weight[0].size)
        limit = n * max(abs(act.min), abs(act.max))
        sums = Tensor(
            f"layer{i}",
            (layer.outputs, *geometry.output_size(*source.shape[1:])),
            type_for_range(-limit, limit),
        )
        nodes.append(IntNode(Product((Term(1, weight),), geometry, 1, pad_value), source.name, sums))
        source = sums
        if i != products[-1]:
            spread = max(1, int(limit**0.5))
            table = draw.integers(-spread, spread + 1, (1, layer.outputs, 1))
            bits = Tensor(f"sign{i}", sums.shape, BIPOLAR)
            threshold = Threshold(
                table.astype(np.int64),
                draw.choice(np.array([-1, 1], np.int8), layer.outputs),
                np.zeros(1, np.bool_),
                np.zeros(layer.outputs, np.bool_),
            )
            nodes.append(IntNode(threshold, sums.name, bits))
            source, act = bits, BIPOLAR
    return IntGraph(declared, first, tuple(nodes), source.name, (), (source.shape[0],))


def street_view() -> IntGraph:
    """The nine-layer network of the street-view digits: 59 million products a frame."""
    layers: list[Layer] = [
        Conv(64),
        Conv(64),
        Pool(),
        Conv(128),
        Conv(128),
        Pool(),
        Conv(256),
        Conv(256),
        Linear(512),
        Linear(512),
        Linear(10),
    ]
    return network((3, 32, 32), layers, code(8, True))


def dense() -> IntGraph:
    """784-1024-1024-1024-10, all +-1."""
    return network((1, 28, 28), [Linear(1024), Linear(1024), Linear(1024), Linear(10)])


def digits() -> IntGraph:
    """A small network of padded convolutions on 8 x 8 pixels of 8 bits."""
    same = Pads(1, 1, 1, 1)
    return network((1, 8, 8), [Conv(32, pads=same), Conv(48, pads=same), Pool(), Linear(10)], code(8, True))
