"""The integer graph as the stages that the chip runs, or a refusal that says why not.

A network is cut in three, each time where one tensor alone leads on: what stands before the
chip's first product runs on the host (lookups, full-precision layers left to it with their
thresholds and pools), what lies between on the chip, and what follows the last product runs on the
host again.  The chip's products are the binary ones and the full-precision ones put there (``plan.ends``).
A product's sums that lead on alone leave the chip as they are; a branch around the last product
is joined first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    IntGraph,
    IntNode,
    IntOp,
    MaxPool,
    Multiply,
    Product,
    Requant,
    SumPool,
    Tensor,
    Threshold,
)
from xnorhw.ir.types import type_for_range
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipPool, ChipStage, Quantiser
from xnorhw.plan.refusals import (
    check_input,
    check_join,
    check_product,
    check_quantiser,
    check_reading,
    misplaced,
)

__all__ = [
    "chip_input",
    "chip_layers",
    "chip_output",
    "chip_stages",
    "full_layers_between",
    "runs_on_chip",
]


@dataclass(frozen=True)
class _Part:
    """The chip's nodes, the tensor that enters them and the tensor that leaves."""

    nodes: tuple[IntNode, ...]
    source: Tensor
    result: Tensor


def chip_input(graph: IntGraph) -> Tensor:
    """The tensor that enters the chip: the last one in front of the first product that leads on alone."""
    return _chip_part(graph).source


def chip_output(graph: IntGraph) -> Tensor:
    """The tensor that leaves the chip: the first one from the last product on that leads on alone."""
    return _chip_part(graph).result


def runs_on_chip(op: IntOp) -> bool:
    """True for a product of binary weights, and for one in full precision that was put on the chip."""
    return isinstance(op, Product) or (isinstance(op, FullProduct) and op.on_chip)


def full_layers_between(graph: IntGraph) -> tuple[str, ...]:
    """The full-precision layers within the chip's part that are left to the host, which cannot run them."""
    nodes = _chip_part(graph).nodes
    return tuple(n.output.name for n in nodes if isinstance(n.op, FullProduct) and not n.op.on_chip)


def _chip_part(graph: IntGraph) -> _Part:
    nodes = graph.nodes
    products = [i for i, node in enumerate(nodes) if runs_on_chip(node.op)]
    if not any(isinstance(node.op, Product) for node in nodes):
        raise ModelError(
            "the network has no binary layer, so there is nothing to put on the chip",
            module=graph.output,
            remedy="Use xnn.BinaryConv2d or xnn.BinaryLinear",
        )
    alone = _alone(graph)
    # place 0 is the network's input, place i + 1 the output of node i
    first = max(place for place in alone if place <= products[0])
    last = min(place for place in alone if place > products[-1])
    source = graph.input_tensor if first == 0 else nodes[first - 1].output
    return _Part(tuple(nodes[first:last]), source, nodes[last - 1].output)


def _alone(graph: IntGraph) -> list[int]:
    """The places behind which one tensor alone is still read, and that is the place's own."""
    names = [graph.input_tensor.name, *(node.output.name for node in graph.nodes)]
    last_read = {graph.output: len(names)}
    for i, node in enumerate(graph.nodes):
        for name in node.inputs:
            last_read[name] = max(last_read.get(name, 0), i + 1)
    found, farthest = [], 0
    for place, name in enumerate(names):
        # farthest: where the tensors in front of this one are read for the last time
        if farthest <= place:
            found.append(place)
        farthest = max(farthest, last_read.get(name, 0))
    return found


def chip_layers(graph: IntGraph) -> tuple[ChipLayer, ...]:
    """The layers among ``chip_stages``."""
    return tuple(stage for stage in chip_stages(graph) if isinstance(stage, ChipLayer))


def chip_stages(graph: IntGraph) -> tuple[ChipStage, ...]:
    """Cut the chip's part into layers and joins, each behind what it reads.

    Accepted: products of binary weights, of one term or several, and of integer ones of at most 8
    bits, on +-1, on codes or on numbers of 1 to 8 bits; sums
    and concatenations of several streams and the map of input scales; thresholds of 1 to 15 levels
    and requantisations; max-pools and sum pools.  A stage takes in what follows it while nothing
    else reads the same.  Raises ModelError naming the module for everything else.
    """
    part = _chip_part(graph)
    kind = graph.tensor(graph.output).type
    if kind is not None and kind.is_bipolar:
        raise ModelError(
            "the network ends in a sign: its last tensor must be integer sums, not bits",
            module=graph.output,
            remedy="End the network with a BinaryLinear, a BinaryConv2d or a FullLinear",
        )
    check_input(part.source, part.nodes[0].output.name)
    cutter = _Cutter(graph, part)
    return tuple(cutter.stages)


class _Cutter:
    """Takes the part's nodes in order; ``stages`` is what they make."""

    def __init__(self, graph: IntGraph, part: _Part) -> None:
        self._graph = graph
        self._result = part.result.name
        self._readers: dict[str, list[IntNode]] = {}
        for node in part.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        self._taken: set[str] = set()
        self.stages: list[ChipStage] = []
        self._layers = self._joins = 0
        for node in part.nodes:
            if node.output.name not in self._taken:
                self._take(node)

    def _take(self, node: IntNode) -> None:
        sources = tuple(self._graph.tensor(name) for name in node.inputs)
        if isinstance(node.op, Product) or (isinstance(node.op, FullProduct) and node.op.on_chip):
            self._layer(node, node.op, sources[0])
        elif isinstance(node.op, Add | Concat | Multiply):
            check_join(node, node.op, sources)
            self._join(sources, node.op, node.output, self._only_reader(node.output))
        elif isinstance(node.op, BoxSum):
            self._box(node, node.op, sources)
        elif isinstance(node.op, Threshold | Requant | MaxPool | SumPool):
            self._join(sources, None, sources[0], node)
        else:
            raise misplaced(node)

    def _only_reader(self, tensor: Tensor) -> IntNode | None:
        """What alone reads ``tensor`` on the chip; None where several do or it leaves."""
        readers = self._readers.get(tensor.name, [])
        return readers[0] if len(readers) == 1 and tensor.name != self._result else None

    def _layer(self, node: IntNode, product: Product | FullProduct, source: Tensor) -> None:
        check_product(node, product, source)
        reader = self._only_reader(node.output)
        quantiser, bits, reader = self._quantiser(reader)
        pools = self._pools(reader) if quantiser is not None else ()
        last = node.output.name == self._result
        layer = ChipLayer(self._layers, source, product, node.output, quantiser, bits, pools, last)
        self._layers += 1
        self.stages.append(layer)

    def _join(
        self,
        sources: tuple[Tensor, ...],
        op: Add | Concat | Multiply | None,
        joined: Tensor,
        reader: IntNode | None,
    ) -> None:
        quantiser, bits, reader = self._quantiser(reader)
        pools = self._pools(reader)
        self._append(ChipJoin(self._joins, sources, op, joined, quantiser, bits, pools, False))

    def _append(self, join: ChipJoin) -> None:
        self._joins += 1
        self.stages.append(replace(join, last=join.output.name == self._result))

    def _box(self, node: IntNode, op: BoxSum, sources: tuple[Tensor, ...]) -> None:
        """Magnitudes summed over the channels, and then over windows as a pool does."""
        check_join(node, op, sources)
        kind = sources[0].type
        assert kind is not None
        check_reading(node.output.name, op.geometry, sources[0])
        most = sources[0].shape[0] * max(abs(kind.min), abs(kind.max))
        norms = Tensor(
            f"{node.output.name}:magnitudes",
            (1, *sources[0].shape[1:]),
            replace(type_for_range(0, most), point=kind.point),
        )
        own = ChipPool(SumPool(op.geometry), norms, node.output, None, node.output)
        behind = self._pools(self._only_reader(node.output))
        self._append(ChipJoin(self._joins, sources, op, norms, None, None, (own, *behind), False))

    def _quantiser(self, node: IntNode | None) -> tuple[Quantiser | None, Tensor | None, IntNode | None]:
        """What ``node`` makes codes with, the codes, and what alone reads them."""
        if node is None or not isinstance(node.op, Threshold | Requant):
            return None, None, node
        check_quantiser(node, node.op)
        self._taken.add(node.output.name)
        quantiser = _plain(node.op) if isinstance(node.op, Threshold) else node.op
        return quantiser, node.output, self._only_reader(node.output)

    def _pools(self, node: IntNode | None) -> tuple[ChipPool, ...]:
        """The pools from ``node`` on, each behind the other."""
        pools = []
        while node is not None and isinstance(node.op, MaxPool | SumPool):
            source = self._graph.tensor(node.inputs[0])
            check_reading(node.output.name, node.op.geometry, source)
            self._taken.add(node.output.name)
            behind = self._only_reader(node.output)
            quantiser: Quantiser | None = None
            codes: Tensor | None = None
            if isinstance(node.op, SumPool):
                quantiser, codes, behind = self._quantiser(behind)
            output = node.output if codes is None else codes
            pools.append(ChipPool(node.op, source, node.output, quantiser, output))
            node = behind
        return tuple(pools)


def _plain(threshold: Threshold) -> Threshold:
    """The same threshold without strict levels: on integers s > t is s >= t + 1."""
    if not threshold.strict.any():
        return threshold
    step = threshold.directions.astype(np.int64)[:, :, None] * threshold.strict
    return replace(threshold, table=threshold.table + step, strict=np.zeros_like(threshold.strict))
