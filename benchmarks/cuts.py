"""Layers cut out of a network, each a small integer graph that the chip can run by itself.

A *layer* is a binary product with what follows it up to the next product, branch or join; a *block*
is what lies between two tensors that nothing bypasses, where it joins tensors.  Channels, kernels,
weights and tables are the network's own; height and width are the least at which every window
still has first, inner and last places and leaves the same rows and columns over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    IntGraph,
    IntNode,
    IntOp,
    MaxPool,
    Product,
    Requant,
    Reshape,
    SumPool,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import Encoding, IntType, type_for_range

__all__ = ["Part", "blocks", "cut", "layers", "parts", "reduced", "text"]

Values = npt.NDArray[Any]

WINDOWS = (Product, FullProduct, MaxPool, SumPool, BoxSum)
BEHIND = (Threshold, Requant, MaxPool, SumPool)
"""What a layer takes along from behind its product."""

PLACES = 3
"""First, inner and last place of a window on each axis."""

TAIL_CHANNELS = 8
CODE_BITS = 8


@dataclass(frozen=True)
class Part:
    """``nodes`` of a network that read ``source`` and one another; the last one's tensor leaves."""

    source: Tensor
    nodes: tuple[IntNode, ...]

    @property
    def last(self) -> Tensor:
        """What leaves."""
        return self.nodes[-1].output


def parts(graph: IntGraph) -> list[Part]:
    """The layers of a network in its order, the blocks behind them."""
    return [*layers(graph), *blocks(graph)]


def readable(kind: IntType | None) -> bool:
    """True for what a product on the chip reads."""
    if kind is None:
        return False
    codes = kind.encoding is Encoding.CODE and kind.bits <= CODE_BITS
    return kind.is_bipolar or codes or kind.encoding is Encoding.THERMOMETER


def layers(graph: IntGraph) -> list[Part]:
    """Each binary product with its quantiser and pools; with its sums alone where no codes follow."""
    found = []
    for node in graph.nodes:
        if not isinstance(node.op, Product):
            continue
        nodes, kept = [node], 1
        while len(users := graph.users(nodes[-1].output.name)) == 1 and isinstance(users[0].op, BEHIND):
            nodes.append(users[0])
        for count, behind in enumerate(nodes, 1):
            # behind the last product sums leave the chip, whatever the host makes of them
            if readable(behind.output.type) and _feeds_product(graph, nodes[-1].output.name):
                kept = count
        found.append(Part(graph.tensor(node.input), tuple(nodes[:kept])))
    return found


def _feeds_product(graph: IntGraph, name: str) -> bool:
    return any(
        isinstance(user.op, Product) or _feeds_product(graph, user.output.name) for user in graph.users(name)
    )


def blocks(graph: IntGraph) -> list[Part]:
    """What lies between two tensors that nothing bypasses, where tensors are joined."""
    products = [i for i, node in enumerate(graph.nodes) if isinstance(node.op, Product)]
    found: list[Part] = []
    source, start = graph.input_tensor, 0
    for index, node in enumerate(graph.nodes[: products[-1] + 1] if products else ()):
        if not _alone(graph, index):
            continue
        found.append(Part(source, graph.nodes[start : index + 1]))
        source, start = node.output, index + 1
    rest = [i for i in range(start, len(graph.nodes)) if _joins(graph.nodes[i : i + 1])]
    if rest:
        # the last join that a product feeds; pools and scores behind it are the host's
        found.append(Part(source, graph.nodes[start : rest[-1] + 1]))
    return [
        part for part in found if _joins(part.nodes) and any(isinstance(n.op, Product) for n in part.nodes)
    ]


def _joins(nodes: Iterable[IntNode]) -> bool:
    return any(isinstance(node.op, Add | Concat) for node in nodes)


def _alone(graph: IntGraph, index: int) -> bool:
    """True where all behind node ``index`` reads its tensor alone, and products or several nodes do."""
    name = graph.nodes[index].output.name
    made = {graph.input_tensor.name, *(n.output.name for n in graph.nodes[: index + 1])}
    alive = {i for n in graph.nodes[index + 1 :] for i in n.inputs if i in made}
    users = graph.users(name)
    return alive == {name} and (len(users) > 1 or isinstance(users[0].op, Product))


# --- height and width ------------------------------------------------------------------------


def reduced(part: Part) -> tuple[int, int]:
    """The least height and width, the width larger than the height where it may be."""
    height = min(_sizes(part, 0))
    widths = _sizes(part, 1)
    return height, min((w for w in widths if w > height), default=min(widths))


def _sizes(part: Part, axis: int) -> list[int]:
    whole = _along(part, axis, part.source.shape[1 + axis])
    assert whole is not None
    found = []
    for size in range(1, part.source.shape[1 + axis] + 1):
        along = _along(part, axis, size)
        if along is not None and all(_alike(n, along, whole, axis) for n in part.nodes):
            found.append(size)
    return found


def _along(part: Part, axis: int, size: int) -> dict[str, int] | None:
    """The size of every tensor on one axis; None where tensors that are joined differ."""
    sizes = {part.source.name: size}
    for node in part.nodes:
        given = {sizes[name] for name in node.inputs}
        if len(given) != 1:
            return None
        sizes[node.output.name] = given.pop()
        if isinstance(node.op, WINDOWS):
            pair = [1 << 20, 1 << 20]
            pair[axis] = sizes[node.output.name]
            sizes[node.output.name] = node.op.geometry.output_size(*pair)[axis]
    return sizes


def _alike(node: IntNode, along: Mapping[str, int], whole: Mapping[str, int], axis: int) -> bool:
    """True where the window has all its places and leaves over what it leaves over in the network."""
    if isinstance(node.op, Reshape):
        return along[node.input] == whole[node.input]
    if not isinstance(node.op, WINDOWS):
        return True
    geometry, name = node.op.geometry, node.output.name
    left = [sizes[node.input] - sizes[name] * geometry.stride[axis] for sizes in (along, whole)]
    return left[0] == left[1] and along[name] >= min(whole[name], PLACES)


# --- the small graph -------------------------------------------------------------------------


def cut(part: Part, values: Values, frames: int, seed: int) -> tuple[IntGraph, Values]:
    """The part at its reduced size as a graph of its own, and input frames [N, C, H, W] for it.

    ``values`` [N, C, H, W] are the source's in the network: the frames are pieces of them.  Codes
    leave by a seeded 1x1 product behind the part; sums leave as they are.
    """
    rng = np.random.default_rng(seed)
    height, width = reduced(part)
    source = replace(part.source, shape=(part.source.shape[0], height, width))
    made = _Growing(source, _pieces(values, (height, width), frames, rng))
    for node in part.nodes:
        made.add(_smaller(node, made), node.inputs, node.output)
    if not isinstance(part.nodes[-1].op, Product) and readable(part.last.type):
        made.tail(rng)
    return made.graph(), made.values


def _pieces(values: Values, size: tuple[int, int], frames: int, rng: np.random.Generator) -> Values:
    """Places of the maps drawn at random."""
    count, _, rows, columns = values.shape
    top = rng.integers(0, rows - size[0] + 1, frames)
    left = rng.integers(0, columns - size[1] + 1, frames)
    pieces = [
        values[i % count, :, y : y + size[0], x : x + size[1]]
        for i, (y, x) in enumerate(zip(top, left, strict=True))
    ]
    return np.stack(pieces).astype(np.int64)


def _smaller(node: IntNode, made: _Growing) -> IntOp:
    """The operation on a smaller map: tables by position lose the positions that are gone."""
    op = node.op
    if not isinstance(op, Threshold) or op.table.shape[0] == 1:
        return op
    _, height, width = node.output.shape
    _, rows, columns = made.tensors[node.input].shape
    table = op.table.reshape(height, width, *op.table.shape[1:])[:rows, :columns]
    return replace(op, table=np.ascontiguousarray(table.reshape(-1, *op.table.shape[1:])))


class _Growing:
    """A graph that grows node by node; ``values`` enter it."""

    def __init__(self, first: Tensor, values: Values) -> None:
        self.tensors = {first.name: first}
        self.values = values
        self._first = self._last = first
        self._nodes: list[IntNode] = []

    def graph(self) -> IntGraph:
        kind = self._first.type
        assert kind is not None
        given = Input(self._first.shape, kind.bits, kind.signed)
        if kind.is_bipolar:
            given = replace(given, encoding="bipolar")
        return IntGraph(given, self._first, tuple(self._nodes), self._last.name, (), self._last.shape)

    def add(self, op: IntOp, inputs: tuple[str, ...], output: Tensor) -> None:
        """One operation; ``output``'s height and width follow from what it reads."""
        size = self.tensors[inputs[0]].shape[1:]
        if isinstance(op, WINDOWS):
            size = op.geometry.output_size(*size)
        self._last = replace(output, shape=(output.shape[0], *size))
        self.tensors[output.name] = self._last
        self._nodes.append(IntNode(op, inputs[0], self._last, inputs[1:]))

    def tail(self, rng: np.random.Generator) -> None:
        channels, height, width = self._last.shape
        kind = self._last.type
        assert kind is not None
        weight = rng.choice(np.array([-1, 1], np.int8), (TAIL_CHANNELS, channels, 1, 1))
        most = channels * max(abs(kind.min), abs(kind.max))
        sums = Tensor("tail", (TAIL_CHANNELS, height, width), type_for_range(-most, most))
        self.add(Product((Term(1, weight),), WindowGeometry((1, 1)), 1, 0), (self._last.name,), sums)


# --- in words --------------------------------------------------------------------------------


def text(part: Part) -> str:
    """The part in words without names, height and width: parts of one text are one configuration."""
    places = {part.source.name: 0}
    said = [f"{_kind(part.source.type)}:"]
    channels = {part.source.name: part.source.shape[0]}
    previous = part.source.name
    for place, node in enumerate(part.nodes, 1):
        name = node.output.name
        where = "" if node.inputs == (previous,) else f" of {', '.join(str(places[i]) for i in node.inputs)}"
        whole = isinstance(node.op, Threshold) and node.op.table.shape[0] > 1
        by_place = f" for each of {node.op.table.shape[0]} places" if whole else ""  # type: ignore[union-attr]
        said.append(_op(node, channels[node.input]) + by_place + where + ",")
        places[name], channels[name], previous = place, node.output.shape[0], name
    return " ".join(said).rstrip(",")


def _kind(kind: IntType | None) -> str:
    return "+-1" if kind is not None and kind.is_bipolar else str(kind)


def _op(node: IntNode, channels: int) -> str:
    op, kind = node.op, _kind(node.output.type)
    if isinstance(op, Product):
        planes = {t.plane for t in op.terms} - {None}
        weights = "" if len(op.terms) == 1 else f", {len(op.terms)} terms"
        weights += f" on {len(planes)} planes" if planes else ""
        weights += f", {op.groups} groups" if op.groups > 1 else ""
        pads = f" with {op.pad_value}" if op.geometry.pads.any() else ""
        return f"conv {_window(op.geometry)}{pads} {channels}->{node.output.shape[0]}{weights}"
    if isinstance(op, Threshold):
        return "sign" if op.levels == 1 and kind == "+-1" else f"{op.levels} levels to {kind}"
    if isinstance(op, Requant):
        return f"multiplication to {kind}"
    if isinstance(op, MaxPool | SumPool | BoxSum):
        return f"{'max' if isinstance(op, MaxPool) else 'sum'} {_window(op.geometry)}"
    if isinstance(op, Add):
        shifts = f" shifted {op.shifts}" if any(op.shifts) else ""
        return f"add{shifts}"
    return type(op).__name__.lower()


def _window(geometry: WindowGeometry) -> str:
    def pair(values: tuple[int, int]) -> str:
        return str(values[0]) if values[0] == values[1] else f"{values[0]}x{values[1]}"

    pads = geometry.pads
    sides = {pads.left, pads.right, pads.top, pads.bottom}
    said = f"{geometry.kernel[0]}x{geometry.kernel[1]}"
    said += f" /{pair(geometry.stride)}" if geometry.stride != (1, 1) else ""
    said += f" dilated {pair(geometry.dilation)}" if geometry.dilation != (1, 1) else ""
    if sides != {0}:
        said += f" padded {sides.pop()}" if len(sides) == 1 else f" padded {pads}"
    return said + (" up" if geometry.ceil_mode else "")
