"""Integer graph -> the layers, packed weights and thresholds that the CPU engine runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import WindowGeometry, ceil_div
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    IntGraph,
    IntNode,
    Lookup,
    MaxPool,
    Multiply,
    Product,
    Requant,
    Reshape,
    SumPool,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import IntType
from xnorhw.plan.engine_memory import buffers_of
from xnorhw.plan.engine_model import (
    AddStep,
    BoxSumStep,
    ConcatStep,
    EngineLayer,
    EngineNetwork,
    EngineTensor,
    EngineTerm,
    Format,
    FullStep,
    LookupStep,
    MultiplyStep,
    PlanesStep,
    PoolStep,
    ProductStep,
    ReshapeStep,
    SignStep,
    Step,
    SumPoolStep,
)
from xnorhw.plan.engine_tables import (
    ALWAYS,
    NEVER,
    WORD,
    levels_step,
    pack_bits,
    product_bits,
    product_lanes,
    requant_step,
    sign_table,
)
from xnorhw.plan.model import Plan

__all__ = ["element_dtype", "engine_network"]

_WASTE = 1.25
"""A map is put together as one vector where its own words hold this much more than its bits."""

_PLANES = 12
"""Products by bit planes take this many bits in the time of one by additions."""


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
        self.types: dict[str, IntType] = {}
        self.users: dict[str, list[IntNode]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.users.setdefault(name, []).append(node)
        self._add(graph.input_tensor, _stored_as(graph.input_tensor))

    def network(self) -> EngineNetwork:
        graph, plan = self.graph, self.plan
        borders = set() if plan is None else {plan.input_tensor, plan.output_tensor}
        front = back = 0
        for node in graph.nodes:
            if node.output.name not in self.index:
                self._make(node, borders)
            if plan is not None and node.output.name == plan.input_tensor:
                front = len(self.layers)
            if plan is not None and node.output.name == plan.output_tensor:
                back = len(self.layers)
        self._end_with_output()
        if plan is not None:
            self._check_back(back, self.index[plan.output_tensor])
        kind = self.types[graph.input_tensor.name]
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
            8 if plan is None else plan.input_frame.element_bits,
            0 if whole else kind.min,
            0 if whole else kind.max,
            buffers_of(self.tensors, self.layers),
        )

    def _check_back(self, back: int, result: int) -> None:
        """What runs behind an accelerator reads its result, and what is made of that."""
        made = {result, *(layer.output for layer in self.layers[back:])}
        for layer in self.layers[back:]:
            missing = [number for number in layer.inputs if number not in made]
            if missing:
                raise ModelError(
                    f"reads {self.tensors[missing[0]].name}, which the accelerator does not give back",
                    module=self.tensors[layer.output].name,
                    remedy="Report it with the model file",
                )

    def _make(self, node: IntNode, borders: set[str]) -> None:
        for name in node.inputs:
            if name not in self.index:
                raise ModelError(
                    f"reads {name} before it is made",
                    module=node.output.name,
                    remedy="Report it with the model file",
                )
        readers = self.users.get(node.output.name, [])
        sign = readers[0] if len(readers) == 1 else None
        kept = borders | {self.graph.output}
        if sign is not None and node.output.name not in kept and self._fuses(node, sign):
            self._fused(node, sign)
        else:
            self._single(node)

    def _end_with_output(self) -> None:
        """The scores come from the last layer's tensor."""
        output = self.index[self.graph.output]
        if not self.layers or self.layers[-1].output == output:
            return
        if self.plan is not None or any(output in layer.inputs for layer in self.layers):
            raise ModelError(
                "is the network's result, and other layers follow it",
                module=self.graph.output,
                remedy="Report it with the model file",
            )
        self.layers.sort(key=lambda layer: layer.output == output)

    def _add(self, tensor: Tensor, stored: Format) -> int:
        assert tensor.type is not None
        self.index[tensor.name] = len(self.tensors)
        self.types[tensor.name] = tensor.type
        self.tensors.append(EngineTensor(tensor.name, tensor.shape, stored))
        return self.index[tensor.name]

    def _append(self, step: Step, source: int, tensor: Tensor, stored: Format, *others: int) -> None:
        self.layers.append(EngineLayer(step, source, self._add(tensor, stored), others))

    def _single(self, node: IntNode) -> None:
        source, others = self.index[node.input], [self.index[name] for name in node.others]
        given, kind = self.tensors[source], self.types[node.input]
        op, stored = node.op, _stored_as(node.output)
        if isinstance(op, Lookup):
            self._append(LookupStep(op, kind.min), source, node.output, stored)
        elif isinstance(op, Product):
            _within(node.output, 32)
            product, source = self._product(op, node, source)
            self._append(product, source, node.output, Format.I32)
        elif isinstance(op, FullProduct):
            weight = np.ascontiguousarray(op.weight.transpose(0, 2, 3, 1))
            full = FullStep(weight, op.geometry, op.groups, op.pad_value)
            wide = _bits(node.output) > 32
            self._append(full, source, node.output, Format.I64 if wide else Format.I32)
        elif isinstance(op, Threshold):
            if op.levels == 1 and stored is Format.BITS and _fits(kind):
                self._append(SignStep(sign_table(op)), source, node.output, stored)
            else:
                self._append(levels_step(op, kind), source, node.output, stored)
        elif isinstance(op, Requant):
            self._append(requant_step(op, kind, node.output.name), source, node.output, stored)
        elif isinstance(op, Add):
            self._append(AddStep(op.shifts), source, node.output, stored, *others)
        elif isinstance(op, Concat):
            self._append(ConcatStep(), source, node.output, stored, *others)
        elif isinstance(op, Multiply):
            self._append(MultiplyStep(), source, node.output, stored, *others)
        elif isinstance(op, SumPool):
            self._append(SumPoolStep(op.geometry), source, node.output, stored)
        elif isinstance(op, BoxSum):
            self._append(BoxSumStep(op.geometry), source, node.output, stored)
        elif isinstance(op, MaxPool):
            minimum = pack_bits(op.minimum[None])[0] if op.minimum.any() else None
            self._append(PoolStep(op.geometry, minimum), source, node.output, given.format)
        elif isinstance(op, Reshape):
            self._append(ReshapeStep(), source, node.output, given.format)
        else:
            raise ValueError(f"{node.output.name} is not lowered")

    def _fuses(self, node: IntNode, follower: IntNode) -> bool:
        op, sign = node.op, follower.op
        return (
            isinstance(op, Product)
            and isinstance(sign, Threshold)
            and not _by_planes(op, self.tensors[self.index[node.input]], self.types[node.input])
            and len(op.terms) == 1
            and op.terms[0].coefficient == 1
            and sign.levels == 1
            and not sign.mixed
            and follower.output.type is not None
            and follower.output.type.is_bipolar
            and _fits(node.output.type)
        )

    def _fused(self, node: IntNode, follower: IntNode) -> None:
        """A product and the sign behind it: one layer."""
        assert isinstance(node.op, Product) and isinstance(follower.op, Threshold)
        _within(node.output, 32)
        source = self.index[node.input]
        sums = self._add(node.output, Format.I32)
        step, source = self._product(node.op, node, source)
        assert isinstance(step, ProductStep)
        sign = sign_table(follower.op, node.op.groups)
        step = ProductStep(step.terms, step.geometry, step.groups, step.pad_value, sign, sums)
        self._append(step, source, follower.output, Format.BITS)

    def _product(self, op: Product, node: IntNode, source: int) -> tuple[ProductStep | PlanesStep, int]:
        """The step, and the tensor that it reads: of few channels a vector in place of the map."""
        given, kind = self.tensors[source], self.types[node.input]
        _within(self.graph.tensor(node.input), 32)
        planes = _by_planes(op, given, kind)
        packed = planes or given.format is Format.BITS
        weights = [t.weight for t in op.terms]
        geometry = op.geometry
        channels, height, width = given.shape
        size = channels * height * width
        whole = geometry == WindowGeometry(kernel=(height, width)) and height * width > 1 and op.groups == 1
        if packed and whole and height * width * ceil_div(channels, WORD) > _WASTE * ceil_div(size, WORD):
            weights = [w.reshape(w.shape[0], size, 1, 1) for w in weights]
            geometry = WindowGeometry(kernel=(1, 1))
            vector = EngineTensor(f"{given.name} as a vector", (size, 1, 1), given.format, golden=False)
            self.tensors.append(vector)
            self.layers.append(EngineLayer(ReshapeStep(), source, len(self.tensors) - 1))
            source = len(self.tensors) - 1
        terms = _terms(op.terms, weights, op.groups, packed)
        if not planes:
            return ProductStep(terms, geometry, op.groups, op.pad_value, None, -1), source
        numbers = _plane_numbers(op.terms, node.output.name)
        return PlanesStep(terms, numbers, _code_bits(kind), geometry, op.groups, op.pad_value), source


def _terms(
    terms: Sequence[Term], weights: Sequence[npt.NDArray[np.int8]], groups: int, packed: bool
) -> tuple[EngineTerm, ...]:
    """The terms with their weights as the kernels read them; the planes of a base share one array."""
    made: dict[bytes, EngineTerm] = {}
    for w in weights:
        if (key := w.tobytes()) not in made:
            bits, lanes = (product_bits(w, groups), None) if packed else (None, product_lanes(w, groups))
            made[key] = EngineTerm(1, bits, lanes)
    shared = (made[w.tobytes()] for w in weights)
    return tuple(replace(m, coefficient=t.coefficient) for m, t in zip(shared, terms, strict=True))


def _by_planes(op: Product, given: EngineTensor, kind: IntType) -> bool:
    """Whether a product of codes counts bits, where that is faster than additions."""
    if given.format is Format.BITS:
        return False
    if any(t.plane is not None for t in op.terms):
        return True
    each = given.shape[0] // op.groups
    words = ceil_div(each, WORD) * WORD
    return given.format in (Format.U8, Format.I8) and _code_bits(kind) * words <= _PLANES * each


def _code_bits(kind: IntType) -> int:
    """The bits of a code in two's complement, or without a sign."""
    return max(1, kind.max.bit_length(), (~kind.min).bit_length() + 1 if kind.min < 0 else 0)


def _plane_numbers(terms: Sequence[Term], name: str) -> tuple[int, ...]:
    numbers = tuple(-1 if t.plane is None else t.plane for t in terms)
    if max(numbers) > 127:
        raise ModelError(
            f"it reads base {max(numbers) + 1} of the activations, the engine has 128",
            module=name,
            remedy="Use fewer bases",
        )
    return numbers


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
