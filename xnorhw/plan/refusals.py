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
from xnorhw.ir.types import Encoding, IntType, type_for_range
from xnorhw.plan.layers import MOST_WEIGHT_BITS

__all__ = [
    "MOST_CODE_BITS",
    "MOST_LEVELS",
    "check_input",
    "check_join",
    "check_product",
    "check_quantiser",
    "check_reading",
    "check_weights",
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
            "it is in full precision between two layers of the chip, and was left to the host, which runs "
            "what stands before the chip and behind it alone",
            module=name,
            remedy="Put it on the chip (`--ends auto`), or use xnn.BinaryConv2d or xnn.BinaryLinear here, "
            f"or {ENGINE}",
        )
    if isinstance(op, Lookup):
        kind = node.output.type
        # numbers have no levels that could be counted
        few = "" if kind is not None and kind.encoding is Encoding.TWOS else "use 4 bits or fewer, or "
        return ModelError(
            "its codes come from a table for each channel, for which the chip has no unit: no multiplication "
            "makes its steps, because a ReLU or Hardtanh stands in front of a batch norm, or because float32 "
            "rounds what leads to it",
            module=name,
            remedy="Order the modules as batch norm, ReLU, quantiser, and round their numbers: "
            f"xnorhw.snap(net), or xnorhw snap model.pt -o snapped.pt; {few}or {ENGINE}",
        )
    if isinstance(op, Reshape) and module == name:
        return ModelError(
            "not every reader of what it flattens is a layer, or a quantiser that thresholds or one "
            "multiplication express, and the chip flattens in front of these alone",
            module=name,
            remedy="Join maps in front of the flatten, let xnn.Sign or xnn.QuantReLU of 4 bits or fewer "
            f"read it, or {ENGINE}",
        )
    if isinstance(op, Reshape):
        return ModelError(
            "its codes come from a table for each feature, for which the chip has no unit",
            module=module,
            remedy=f"Use 4 bits or fewer behind the flatten, or put BatchNorm2d in front of it, or {ENGINE}",
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


def check_product(node: IntNode, product: Product | FullProduct, source: Tensor) -> None:
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
    if isinstance(product, Product):
        _check_planes(name, product, act)
    legal_pads = (-1, 0, 1) if act.is_bipolar else range(act.min, act.max + 1)
    if product.geometry.pads.any() and product.pad_value not in legal_pads:
        raise ModelError(
            f"padding with {product.pad_value} is no value of its input ({act})",
            module=name,
            remedy=f"Use a pad value from {min(legal_pads)} to {max(legal_pads)}",
        )
    shape = (node.output.shape[0], source.shape[0] // product.groups, *product.geometry.kernel)
    heaviest = _heaviest(name, product, shape)
    largest = int(np.prod(shape[1:])) * max(abs(act.min), abs(act.max)) * heaviest
    if largest >= 1 << (_RESULT_BITS - 2):
        raise ModelError(
            f"its sums reach {largest}, more than {_RESULT_BITS} bits carry",
            module=name,
            remedy=f"Use fewer inputs, fewer bits or a smaller frac, or {ENGINE}",
        )
    check_reading(name, product.geometry, source)


def _heaviest(name: str, product: Product | FullProduct, shape: tuple[int, ...]) -> int:
    """The largest weight of the product, its terms summed."""
    if isinstance(product, FullProduct):
        check_weights(name, product)
        sound, what = product.weight.shape == shape, "integers"
        heaviest = int(np.abs(product.weight.astype(np.int64)).max(initial=0))
    else:
        sound = all(t.weight.shape == shape and np.isin(t.weight, (-1, 1)).all() for t in product.terms)
        heaviest, what = sum(abs(t.coefficient) for t in product.terms), "+-1"
    if not sound:
        raise ModelError(
            f"its weights are not {what} of shape {shape}",
            module=name,
            remedy="Lower the network again from the model file",
        )
    return heaviest


def check_weights(name: str, product: FullProduct) -> None:
    """ModelError where a matrix unit has no room for the weights."""
    low, high = int(product.weight.min(initial=0)), int(product.weight.max(initial=0))
    bits = type_for_range(low, high).bits
    if bits > MOST_WEIGHT_BITS:
        raise ModelError(
            f"its weights in steps of 2^-{product.frac} reach from {low} to {high}, which takes {bits} bits, "
            f"and the chip multiplies by integers of at most {MOST_WEIGHT_BITS}",
            module=name,
            remedy=f"Round it to {MOST_WEIGHT_BITS} bits (`from_conv` and `from_linear` take bits="
            f"{MOST_WEIGHT_BITS}, `xnorhw snap` --full-bits {MOST_WEIGHT_BITS}); leave a first or a last "
            f"layer to the host (`--ends auto`); between binary ones, {ENGINE}",
        )


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
    pixels = node.output.shape[1] * node.output.shape[2]
    if op.positions not in (1, pixels):
        raise ModelError(
            f"its table has {op.positions} positions, the map {pixels}",
            module=name,
            remedy="Lower the network again from the model file",
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
