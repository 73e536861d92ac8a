"""The integer graph as the chain of layers that the chip runs, or a refusal that says why not.

A network is cut in three: what stands before the first binary product runs on the host
(lookups, full-precision layers and their thresholds and pools), the chain of binary products
runs on the chip, and what follows the last product's sums runs on the host again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import FullProduct, IntGraph, IntNode, MaxPool, Product, Tensor, Threshold
from xnorhw.ir.types import IntType

__all__ = ["ChipLayer", "ChipPool", "chip_input", "chip_layers", "chip_output"]

_MAX_CODE_BITS = 8
_RESULT_BITS = 32


@dataclass(frozen=True)
class ChipPool:
    """A pool behind a layer: its operation, its input and its output tensor."""

    op: MaxPool
    source: Tensor
    output: Tensor

    @property
    def name(self) -> str:
        """The pool's name: that of its output tensor."""
        return self.output.name

    @property
    def in_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.source.shape[1] * self.source.shape[2]

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.output.shape[1] * self.output.shape[2]


@dataclass(frozen=True)
class ChipLayer:
    """A binary-weight product, its threshold (None on the last layer) and the pools behind."""

    index: int
    source: Tensor
    product: Product
    sums: Tensor
    threshold: Threshold | None
    bits: Tensor | None
    pools: tuple[ChipPool, ...]

    @property
    def name(self) -> str:
        """The layer's name: that of its product's tensor."""
        return self.sums.name

    @property
    def act(self) -> IntType:
        """The activations' type."""
        assert self.source.type is not None
        return self.source.type

    @property
    def geometry(self) -> WindowGeometry:
        """The product's window."""
        return self.product.geometry

    @property
    def taps(self) -> int:
        """Kernel taps."""
        return self.product.geometry.taps

    @property
    def channels(self) -> int:
        """Input channels."""
        return self.source.shape[0]

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.sums.shape[0]

    @property
    def in_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.source.shape[1] * self.source.shape[2]

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.sums.shape[1] * self.sums.shape[2]

    @property
    def whole_map(self) -> bool:
        """True where the kernel is the whole map: a linear layer on channels x taps values.

        The window's order is then the order in which the map arrives.
        """
        _, height, width = self.source.shape
        geometry = self.geometry
        dense = all(d == 1 or k == 1 for d, k in zip(geometry.dilation, geometry.kernel, strict=True))
        return geometry.kernel == (height, width) and dense and not geometry.pads.any()

    @property
    def pad_classes(self) -> bool:
        """True where padded taps count 0, which bipolar lanes cannot say: starts correct it."""
        return self.act.is_bipolar and self.product.pad_value == 0 and self.geometry.pads.any()

    @property
    def output(self) -> Tensor:
        """The tensor that leaves the layer and its pools."""
        if self.pools:
            return self.pools[-1].output
        return self.sums if self.bits is None else self.bits

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame."""
        return self.out_pixels * self.outputs * self.channels * self.taps


def chip_input(graph: IntGraph) -> Tensor:
    """The tensor that enters the chip: what the first binary product reads."""
    first, _ = _chip_part(graph)
    return graph.tensor(graph.nodes[first].input)


def chip_output(graph: IntGraph) -> Tensor:
    """The tensor that leaves the chip: the sums of the last binary product."""
    _, last = _chip_part(graph)
    return graph.nodes[last].output


def _chip_part(graph: IntGraph) -> tuple[int, int]:
    """Indices of the first and the last binary product among the nodes."""
    products = [i for i, node in enumerate(graph.nodes) if isinstance(node.op, Product)]
    if not products:
        raise ModelError(
            "the network has no binary layer, so there is nothing to put on the chip",
            module=graph.output,
            remedy="Use xnn.BinaryConv2d or xnn.BinaryLinear",
        )
    return products[0], products[-1]


def chip_layers(graph: IntGraph) -> tuple[ChipLayer, ...]:
    """Cut the chain of nodes from the first to the last binary product into layers.

    Accepted: products of one term on +-1 or on codes of 1 to 8 bits, each but the last
    followed by one threshold a channel and any number of pools.  The last one's threshold
    and pools, where a full-precision layer follows, are the host's.  Raises ModelError naming
    the module for everything else.
    """
    _check_chain(graph)
    first, last = _chip_part(graph)
    kind = graph.tensor(graph.output).type
    if kind is not None and kind.is_bipolar:
        raise ModelError(
            "the network ends in a sign: its last tensor must be integer sums, not bits",
            module=graph.output,
            remedy="End the network with a BinaryLinear, a BinaryConv2d or a FullLinear",
        )
    nodes = list(graph.nodes[first : last + 1])
    source = chip_input(graph)
    layers: list[ChipLayer] = []
    while nodes:
        layer, nodes = _take_layer(nodes, source, len(layers))
        layers.append(layer)
        source = layer.output
    return tuple(layers)


def _check_chain(graph: IntGraph) -> None:
    """Nodes must read one another in order: units are wired in a row."""
    expected = graph.input_tensor.name
    for node in graph.nodes:
        if node.input != expected:
            raise ModelError(
                f"it reads {node.input}, which another module reads as well: the chip runs one chain",
                module=node.output.name,
                remedy="Use a network without branches",
            )
        expected = node.output.name
    if graph.output != expected:
        raise ModelError(
            f"the result is taken from {graph.output}, behind which modules follow",
            module=expected,
            remedy="End the network where its result is taken",
        )


def _take_layer(nodes: list[IntNode], source: Tensor, index: int) -> tuple[ChipLayer, list[IntNode]]:
    first, rest = nodes[0], nodes[1:]
    if not isinstance(first.op, Product):
        raise _misplaced(first)
    _check_product(first, first.op, source)
    threshold: Threshold | None = None
    bits: Tensor | None = None
    pools: list[ChipPool] = []
    if rest:
        if not isinstance(rest[0].op, Threshold):
            raise _misplaced(rest[0])
        threshold, bits = rest[0].op, rest[0].output
        _check_threshold(rest[0], threshold)
        tensor = bits
        rest = rest[1:]
        while rest and isinstance(rest[0].op, MaxPool):
            pool = ChipPool(rest[0].op, tensor, rest[0].output)
            _check_reading(pool.name, pool.op.geometry, tensor)
            pools.append(pool)
            tensor = pool.output
            rest = rest[1:]
    return ChipLayer(index, source, first.op, first.output, threshold, bits, tuple(pools)), rest


def _misplaced(node: IntNode) -> ModelError:
    if isinstance(node.op, FullProduct):
        return ModelError(
            "it is in full precision between two binary layers: the chip runs the binary layers as one "
            "chain, and the host what stands before and behind it",
            module=node.output.name,
            remedy="Use xnn.BinaryConv2d or xnn.BinaryLinear here, or make every layer in front of it "
            "or every one behind it full-precision",
        )
    kind = type(node.op).__name__
    return ModelError(
        f"a {kind} cannot stand here: the chip runs products, each followed by one threshold and by pools",
        module=node.output.name,
        remedy="Order the modules as convolution, batch norm, Sign, max-pool, and end with a binary layer",
    )


def _check_product(node: IntNode, product: Product, source: Tensor) -> None:
    name = node.output.name
    if product.groups != 1:
        raise ModelError(
            f"it has {product.groups} groups, and the matrix unit sums over all input channels",
            module=name,
            remedy="Use groups=1",
        )
    if len(product.terms) != 1 or product.terms[0].coefficient != 1:
        raise ModelError(
            f"its sum has {len(product.terms)} weighted terms, and the matrix unit forms one of weight 1",
            module=name,
            remedy="Use a layer with one binary weight tensor",
        )
    act = source.type
    if act is None:
        raise ModelError("its input is real", module=name, remedy="Put xnn.InputQuant or xnn.Sign before it")
    if not act.is_bipolar and (act.encoding.value != "code" or act.bits > _MAX_CODE_BITS):
        raise ModelError(
            f"its input is {act}, and a matrix unit takes +-1 or codes of 1 to {_MAX_CODE_BITS} bits",
            module=name,
            remedy="Quantise the input to 8 bits or fewer",
        )
    legal_pads = (-1, 0, 1) if act.is_bipolar else range(act.min, act.max + 1)
    if product.geometry.pads.any() and product.pad_value not in legal_pads:
        raise ModelError(
            f"padding with {product.pad_value} is no value of its input ({act})",
            module=name,
            remedy=f"Use a pad value from {min(legal_pads)} to {max(legal_pads)}",
        )
    weight = product.terms[0].weight
    shape = (node.output.shape[0], source.shape[0], *product.geometry.kernel)
    if weight.shape != shape or not np.isin(weight, (-1, 1)).all():
        raise ModelError(
            f"its weights are not +-1 of shape {shape}",
            module=name,
            remedy="Lower the network again from the model file",
        )
    largest = int(np.prod(shape[1:])) * max(abs(act.min), abs(act.max))
    if largest >= 1 << (_RESULT_BITS - 2):
        raise ModelError(
            f"its sums reach {largest}, more than {_RESULT_BITS} bits carry",
            module=name,
            remedy="Use fewer inputs or fewer bits",
        )
    _check_reading(name, product.geometry, source)


def _check_reading(name: str, geometry: WindowGeometry, source: Tensor) -> None:
    """A window frees what lies before it: one that starts past the map would free the next row or frame."""
    _, height, width = source.shape
    rows, columns = geometry.output_size(height, width)
    if rows < 1 or columns < 1:
        raise ModelError(
            f"the kernel {geometry.kernel} does not fit into the map {height} x {width}",
            module=name,
            remedy="Use a smaller kernel or more padding",
        )
    pads, dilation = geometry.pads, geometry.dilation
    extent = [(k - 1) * d + 1 for k, d in zip(geometry.kernel, dilation, strict=True)]
    past_bottom = (rows - 1) * geometry.stride[0] >= height + pads.top
    past_right = (columns - 1) * geometry.stride[1] >= width + pads.left
    # such a window would give the next frame's first results before that frame has come
    before = pads.top >= extent[0] or (pads.top == extent[0] - 1 and pads.left >= extent[1])
    if past_bottom or past_right or before:
        raise ModelError(
            f"with a kernel {geometry.kernel} and {pads} some of its windows lie wholly on padding",
            module=name,
            remedy="Pad by less than the kernel's extent",
        )


def _check_threshold(node: IntNode, threshold: Threshold) -> None:
    name = node.output.name
    if threshold.levels != 1 or node.output.type is None or not node.output.type.is_bipolar:
        raise ModelError(
            f"it has {threshold.levels} levels, and the matrix unit compares with one",
            module=name,
            remedy="Use xnn.Sign behind the layer",
        )
    if threshold.table.shape[0] != 1:
        raise ModelError(
            "its thresholds depend on the position",
            module=name,
            remedy="Use one threshold a channel",
        )
    if bool(threshold.strict.any()):
        raise ModelError(
            "it compares with > where the matrix unit compares with >=",
            module=name,
            remedy="Lower the network again: on integers s > t is s >= t + 1",
        )
