"""Integer graph -> the layers, packed weights and thresholds that the CPU engine runs."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import WindowGeometry, ceil_div
from xnorhw.ir.int_graph import (
    FullProduct,
    IntGraph,
    IntNode,
    Lookup,
    MaxPool,
    Product,
    Reshape,
    Tensor,
    Threshold,
)
from xnorhw.ir.types import IntType
from xnorhw.plan.engine_model import (
    EngineLayer,
    EngineNetwork,
    EngineTensor,
    EngineTerm,
    Format,
    FullStep,
    LevelsStep,
    LookupStep,
    PoolStep,
    ProductStep,
    ReshapeStep,
    SignStep,
    SignTable,
    Step,
)
from xnorhw.plan.model import Plan

__all__ = ["engine_network", "pack_bits", "product_bits", "product_lanes", "sign_table"]

LANES, WORD = 16, 32
ALWAYS, NEVER = -(1 << 30), 1 << 30
"""XH_ALWAYS and XH_NEVER: thresholds that every sum, or none, has passed."""

_WASTE = 1.25
"""A map is put together as one vector where its own words hold this much more than its bits."""


def engine_network(graph: IntGraph, plan: Plan | None = None) -> EngineNetwork:
    """The layers of ``graph``; ``plan`` says where an accelerator begins and ends.

    Raises ModelError where the engine's numbers cannot hold a tensor.
    """
    return _Maker(graph, plan).network()


class _Maker:
    def __init__(self, graph: IntGraph, plan: Plan | None) -> None:
        self.graph = graph
        self.plan = plan
        self.tensors: list[EngineTensor] = []
        self.layers: list[EngineLayer] = []
        self.index: dict[str, int] = {}
        self._add(graph.input_tensor, _stored_as(graph.input_tensor))

    def network(self) -> EngineNetwork:
        graph, plan = self.graph, self.plan
        front = 0
        nodes = list(graph.nodes)
        position = 0
        borders = set() if plan is None else {plan.input_tensor, plan.output_tensor}
        back = 0
        while position < len(nodes):
            node = nodes[position]
            previous = graph.input_tensor.name if position == 0 else nodes[position - 1].output.name
            if node.input != previous:
                raise ModelError(
                    f"reads {node.input}, and the engine runs chains: there it would read {previous}",
                    module=node.output.name,
                    remedy="Report it with the model file",
                )
            follower = nodes[position + 1] if position + 1 < len(nodes) else None
            if follower is not None and node.output.name not in borders and _fuses(node, follower):
                self._fused(node, follower)
                position += 1
            else:
                self._single(node)
            position += 1
            made = nodes[position - 1].output.name
            if plan is not None and made == plan.input_tensor:
                front = len(self.layers)
            if plan is not None and made == plan.output_tensor:
                back = len(self.layers)
        kind = graph.input_tensor.type
        assert kind is not None
        whole = kind.is_bipolar or (kind.min, kind.max) in ((0, 255), (-128, 127))
        return EngineNetwork(
            tuple(self.tensors),
            tuple(self.layers),
            graph.host,
            math.prod(graph.score_shape),
            front,
            len(self.layers) if plan is None else back,
            -1 if plan is None else self.index[plan.input_tensor],
            -1 if plan is None else self.index[plan.output_tensor],
            1 if plan is not None and plan.input_frame.element_bits == 1 else 8,
            0 if whole else kind.min,
            0 if whole else kind.max,
        )

    def _add(self, tensor: Tensor, stored: Format) -> int:
        self.index[tensor.name] = len(self.tensors)
        self.tensors.append(EngineTensor(tensor.name, tensor.shape, stored))
        return self.index[tensor.name]

    def _append(self, step: Step, source: int, tensor: Tensor, stored: Format) -> None:
        self.layers.append(EngineLayer(step, source, self._add(tensor, stored)))

    def _single(self, node: IntNode) -> None:
        source = self.index[node.input]
        given = self.tensors[source]
        op = node.op
        if isinstance(op, Lookup):
            kind = self.graph.tensor(node.input).type
            assert kind is not None
            self._append(LookupStep(op, kind.min), source, node.output, _stored_as(node.output))
        elif isinstance(op, Product):
            _within(node.output, 32)
            step, source = self._product(op, source, None, -1)
            self._append(step, source, node.output, Format.I32)
        elif isinstance(op, FullProduct):
            weight = np.ascontiguousarray(op.weight.transpose(0, 2, 3, 1))
            full = FullStep(weight, op.geometry, op.groups, op.pad_value)
            wide = _bits(node.output) > 32
            self._append(full, source, node.output, Format.I64 if wide else Format.I32)
        elif isinstance(op, Threshold):
            assert node.output.type is not None
            one = op.levels == 1 and node.output.type.is_bipolar
            if one and _fits(self.graph.tensor(node.input).type):
                self._append(SignStep(sign_table(op)), source, node.output, Format.BITS)
            else:
                self._append(_levels(op), source, node.output, _stored_as(node.output))
        elif isinstance(op, MaxPool):
            minimum = pack_bits(op.minimum[None])[0] if op.minimum.any() else None
            self._append(PoolStep(op.geometry, minimum), source, node.output, given.format)
        elif isinstance(op, Reshape):
            self._append(ReshapeStep(), source, node.output, given.format)
        else:
            raise ValueError(f"{node.output.name} is not lowered")

    def _fused(self, node: IntNode, follower: IntNode) -> None:
        """A product and the sign behind it: one layer."""
        assert isinstance(node.op, Product) and isinstance(follower.op, Threshold)
        _within(node.output, 32)
        source = self.index[node.input]
        sums = self._add(node.output, Format.I32)
        step, source = self._product(node.op, source, sign_table(follower.op, node.op.groups), sums)
        self._append(step, source, follower.output, Format.BITS)

    def _product(
        self, op: Product, source: int, sign: SignTable | None, sums: int
    ) -> tuple[ProductStep, int]:
        """The step, and the tensor that it reads: of few channels a vector in place of the map."""
        given = self.tensors[source]
        channels, height, width = given.shape
        weights = [t.weight for t in op.terms]
        geometry, groups = op.geometry, op.groups
        whole = (
            given.format is Format.BITS
            and geometry == WindowGeometry(kernel=(height, width))
            and height * width > 1
            and groups == 1
        )
        size = channels * height * width
        if whole and height * width * ceil_div(channels, WORD) > _WASTE * ceil_div(size, WORD):
            weights = [w.reshape(w.shape[0], size, 1, 1) for w in weights]
            geometry = WindowGeometry(kernel=(1, 1))
            vector = EngineTensor(f"{given.name} as a vector", (size, 1, 1), Format.BITS, golden=False)
            self.tensors.append(vector)
            self.layers.append(EngineLayer(ReshapeStep(), source, len(self.tensors) - 1))
            source = len(self.tensors) - 1
        terms = tuple(
            EngineTerm(t.coefficient, product_bits(w, groups), None)
            if given.format is Format.BITS
            else EngineTerm(t.coefficient, None, product_lanes(w, groups))
            for t, w in zip(op.terms, weights, strict=True)
        )
        return ProductStep(terms, geometry, groups, op.pad_value, sign, sums), source


def _fuses(node: IntNode, follower: IntNode) -> bool:
    op, sign = node.op, follower.op
    return (
        isinstance(op, Product)
        and isinstance(sign, Threshold)
        and len(op.terms) == 1
        and op.terms[0].coefficient == 1
        and sign.levels == 1
        and follower.output.type is not None
        and follower.output.type.is_bipolar
        and _fits(node.output.type)
    )


def _fits(kind: IntType | None) -> bool:
    """Whether no value reaches the thresholds that stand for always and never."""
    assert kind is not None
    return ALWAYS < kind.min and kind.max < NEVER


def _bits(tensor: Tensor) -> int:
    assert tensor.type is not None
    return max((v if v >= 0 else ~v).bit_length() + 1 for v in (tensor.type.min, tensor.type.max))


def _within(tensor: Tensor, bits: int) -> None:
    if _bits(tensor) > bits:
        raise ModelError(
            f"its sums take {_bits(tensor)} bits, the engine's have {bits}",
            module=tensor.name,
            remedy="Use fewer inputs for each of its outputs",
        )


def _stored_as(tensor: Tensor) -> Format:
    kind = tensor.type
    assert kind is not None
    if kind.is_bipolar:
        return Format.BITS
    return Format(f"XH_{element_dtype(kind).replace('uint', 'U').replace('int', 'I')}")


def element_dtype(kind: IntType) -> str:
    """The NumPy dtype of an element of a frame as programs on the host give it, C's with "_t".

    One byte up to 8 bits, signed or not; bipolar values are signed; more where it takes more.
    """
    if kind.is_bipolar:
        return "int8"
    for name in ("uint8", "int8", "int16", "uint16", "int32"):
        limits = np.iinfo(name)
        if limits.min <= kind.min and kind.max <= limits.max:
            return name
    return "int64"


def pack_bits(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Booleans [N, C] -> words uint32 [N, ceil(C / 32)]; entry c is bit c % 32 of word c // 32."""
    padded = np.zeros((len(rows), ceil_div(rows.shape[1], WORD) * WORD), np.uint8)
    padded[:, : rows.shape[1]] = rows
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def _blocks(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.bool_]:
    """Signs [groups, blocks, 16, kh, kw, I / groups], outputs past the end False."""
    out, channels, kh, kw = weight.shape
    each = out // groups
    blocks = ceil_div(each, LANES)
    rows = np.zeros((groups, blocks * LANES, kh, kw, channels), np.bool_)
    rows[:, :each] = (weight > 0).reshape(groups, each, channels, kh, kw).transpose(0, 1, 3, 4, 2)
    return rows.reshape(groups, blocks, LANES, kh, kw, channels)


def product_bits(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.uint32]:
    """Weights [O, I/groups, kh, kw] -> uint32 [groups, blocks, kh, kw, words, 16] for an input of bits."""
    rows = _blocks(weight, groups)
    words = pack_bits(rows.reshape(-1, rows.shape[-1])).reshape(*rows.shape[:-1], -1)
    return np.ascontiguousarray(words.transpose(0, 1, 3, 4, 5, 2))


def product_lanes(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.uint16]:
    """Weights [O, I/groups, kh, kw] -> uint16 [groups, blocks, kh, kw, I/groups] for an input of codes."""
    rows = _blocks(weight, groups).transpose(0, 1, 3, 4, 5, 2)
    place = np.uint16(1) << np.arange(LANES, dtype=np.uint16)
    return np.asarray((rows * place).sum(axis=-1), np.uint16)


def sign_table(op: Threshold, groups: int = 1) -> SignTable:
    """The one level of ``op`` a channel, each group's channels padded to whole blocks of 16."""
    positions, channels, _ = op.table.shape
    falling = op.direction < 0
    # s <= t is not (s >= t + 1), s > t is s >= t + 1, s < t is not (s >= t)
    step = falling != bool(op.strict[0])
    at = np.clip(np.clip(op.table[:, :, 0], ALWAYS, NEVER) + step, ALWAYS, NEVER)
    flip = falling & ~((at == ALWAYS) | (at == NEVER)).all(axis=0)
    # a channel that never changes is turned round instead of flipped
    at = np.where((falling & ~flip)[None], -at, at)
    each = channels // groups
    padded = np.full((positions, groups, ceil_div(each, LANES) * LANES), NEVER, np.int32)
    padded[:, :, :each] = at.reshape(positions, groups, each)
    words = pack_bits(flip[None])[0] if flip.any() else None
    return SignTable(padded.reshape(positions, -1), words)


def _levels(op: Threshold) -> LevelsStep:
    return LevelsStep(op.table, (op.direction < 0).astype(np.uint8), op.strict.astype(np.uint8))
