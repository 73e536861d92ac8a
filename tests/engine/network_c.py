"""Prints small networks as C data for the CPU engine, one function of the graph's own
operations to one struct: a second, independent reading of xh_layers.h beside the emitter's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xnorhw.golden.run import host, lookup, max_pool, product, threshold, windows
from xnorhw.ir.int_graph import (
    FullProduct,
    HostAffine,
    HostBatchNorm,
    HostFull,
    HostOp,
    Lookup,
    MaxPool,
    Product,
    Reshape,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, Encoding, IntType

Values = npt.NDArray[np.int64]
Step = Product | FullProduct | Threshold | MaxPool | Lookup | Reshape
LANES = 16
LIMIT = 1 << 30


@dataclass
class Case:
    """A chain of operations and an input [1, C, H, W]; ``tensors`` is what golden makes of it,
    ``scores`` what the float operations make of the last of them."""

    name: str
    x: Values
    kind: IntType
    steps: list[tuple[Step, IntType]]
    hosts: tuple[HostOp, ...] = ()
    tensors: list[Values] = field(default_factory=list)
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        x, source = self.x, self.kind
        self.tensors = [x]
        for step, kind in self.steps:
            x = _run(step, x, source, kind)
            source = kind
            self.tensors.append(x)
        y = x.astype(np.float32)
        for op in self.hosts:
            y = host(op, y)
        self.scores = y.ravel()


def _run(step: Step, x: Values, source: IntType, kind: IntType) -> Values:
    if isinstance(step, Product):
        return product(step, x)
    if isinstance(step, FullProduct):
        channels = np.full(x.shape[1], step.pad_value, np.int64)
        taken = windows(x, step.geometry, channels)
        group = x.shape[1] // step.groups
        out = step.weight.shape[0] // step.groups
        parts = [
            np.einsum(
                "nchwyx,ocyx->nohw",
                taken[:, g * group : (g + 1) * group],
                step.weight[g * out : (g + 1) * out].astype(np.int64),
            )
            for g in range(step.groups)
        ]
        return np.concatenate(parts, axis=1)
    if isinstance(step, Threshold):
        return threshold(step, x, kind)
    if isinstance(step, MaxPool):
        return max_pool(step, x)
    if isinstance(step, Lookup):
        return lookup(step, x, source)
    return x.reshape(x.shape[0], -1, 1, 1)


def storage(kind: IntType) -> str:
    """The format that holds a type."""
    if kind.is_bipolar:
        return "XH_BITS"
    if kind.encoding is Encoding.TWOS:
        return "XH_I64" if kind.bits > 32 else "XH_I32"
    width = 8 if kind.bits <= 8 else 16
    return f"XH_{'I' if kind.signed else 'U'}{width}"


def bit_rows(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.uint32]:
    """[O, I, kh, kw] of +-1 -> [groups][blocks][kh][kw][words][16] of 32 bits."""
    out, inputs, kh, kw = weight.shape
    per = out // groups
    words, blocks = -(-inputs // 32), -(-per // LANES)
    ones = np.zeros((groups, blocks * LANES, words * 32, kh, kw), np.uint64)
    ones[:, :per, :inputs] = (weight > 0).reshape(groups, per, inputs, kh, kw)
    ones = ones.reshape(groups, blocks, LANES, words, 32, kh, kw)
    packed = (ones << np.arange(32, dtype=np.uint64)[:, None, None]).sum(axis=4)
    return packed.transpose(0, 1, 4, 5, 3, 2).astype(np.uint32)


def lane_rows(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.uint16]:
    """[O, I, kh, kw] of +-1 -> [groups][blocks][kh][kw][I] of 16 lanes."""
    out, inputs, kh, kw = weight.shape
    per = out // groups
    blocks = -(-per // LANES)
    ones = np.zeros((groups, blocks * LANES, inputs, kh, kw), np.uint32)
    ones[:, :per] = (weight > 0).reshape(groups, per, inputs, kh, kw)
    ones = ones.reshape(groups, blocks, LANES, inputs, kh, kw)
    packed = (ones << np.arange(LANES, dtype=np.uint32)[:, None, None, None]).sum(axis=2)
    return packed.transpose(0, 1, 3, 4, 2).astype(np.uint16)


def _array(c_type: str, name: str, values: npt.NDArray[np.generic] | list[int], aligned: bool = False) -> str:
    """A constant table; an empty one is not C."""
    numbers = np.asarray(values).ravel().tolist()
    if c_type == "int64_t":
        text = ",".join(f"INT64_C({v})" for v in numbers)
    else:
        text = ",".join(map(str, numbers))
    return f"static const {c_type} {name}[] {'XH_ALIGNED ' if aligned else ''}= {{{text}}};\n"


def _words(mask: npt.NDArray[np.bool_]) -> list[int]:
    padded = np.zeros(-(-len(mask) // 32) * 32, np.uint8)
    padded[: len(mask)] = mask
    return np.packbits(padded, bitorder="little").view("<u4").tolist()  # type: ignore[no-any-return]


def _window(step: Product | FullProduct | MaxPool) -> str:
    g = step.geometry
    values = (*g.kernel, *g.stride, *g.dilation, g.pads.top, g.pads.left)
    return "{" + ", ".join(map(str, values)) + "}"


def _sign(op: Threshold, name: str, groups: int) -> str:
    """A one-level threshold as XH_SIGN's struct."""
    positions, channels, levels = op.table.shape
    assert levels == 1
    falling = op.direction < 0
    at = op.table[:, :, 0].copy()
    if op.strict[0]:
        at = at + np.where(falling, 0, 1)  # s > t is s >= t + 1, s < t is not s >= t
    else:
        at = at + np.where(falling, 1, 0)
    at = np.clip(at, -LIMIT, LIMIT)
    per = channels // groups
    padded = -(-per // LANES) * LANES
    rows = np.full((positions, groups, padded), LIMIT, np.int64)
    rows[:, :, :per] = at.reshape(positions, groups, per)
    text = _array("int32_t", f"{name}_at", rows)
    flip = "NULL"
    if falling.any():
        text += _array("uint32_t", f"{name}_flip", _words(falling))
        flip = f"{name}_flip"
    return text + f"static const xh_sign {name} = {{{name}_at, {flip}, {positions}, {groups * padded}, 0}};\n"


def _product(op: Product, name: str, from_bits: bool, sign: str, sums: int) -> str:
    text, terms = "", []
    for i, term in enumerate(op.terms):
        if from_bits:
            text += _array("uint32_t", f"{name}_w{i}", bit_rows(term.weight, op.groups), aligned=True)
            terms.append(f"{{{term.coefficient}, {name}_w{i}, NULL}}")
        else:
            text += _array("uint16_t", f"{name}_w{i}", lane_rows(term.weight, op.groups))
            terms.append(f"{{{term.coefficient}, NULL, {name}_w{i}}}")
    text += f"static const xh_term {name}_terms[] = {{{', '.join(terms)}}};\n"
    text += (
        f"static const xh_product {name} = {{{name}_terms, {len(terms)}, {_window(op)}, {op.groups}, "
        f"{op.pad_value}, {sign}, {sums}}};\n"
    )
    return text


def _levels(op: Threshold, name: str) -> str:
    """Each level as "x >= at", a channel's ascending; level by level where they are few."""
    positions, _, levels = op.table.shape
    falling = op.direction < 0
    # the levels that are not passed are counted where a channel falls
    moved = op.table + (falling[:, None] != op.strict[None, :])
    at = np.sort(moved, axis=2)
    at = at.transpose(0, 2, 1) if levels < 16 else at
    wide = int(np.abs(at).max()) >= 1 << 31
    text = _array("int64_t" if wide else "int32_t", f"{name}_at", at)
    text += _array("uint8_t", f"{name}_falling", falling.astype(np.uint8))
    tables = f"NULL, {name}_at" if wide else f"{name}_at, NULL"
    values = f"{tables}, {name}_falling, {positions}, {levels}, 0"
    return text + f"static const xh_levels {name} = {{{values}}};\n"


def _floats(values: npt.NDArray[np.float32] | None, name: str) -> tuple[str, str, int]:
    """(table, its name or NULL, its length); hexadecimal, so that every bit arrives."""
    if values is None:
        return "", "NULL", 0
    text = ",".join(f"{float(v).hex()}f" for v in values)
    return f"static const float {name}[] = {{{text}}};\n", name, len(values)


def _host(op: HostOp, name: str) -> tuple[str, str]:
    """(tables, the initialiser of an xh_host)."""
    scale = op.scale if isinstance(op, HostAffine) else op.a if isinstance(op, HostBatchNorm) else None
    bias = op.b if isinstance(op, HostBatchNorm) else getattr(op, "bias", None)
    scale_text, scale_name, scales = _floats(scale, f"{name}_scale")
    bias_text, bias_name, biases = _floats(bias, f"{name}_bias")
    text = scale_text + bias_text
    parts = f'"{op.name}", {scale_name}, {bias_name}, {scales}, {biases}'
    if isinstance(op, HostFull):
        text += _array("int32_t", f"{name}_w", op.weight)
        outputs, inputs = op.weight.shape
        return text, f"{{XH_HOSTFULL, {parts}, 0, 0, {name}_w, {inputs}, {outputs}, {op.frac}, {op.in_frac}}}"
    if isinstance(op, (HostAffine, HostBatchNorm)):
        kind = "XH_AFFINE" if isinstance(op, HostAffine) else "XH_BATCHNORM"
        return text, f"{{{kind}, {parts}, 0, 0, NULL, 0, 0, 0, 0}}"
    high = "INFINITY" if np.isinf(op.high) else f"{float(op.high).hex()}f"
    return text, f"{{XH_CLAMP, {parts}, {float(op.low).hex()}f, {high}, NULL, 0, 0, 0, 0}}"


def case_c(case: Case, prefix: str, fuse: bool = True) -> str:
    """The network of a case: tensors, layers, and ``xh_network prefix``."""
    kinds = [case.kind, *(kind for _, kind in case.steps)]
    text, layers = "", []
    i = 0
    while i < len(case.steps):
        op, _ = case.steps[i]
        name = f"{prefix}_{i}"
        last = i
        if isinstance(op, Product):
            sign, sums = "NULL", -1
            after = case.steps[i + 1] if i + 1 < len(case.steps) else None
            if fuse and after and isinstance(after[0], Threshold) and after[1].is_bipolar:
                text += _sign(after[0], f"{name}_sign", op.groups)
                sign, sums, last = f"&{name}_sign", i + 1, i + 1
            text += _product(op, name, kinds[i].is_bipolar, sign, sums)
            kind = "XH_PRODUCT"
        elif isinstance(op, Threshold):
            if op.levels == 1 and kinds[i + 1].is_bipolar:
                text += _sign(op, name, 1)
                kind = "XH_SIGN"
            else:
                text += _levels(op, name)
                kind = "XH_LEVELS"
        elif isinstance(op, MaxPool):
            text += _array("uint32_t", f"{name}_min", _words(op.minimum))
            text += f"static const xh_pool {name} = {{{_window(op)}, {name}_min}};\n"
            kind = "XH_POOL"
        elif isinstance(op, Lookup):
            tables, values = op.table.shape
            text += _array("int32_t", f"{name}_table", op.table)
            first = kinds[i].min
            text += f"static const xh_lookup {name} = {{{name}_table, {tables}, {values}, {first}}};\n"
            kind = "XH_LOOKUP"
        elif isinstance(op, FullProduct):
            text += _array("int32_t", f"{name}_w", op.weight.transpose(0, 2, 3, 1))
            text += (
                f"static const xh_full {name} = {{{name}_w, {_window(op)}, {op.groups}, {op.pad_value}}};\n"
            )
            kind = "XH_FULL"
        else:
            kind = "XH_RESHAPE"
        data = "NULL" if kind == "XH_RESHAPE" else f"&{name}"
        layers.append(f"{{{kind}, {i}, {last + 1}, {data}}}")
        i = last + 1
    rows = [
        f'{{"t{k}", {t.shape[1]}, {t.shape[2]}, {t.shape[3]}, {storage(kind)}}}'
        for k, (t, kind) in enumerate(zip(case.tensors, kinds, strict=True))
    ]
    text += f"static const xh_tensor {prefix}_tensors[] = {{{', '.join(rows)}}};\n"
    text += f"static const xh_layer {prefix}_layers[] = {{{', '.join(layers)}}};\n"
    hosts = [_host(op, f"{prefix}_h{k}") for k, op in enumerate(case.hosts)]
    text += "".join(tables for tables, _ in hosts)
    text += f"static const xh_host {prefix}_hosts[] = {{{', '.join(t for _, t in hosts) or '{0}'}}};\n"
    scores = case.scores.size
    text += (
        f'static const xh_network {prefix} = {{.name = "{case.name}", .tensor = {prefix}_tensors, '
        f".tensors = {len(rows)}, .layer = {prefix}_layers, .layers = {len(layers)}, "
        f".host = {prefix}_hosts, .hosts = {len(hosts)}, .scores = {scores}, "
        f".back_layer = {len(layers)}, .chip_input = -1, .chip_output = -1, .chip_bits = 8}};\n"
    )
    return text + _input_c(case, prefix)


def _input_c(case: Case, prefix: str) -> str:
    kind = {
        "XH_BITS": "int8_t",
        "XH_U8": "uint8_t",
        "XH_I8": "int8_t",
        "XH_U16": "uint16_t",
        "XH_I16": "int16_t",
    }
    return _array(kind[storage(case.kind)], f"{prefix}_input", case.x[0].transpose(1, 2, 0))


BITS = BIPOLAR
SUM = IntType(32, True, Encoding.TWOS)
"""The types that cases are written with."""
