"""What the chip does not run: one paragraph each, with the way out."""

from __future__ import annotations

from typing import Union

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    IntNode,
    Lookup,
    Multiply,
    Product,
    Requant,
    Reshape,
    Tensor,
    Threshold,
)
from xnorhw.ir.types import Encoding, IntType

__all__ = [
    "MOST_CODE_BITS",
    "MOST_LEVELS",
    "check_input",
    "check_join",
    "check_product",
    "check_quantiser",
    "check_reading",
    "check_sum_pool",
    "misplaced",
]

MOST_CODE_BITS = 8
"""Bits of the widest activation that a matrix unit takes."""

MOST_LEVELS = 15
"""Levels of one threshold: a comparator each; more levels are one multiplication."""

_RESULT_BITS = 32
ENGINE = "build it for the CPU, whose engine runs it (`--board cpu`)"

MOST_INPUT_BITS = 16
"""Bits of the widest element that enters the chip."""

Joining = Union[Add, Concat, Multiply, BoxSum]


def check_input(source: Tensor, reader: str) -> None:
    """ModelError where the host cannot hand ``source`` to the chip."""
    kind = source.type
    if kind is None:
        raise ModelError(
            "its input is real", module=reader, remedy="Put xnn.InputQuant or xnn.Sign before it"
        )
    # a signed number takes one bit more on a wire
    most = MOST_INPUT_BITS - (kind.encoding is Encoding.TWOS)
    if kind.encoding is not Encoding.THERMOMETER and kind.bits > most:
        raise ModelError(
            f"it reads {source.name}, whose numbers have {kind.bits} bits, and numbers of at most {most} "
            "enter the chip",
            module=reader,
            remedy=f"Give the quantiser in front of it {most} bits or fewer, or {ENGINE}",
        )


def check_join(node: IntNode, op: Joining, sources: tuple[Tensor, ...]) -> None:
    """ModelError where no unit joins these streams."""
    name, made = node.output.name, node.output.type
    kinds = [source.type for source in sources]
    if made is None or None in kinds:
        raise ModelError("it joins real values", module=name, remedy="Lower the network again")
    if isinstance(op, Concat) and any(kind != made for kind in kinds):
        raise ModelError(
            f"it joins {', '.join(map(str, kinds))}, and the chip joins channels of one type",
            module=name,
            remedy=f"Give every branch the same quantiser, or {ENGINE}",
        )
    if isinstance(op, Add) and Encoding.THERMOMETER in {kind.encoding for kind in kinds if kind is not None}:
        raise ModelError(
            "it adds codes of bases, whose worth is no number of ones",
            module=name,
            remedy=f"Put xnn.Grid in front of it, or {ENGINE}",
        )
    if isinstance(op, BoxSum | Multiply) and any(
        kind is None or kind.encoding is not Encoding.TWOS for kind in kinds
    ):
        raise ModelError(
            f"its map of input scales is made of {', '.join(map(str, kinds))}, and the chip makes it of "
            "signed numbers",
            module=name,
            remedy=f"Put xnn.Grid in front of the layer, or {ENGINE}",
        )
    if made.bits > _RESULT_BITS - 1:
        raise ModelError(
            f"its numbers have {made.bits} bits, more than {_RESULT_BITS - 1}",
            module=name,
            remedy=f"Use xnn.Grid of fewer bits in front of it, or {ENGINE}",
        )


def misplaced(node: IntNode) -> ModelError:
    """The refusal of an operation that cannot stand where it does."""
    name, op = node.output.name, node.op
    # what a fold leaves in front of its quantiser is named after it, with a number
    module = name.rpartition(":")[0] or name
    if isinstance(op, FullProduct):
        return ModelError(
            "it is in full precision between two binary layers: the chip runs everything from the first "
            "binary layer to the last, and the host what stands before and behind",
            module=name,
            remedy="Use xnn.BinaryConv2d or xnn.BinaryLinear here, or make every layer in front of it "
            f"or every one behind it full-precision, or {ENGINE}",
        )
    if isinstance(op, Lookup):
        kind = node.output.type
        # a step of a grid that falls between two of another is rounded to even: no multiplication does it
        grid = kind is not None and kind.encoding is Encoding.TWOS
        way = "Give xnn.Grid as many fraction bits as what it reads has" if grid else "Use 4 bits or fewer"
        return ModelError(
            "its codes come from a table for each channel, for which the chip has no unit",
            module=name,
            remedy=f"{way}, or {ENGINE}",
        )
    if isinstance(op, Reshape) and module == name:
        kind = node.output.type
        if kind is not None and kind.encoding is Encoding.TWOS:
            return ModelError(
                "it flattens numbers, and the chip flattens signs and codes alone, in front of a layer",
                module=name,
                remedy=f"Put BatchNorm2d and Sign or QuantReLU in front of the flatten, or {ENGINE}",
            )
        return ModelError(
            "not every reader of what it flattens is a layer, and the chip flattens in front of layers alone",
            module=name,
            remedy=f"Let nothing but xnn.BinaryLinear read it, or {ENGINE}",
        )
    if isinstance(op, Reshape):
        return ModelError(
            "its thresholds differ from feature to feature, and the chip has none such of more than "
            f"{MOST_LEVELS} levels, behind a pool, or of a batch norm that rises at some positions of a "
            "channel and falls at others",
            module=module,
            remedy=f"Put BatchNorm2d in front of the flatten, or {ENGINE}",
        )
    kind_of = type(op).__name__
    return ModelError(
        f"a {kind_of} cannot stand here: the chip runs products, sums and concatenations, each followed by a "
        "quantiser and pools",
        module=name,
        remedy="Order the modules as convolution, batch norm, Sign or QuantReLU, pool, and end with a "
        f"binary layer, or {ENGINE}",
    )


# --- products --------------------------------------------------------------------------------


def check_product(node: IntNode, product: Product, source: Tensor) -> None:
    """ModelError where no matrix unit forms this product."""
    name = node.output.name
    act = source.type
    if act is None:
        raise ModelError("its input is real", module=name, remedy="Put xnn.InputQuant or xnn.Sign before it")
    number = act.encoding is Encoding.TWOS and act.bits <= MOST_CODE_BITS
    if not (act.is_bipolar or number or _is_codes(act)):
        raise ModelError(
            f"its input is {act}, and a matrix unit takes +-1 or codes of 1 to {MOST_CODE_BITS} bits",
            module=name,
            remedy=f"Quantise the input to 8 bits or fewer, or {ENGINE}",
        )
    _check_planes(name, product, act)
    legal_pads = (-1, 0, 1) if act.is_bipolar else range(act.min, act.max + 1)
    if product.geometry.pads.any() and product.pad_value not in legal_pads:
        raise ModelError(
            f"padding with {product.pad_value} is no value of its input ({act})",
            module=name,
            remedy=f"Use a pad value from {min(legal_pads)} to {max(legal_pads)}",
        )
    shape = (node.output.shape[0], source.shape[0] // product.groups, *product.geometry.kernel)
    if any(t.weight.shape != shape or not np.isin(t.weight, (-1, 1)).all() for t in product.terms):
        raise ModelError(
            f"its weights are not +-1 of shape {shape}",
            module=name,
            remedy="Lower the network again from the model file",
        )
    heaviest = sum(abs(t.coefficient) for t in product.terms)
    largest = int(np.prod(shape[1:])) * max(abs(act.min), abs(act.max)) * heaviest
    if largest >= 1 << (_RESULT_BITS - 2):
        raise ModelError(
            f"its sums reach {largest}, more than {_RESULT_BITS} bits carry",
            module=name,
            remedy=f"Use fewer inputs, fewer bits or a smaller frac, or {ENGINE}",
        )
    check_reading(name, product.geometry, source)


def _is_codes(kind: IntType) -> bool:
    """True for codes that travel in 8 bits or fewer."""
    if kind.encoding is Encoding.THERMOMETER:
        return kind.bits < 1 << MOST_CODE_BITS
    return kind.encoding is Encoding.CODE and kind.bits <= MOST_CODE_BITS


def _check_planes(name: str, product: Product, act: IntType) -> None:
    planes = [t.plane for t in product.terms if t.plane is not None]
    if not planes:
        return
    if act.min < 0:
        raise ModelError(
            f"it takes planes of {act}, which has none",
            module=name,
            remedy="Put xnn.BasesActivation in front of it",
        )
    if len(planes) != len(product.terms):
        raise ModelError(
            "some of its terms take planes of the activations and others take them whole",
            module=name,
            remedy=f"Use xnn.BasesActivation in front of it, or {ENGINE}",
        )
    if product.pad_value != 0:
        raise ModelError(
            f"it pads the planes of its activations with {product.pad_value}",
            module=name,
            remedy="Pad with 0",
        )


def check_reading(name: str, geometry: WindowGeometry, source: Tensor) -> None:
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


# --- quantisers and pools --------------------------------------------------------------------


def check_quantiser(node: IntNode, op: Threshold | Requant) -> None:
    """ModelError where no unit makes these codes of sums."""
    name, kind = node.output.name, node.output.type
    assert kind is not None
    unsigned = kind.is_bipolar or (_is_codes(kind) and not kind.signed)
    number = kind.encoding is Encoding.TWOS and isinstance(op, Requant)
    if not unsigned and not number:
        raise ModelError(
            f"it makes {kind}, and the chip's codes are +-1, numbers of xnn.Grid, or unsigned of 1 to "
            f"{MOST_CODE_BITS} bits",
            module=name,
            remedy=f"Use xnn.Sign, xnn.Grid or xnn.QuantReLU between layers, or {ENGINE}",
        )
    if isinstance(op, Requant):
        if kind.is_bipolar or not kind.min <= op.low <= op.high <= kind.max:
            raise ModelError(
                f"its codes run from {op.low} to {op.high}, past {kind}",
                module=name,
                remedy="Lower the network again from the model file",
            )
        return
    if op.levels > MOST_LEVELS:
        raise ModelError(
            f"it has {op.levels} levels, and the chip compares with at most {MOST_LEVELS}",
            module=name,
            remedy=f"Use 4 bits or fewer behind this layer, or {ENGINE}",
        )
    if op.levels > kind.max:
        raise ModelError(
            f"its {op.levels} levels count past {kind}",
            module=name,
            remedy="Lower the network again from the model file",
        )
    pixels = node.output.shape[1] * node.output.shape[2]
    if op.table.shape[0] not in (1, pixels):
        raise ModelError(
            f"its table has {op.table.shape[0]} positions, the map {pixels}",
            module=name,
            remedy="Lower the network again from the model file",
        )


def check_sum_pool(node: IntNode, geometry: WindowGeometry, source: Tensor) -> None:
    """ModelError where no unit sums the pool's windows."""
    if source.type is not None and source.type.is_bipolar and geometry.pads.any():
        raise ModelError(
            "it averages signs over padding, which counts 0 and has no bit",
            module=node.output.name,
            remedy=f"Average without padding, or {ENGINE}",
        )
