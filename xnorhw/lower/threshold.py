"""Fold everything between an integer tensor and a quantiser into one integer operation."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Rounding
from xnorhw.ir.int_graph import (
    IntGraph,
    IntNode,
    IntOp,
    Lookup,
    MaxPool,
    Requant,
    Reshape,
    RoundingDependent,
    Tensor,
    Threshold,
)
from xnorhw.ir.types import IntType
from xnorhw.lower.chain import Chain, is_quantiser, nodes_behind_integers
from xnorhw.lower.context import Context
from xnorhw.lower.ranges import Range, node_range, type_range
from xnorhw.lower.requant import find_requant
from xnorhw.lower.search import Staircase, find_staircase

__all__ = ["fold_thresholds", "without_dead_nodes"]

FEW_LEVELS, MANY_LEVELS = 15, 1023
"""Thresholds up to the first are compared with one by one; up to the second where nothing else is exact."""
LOOKUP_BITS = 16
LOOKUP_ENTRIES = 1 << 26


def fold_thresholds(context: Context, graph: IntGraph) -> IntGraph:
    """Integers -> (scale, bias, pools, batch norms, ...) -> quantiser becomes integers -> integers.

    Each quantiser folds its own chain: a real value may be read by several.  A max-pool moves
    behind the thresholds: it is the maximum of the codes where the part of the chain behind
    the pool does not decrease, else their minimum.
    """
    if not any(is_quantiser(node) for node in graph.nodes):
        return graph
    made = {node.output.name: node for node in graph.nodes}
    given = graph.input_tensor
    assert given.type is not None
    tensors = {given.name: given, **{name: node.output for name, node in made.items()}}
    reach = {given.name: type_range(given.type, given.shape[0])}
    nodes: list[IntNode] = []
    dependent = list(graph.rounding_dependent)
    for node in graph.nodes:
        if is_quantiser(node):
            source, behind = nodes_behind_integers(made, node)
            flat = made.get(source)
            if flat is not None and isinstance(flat.op, Reshape) and tensors[flat.input].shape[1:] != (1, 1):
                # of a map each position can have a table of its own; a vector has channels alone
                source, behind = flat.input, [flat, *behind]
            fold = _Fold(Chain(context, tensors[source], reach[source], behind))
            new = fold.nodes()
            dependent.extend(fold.rounding_dependent())
        else:
            new = [node]
        for one in new:
            nodes.append(one)
            tensors[one.output.name] = one.output
            if one.output.type is not None:
                reach[one.output.name] = _reach(one, tensors, reach)
    folded = dataclasses.replace(graph, nodes=tuple(nodes), rounding_dependent=tuple(dependent))
    return without_dead_nodes(folded)


def _reach(node: IntNode, tensors: dict[str, Tensor], reach: dict[str, Range]) -> Range:
    return node_range(node, tensors, reach)


def without_dead_nodes(graph: IntGraph) -> IntGraph:
    """``graph`` without what its output does not need."""
    needed = {graph.output}
    for node in reversed(graph.nodes):
        if node.output.name in needed:
            needed.update(node.inputs)
    nodes = tuple(node for node in graph.nodes if node.output.name in needed)
    return graph if len(nodes) == len(graph.nodes) else dataclasses.replace(graph, nodes=nodes)


class _Fold:
    """The search in one chain and the nodes that take its place."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.name = chain.quantiser.name
        assert chain.quantiser.type is not None
        self.kind: IntType = chain.quantiser.type
        self.stairs = self._search("module")

    def _search(self, rounding: Rounding) -> Staircase:
        chain = self.chain
        return find_staircase(lambda s: chain.evaluate(s, rounding), chain.low, chain.high, self.name)

    def nodes(self) -> list[IntNode]:
        """The integer nodes that replace the chain; the last has the quantiser's name."""
        chain = self.chain
        op = self._quantiser()
        if not chain.features:
            return self._named([op, *self._behind()], chain.source)
        in_front = self._in_front()
        per_position = self._per_position(op)
        if per_position is not None:
            return self._named([*in_front[:-1], per_position, Reshape()], chain.source)
        first = chain.nodes[0]
        if isinstance(first.op, Reshape):
            # the flatten of integers is a node already
            return self._named([*in_front[1:], op], first.output)
        return self._named([*in_front, op], chain.source)

    def _quantiser(self) -> IntOp:
        """One operation for all steps, the cheapest that is exact."""
        lowest, highest = self.chain.codes
        levels = highest - lowest
        counts = self.kind.is_bipolar or self.kind.min >= 0
        if not counts and self._reached().min() >= 0:
            # behind a ReLU: a count of levels is a number of either kind
            counts, lowest = True, 0
        if counts and levels <= FEW_LEVELS:
            return self._threshold(lowest, highest)
        requant = find_requant(self.stairs, lowest, highest)
        if requant is not None:
            return requant
        lookup = self._lookup()
        if lookup is not None:
            return lookup
        if counts and highest - lowest <= MANY_LEVELS:
            return self._threshold(lowest, highest)
        kind = self.chain.source.type
        assert kind is not None
        raise ModelError(
            f"({self.chain.context.graph.kind(self.name)}) makes {levels + 1} codes of sums of {kind.bits} "
            "bits in steps that no integer multiply-add-shift reproduces exactly: what leads to it rounds in "
            "float32",
            module=self.name,
            remedy="Round what stands in front of it to few bits: xnorhw.snap(net), or xnorhw snap model.pt "
            "-o snapped.pt; or use fewer bits",
        )

    def _reached(self) -> npt.NDArray[np.int64]:
        """The codes at the ends of each channel's sums; int64 [C, 2]."""
        ends = zip(self.chain.low, self.chain.high, strict=True)
        return np.stack([self.stairs.at(c, np.array(pair, np.int64)) for c, pair in enumerate(ends)])

    def _threshold(self, lowest: int, highest: int) -> Threshold:
        stairs = self.stairs
        table = stairs.table(lowest, highest)
        strict = np.zeros(table.shape[1], np.bool_)
        return Threshold(table[None], stairs.direction, strict, stairs.constant)

    def _lookup(self) -> Lookup | None:
        """A table over every value of the type that is read; None where that is too large."""
        kind = self.chain.source.type
        assert kind is not None
        if kind.bits > LOOKUP_BITS or self.stairs.channels << kind.bits > LOOKUP_ENTRIES:
            return None
        span = np.arange(kind.min, kind.max + 1, dtype=np.int64)
        return Lookup(
            np.stack([self.stairs.at(c, span) for c in range(self.stairs.channels)]).astype(np.int32)
        )

    def _behind(self) -> list[tuple[IntOp, tuple[int, int, int]] | IntOp]:
        """Pools and reshapes of the chain, on codes."""
        minimum = iter(self.stairs.pool_minimum)
        pools = dict(self.chain.pools)
        ops: list[tuple[IntOp, tuple[int, int, int]] | IntOp] = []
        for i, node in enumerate(self.chain.nodes):
            if isinstance(node.op, Reshape):
                ops.append((Reshape(), node.output.shape))
            elif i in pools:
                ops.append((MaxPool(pools[i].geometry, next(minimum)), node.output.shape))
        return ops

    def _in_front(self) -> list[tuple[IntOp, tuple[int, int, int]] | IntOp]:
        """Pools and reshapes of the chain, on the sums."""
        pixels = self.chain.map_shape[1] * self.chain.map_shape[2]
        falls = iter(self.stairs.pool_falls)
        pools = dict(self.chain.pools)
        ops: list[tuple[IntOp, tuple[int, int, int]] | IntOp] = []
        for i, node in enumerate(self.chain.nodes):
            if isinstance(node.op, Reshape):
                ops.append((Reshape(), node.output.shape))
            elif i in pools:
                # in front of the flatten all positions of a channel go the same way
                falling = np.asarray(next(falls).reshape(-1, pixels).any(axis=1))
                ops.append((MaxPool(pools[i].geometry, falling), node.output.shape))
        return ops

    def _per_position(self, op: IntOp) -> Threshold | Requant | None:
        """What is made of features as a table a position; None where a position's are no such table.

        Pools stay in front of it: with other levels at each position their codes are not to be compared.
        """
        flattens = [i for i, node in enumerate(self.chain.nodes) if isinstance(node.op, Reshape)]
        if len(flattens) != 1 or any(place > flattens[0] for place, _ in self.chain.pools):
            return None
        if isinstance(op, Requant):
            channels = self.chain.map_shape[0]
            by_position = (v.reshape(channels, -1).T for v in (op.multiplier, op.addend))
            multiplier, addend = map(np.ascontiguousarray, by_position)
            return dataclasses.replace(op, multiplier=multiplier, addend=addend)
        return self._table_per_position(op) if isinstance(op, Threshold) else None

    def _table_per_position(self, op: Threshold) -> Threshold:
        """Thresholds of features as those of a map; a channel has one direction where its positions agree."""
        channels, height, width = self.chain.map_shape
        free = op.constant.reshape(channels, -1)
        direction = op.direction.reshape(channels, -1)
        falls, rises = ((direction == d) & ~free for d in (-1, 1))
        falling, mixed = falls.any(axis=1), falls.any(axis=1) & rises.any(axis=1)
        table = op.table.reshape(channels, height * width, op.levels).copy()
        # a constant among falling positions is passed always or never by <= instead of >=
        never = table > self.chain.high.reshape(channels, -1)[:, :, None]
        low = self.chain.low.reshape(channels, -1)[:, :, None]
        high = self.chain.high.reshape(channels, -1)[:, :, None]
        turned = np.where(never, low - 1, high)
        table = np.where((free & (falling & ~mixed)[:, None])[:, :, None], turned, table)
        ways = np.where(falling, -1, 1).astype(np.int8)
        if mixed.any():
            ways = np.ascontiguousarray(np.where(mixed[:, None], direction, ways[:, None]).T)
        return Threshold(
            np.ascontiguousarray(table.transpose(1, 0, 2)), ways, op.strict, np.asarray(free.all(axis=1))
        )

    def _named(self, ops: list[tuple[IntOp, tuple[int, int, int]] | IntOp], source: Tensor) -> list[IntNode]:
        """A row of nodes on ``source``; an operation without a shape keeps that of what it reads."""
        nodes: list[IntNode] = []
        read, quantised = source, False
        for i, entry in enumerate(ops):
            op, shape = entry if isinstance(entry, tuple) else (entry, read.shape)
            if isinstance(op, Reshape):
                shape = (read.shape[0] * read.shape[1] * read.shape[2], 1, 1)
            quantised = quantised or not isinstance(op, MaxPool | Reshape)
            name = self.name if i == len(ops) - 1 else f"{self.name}:{i}"
            made = Tensor(name, shape, self.kind if quantised else source.type)
            nodes.append(IntNode(op, read.name, made))
            read = made
        return nodes

    def rounding_dependent(self) -> list[RoundingDependent]:
        """Repeat the search with a fused and an unfused x*a + b: list channels that move."""
        if not self.chain.normalised:
            return []
        variants: tuple[Rounding, ...] = ("fused", "separate")
        others = [self._search(rounding) for rounding in variants]
        listed = []
        for c in range(self.stairs.channels):
            if all(_same(self.stairs, other, c) for other in others):
                continue
            taken = np.concatenate([s.codes[c] for s in (self.stairs, *others)])
            levels = np.arange(taken.min() + 1, taken.max() + 1, dtype=np.int64)
            stored, *moved = (s.thresholds(c, levels) for s in (self.stairs, *others))
            differs: npt.NDArray[np.bool_] = np.any([m != stored for m in moved], axis=0)
            first = int(np.argmax(differs)) if len(levels) else 0
            value, *rest = (int(t[first]) for t in (stored, *moved))
            listed.append(RoundingDependent(self.name, c, value, tuple(rest)))
        return listed


def _same(a: Staircase, b: Staircase, channel: int) -> bool:
    return np.array_equal(a.positions[channel], b.positions[channel]) and np.array_equal(
        a.codes[channel], b.codes[channel]
    )
