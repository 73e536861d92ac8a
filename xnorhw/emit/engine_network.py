"""The engine's layers as C: one file of constant data for a network."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.emit.jinja import one_line, render
from xnorhw.emit.wiring import identifiers
from xnorhw.ir.int_graph import HostAffine, HostBatchNorm, HostClamp, HostFull, HostOp
from xnorhw.plan.engine_model import (
    AddStep,
    BoxSumStep,
    ConcatStep,
    EngineLayer,
    EngineNetwork,
    EngineTerm,
    FullStep,
    LevelsStep,
    LookupStep,
    MultiplyStep,
    PlanesStep,
    PoolStep,
    ProductStep,
    RequantStep,
    ReshapeStep,
    SignStep,
    SignTable,
    Step,
    SumPoolStep,
)
from xnorhw.plan.engine_tables import MANY_LEVELS

__all__ = ["c_text", "network_files"]

_WIDTH = 106
_KINDS: dict[type[Any], str] = {
    LookupStep: "XH_LOOKUP",
    ProductStep: "XH_PRODUCT",
    PlanesStep: "XH_PLANES",
    FullStep: "XH_FULL",
    SignStep: "XH_SIGN",
    LevelsStep: "XH_LEVELS",
    RequantStep: "XH_REQUANT",
    AddStep: "XH_ADD",
    ConcatStep: "XH_CONCAT",
    MultiplyStep: "XH_MULTIPLY",
    PoolStep: "XH_POOL",
    SumPoolStep: "XH_SUMPOOL",
    BoxSumStep: "XH_BOXSUM",
    ReshapeStep: "XH_RESHAPE",
}
_VERBS = {
    "XH_LOOKUP": "table",
    "XH_FULL": "full-precision product",
    "XH_SIGN": "sign",
    "XH_LEVELS": "thresholds",
    "XH_REQUANT": "multiply, add, shift",
    "XH_ADD": "sum",
    "XH_CONCAT": "concatenation",
    "XH_MULTIPLY": "times a map",
    "XH_POOL": "max-pool",
    "XH_SUMPOOL": "sum over windows",
    "XH_BOXSUM": "sum of magnitudes over windows",
    "XH_RESHAPE": "flatten",
}


@dataclass(frozen=True)
class CArray:
    """A constant array: its elements as lines of C."""

    type: str
    name: str
    count: int
    text: str
    comment: str = ""
    aligned: bool = False


@dataclass(frozen=True)
class CLayer:
    """A layer's text: ``title`` for comments, ``arrays`` by their role."""

    module: str
    title: str
    name: str
    kind: str
    step: Step
    input: int
    output: int
    others: tuple[int, ...]
    arrays: dict[str, CArray]


@dataclass(frozen=True)
class CHost:
    """A float32 operation: ``fields`` of its struct as C expressions."""

    module: str
    title: str
    kind: str
    fields: dict[str, str]
    arrays: dict[str, CArray]


def c_text(name: str) -> str:
    """A module's name as it may stand in a string or a comment of C11, whose trigraphs begin with ``??``."""
    return re.sub(r"\*/|/\*|\?\?", "__", one_line(name))


def network_files(network: EngineNetwork, prefix: str) -> dict[str, str]:
    """``engine/<prefix>_network.{c,h}`` -> text."""
    modules = [_module(network, layer) for layer in network.layers]
    names = identifiers(tuple(f"l{number:02}_{name}" for number, name in enumerate(modules)))
    layers = [
        _layer(network, layer, module, name)
        for layer, module, name in zip(network.layers, modules, names.values(), strict=True)
    ]
    hosts = [_host(op, f"h{number:02}") for number, op in enumerate(network.host)]
    texts = [a.text for op in hosts for a in op.arrays.values()]
    infinite = any("INFINITY" in text for op in hosts for text in (*op.fields.values(), *texts))
    tensors = [dataclasses.replace(t, name=c_text(t.name)) for t in network.tensors]
    buffers = _array("int32_t", "buffers", np.array(network.buffers)) if network.buffers else None
    values = {
        "prefix": prefix,
        "P": prefix.upper(),
        "network": network,
        "tensors": tensors,
        "buffers": buffers,
    }
    return {
        f"engine/{prefix}_network.h": render("host/accel_network.h.j2", **values),
        f"engine/{prefix}_network.c": render(
            "host/accel_network.c.j2", **values, layers=layers, hosts=hosts, infinite=infinite
        ),
    }


def _module(network: EngineNetwork, layer: EngineLayer) -> str:
    """The PyTorch module that a layer is looked for by: of a product with its sign, the product's."""
    if isinstance(layer.step, ProductStep) and layer.step.sums >= 0:
        return network.tensors[layer.step.sums].name
    return network.tensors[layer.output].name


def _layer(network: EngineNetwork, layer: EngineLayer, module: str, name: str) -> CLayer:
    step = layer.step
    kind = _KINDS[type(step)]
    given, made = network.tensors[layer.input], network.tensors[layer.output]
    shapes = f"{_shape(given.shape)} -> {_shape(made.shape)}"
    if isinstance(step, ProductStep | PlanesStep):
        verb = _product_verb(step)
        if isinstance(step, ProductStep) and step.sign is not None:
            verb += f", sign {c_text(made.name)}"
    else:
        verb = _VERBS[kind]
    title = f"{c_text(module)}: {verb}, {shapes}"
    arrays = _arrays(layer, name)
    return CLayer(c_text(module), title, name, kind, step, layer.input, layer.output, layer.others, arrays)


def _product_verb(step: ProductStep | PlanesStep) -> str:
    (kh, kw), terms = step.geometry.kernel, len(step.terms)
    verb = f"binary product {kh} x {kw}"
    if terms > 1:
        verb += f" of {terms} terms"
    if isinstance(step, PlanesStep):
        verb += " of codes"
    return verb + (f", {step.groups} groups" if step.groups > 1 else "")


def _shape(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))


def _arrays(layer: EngineLayer, name: str) -> dict[str, CArray]:
    step = layer.step
    if isinstance(step, LookupStep):
        return {"table": _array("int32_t", f"{name}_table", step.op.table)}
    if isinstance(step, PlanesStep):
        planes = _array("int32_t", f"{name}_planes", np.array(step.planes), "[terms]")
        return {**_terms(step.terms, name), "planes": planes}
    if isinstance(step, ProductStep):
        arrays = _terms(step.terms, name)
        return arrays if step.sign is None else {**arrays, **_sign(step.sign, name)}
    if isinstance(step, FullStep):
        comment = "[outputs][kernel_h][kernel_w][channels] = " + _dims(step.weight)
        return {"weight": _array("int32_t", f"{name}_weights", step.weight, comment)}
    if isinstance(step, SignStep):
        return _sign(step.sign, name)
    if isinstance(step, LevelsStep):
        return _levels(step, name)
    if isinstance(step, RequantStep):
        fields = {
            "multiplier": ("int32_t", step.multiplier),
            "addend": ("int32_t", step.addend),
            "wide_multiplier": ("int64_t", step.wide_multiplier),
            "wide_addend": ("int64_t", step.wide_addend),
        }
        return {
            role: _array(ctype, f"{name}_{role}", values)
            for role, (ctype, values) in fields.items()
            if values is not None
        }
    if isinstance(step, AddStep | ConcatStep):
        inputs = {"tensors": _array("int32_t", f"{name}_tensors", np.array(layer.inputs))}
        if isinstance(step, AddStep):
            inputs["shifts"] = _array("int32_t", f"{name}_shifts", np.array(step.shifts))
        return inputs
    if isinstance(step, PoolStep) and step.minimum is not None:
        return {"minimum": _array("uint32_t", f"{name}_minimum", step.minimum)}
    return {}


def _terms(terms: tuple[EngineTerm, ...], name: str) -> dict[str, CArray]:
    """The terms' weights by role; terms of the same weights name the same array."""
    arrays: dict[str, CArray] = {}
    made: dict[int, CArray] = {}
    for number, term in enumerate(terms):
        weights = term.lanes if term.bits is None else term.bits
        assert weights is not None
        if id(weights) not in made:
            stem = f"{name}_weights{len(made)}" if len(terms) > 1 else f"{name}_weights"
            order, ctype = ("words][16", "uint32_t") if term.lanes is None else ("channels", "uint16_t")
            comment = f"[groups][blocks][kernel_h][kernel_w][{order}] = {_dims(weights)}"
            made[id(weights)] = _array(ctype, stem, weights, comment, aligned=term.lanes is None)
        arrays[f"{'lanes' if term.bits is None else 'bits'}{number}"] = made[id(weights)]
    return arrays


def _levels(step: LevelsStep, name: str) -> dict[str, CArray]:
    arrays: dict[str, CArray] = {}
    order = (
        "[positions][levels][channels] = "
        if step.levels < MANY_LEVELS
        else "[positions][channels][levels] = "
    )
    if step.at is not None:
        arrays["at"] = _array("int32_t", f"{name}_at", step.at, order + _dims(step.at))
    if step.wide is not None:
        arrays["wide"] = _array("int64_t", f"{name}_at", step.wide, order + _dims(step.wide))
    if step.falling is not None:
        arrays["falling"] = _array("uint8_t", f"{name}_falling", step.falling)
    return arrays


def _sign(sign: SignTable, name: str) -> dict[str, CArray]:
    comment = "[positions][padded channels] = " + _dims(sign.at)
    arrays = {"at": _array("int32_t", f"{name}_at", sign.at, comment)}
    if sign.flip is not None:
        arrays["flip"] = _array("uint32_t", f"{name}_flip", sign.flip)
    return arrays


def _dims(values: npt.NDArray[Any]) -> str:
    return "".join(f"[{n}]" for n in values.shape)


def _array(
    ctype: str, name: str, values: npt.NDArray[Any], comment: str = "", aligned: bool = False
) -> CArray:
    flat = values.ravel()
    if ctype in ("uint32_t", "uint16_t"):
        words = [f"0x{value:x}" for value in flat.tolist()]
    elif ctype == "float":
        words = [_float(value) for value in flat.tolist()]
    elif ctype == "int64_t":
        words = [_long(value) for value in flat.tolist()]
    else:
        words = [str(value) for value in flat.tolist()]
    return CArray(ctype, name, len(words), _lines(words), comment, aligned)


def _float(value: float) -> str:
    """A float32 as C writes it exactly."""
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return re.sub(r"\.?0*p", "p", value.hex()) + "f"


def _long(value: int) -> str:
    # the lowest number has no literal of its own
    return (
        "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})" if abs(value) >= 1 << 31 else str(value)
    )


def _lines(words: list[str]) -> str:
    lines: list[str] = []
    line: list[str] = []
    width = 3
    for word in words:
        if line and width + len(word) + 2 > _WIDTH:
            lines.append("    " + " ".join(line))
            line, width = [], 3
        line.append(f"{word},")
        width += len(word) + 2
    return "\n".join([*lines, "    " + " ".join(line)])


def _host(op: HostOp, name: str) -> CHost:
    if isinstance(op, HostClamp):
        fields = {"low": _float(float(np.float32(op.low))), "high": _float(float(np.float32(op.high)))}
        return CHost(c_text(op.name), f"{c_text(op.name)}: clamp", "XH_CLAMP", fields, {})
    arrays: dict[str, CArray] = {}
    if isinstance(op, HostFull):
        kind, title = "XH_HOSTFULL", "full-precision linear layer"
        comment = "[outputs][inputs] = " + _dims(op.weight)
        arrays["weight"] = _array("int32_t", f"{name}_weights", op.weight, comment)
        fields = {
            "outputs": str(op.weight.shape[0]),
            "inputs": str(op.weight.shape[1]),
            "frac": str(op.frac),
            "in_frac": str(op.in_frac),
        }
        floats = {"bias": op.bias}
    elif isinstance(op, HostBatchNorm):
        kind, title, fields = "XH_BATCHNORM", "batch norm", {}
        floats = {"scale": op.a, "bias": op.b}
    else:
        assert isinstance(op, HostAffine)
        kind, title, fields = "XH_AFFINE", "scale and bias", {}
        floats = {"scale": op.scale, "bias": op.bias}
    counts = {"scale": "scales", "bias": "biases"}
    for role, values in floats.items():
        if values is not None:
            arrays[role] = _array("float", f"{name}_{role}", np.asarray(values, np.float32))
            fields[counts[role]] = str(values.size)
    fields |= {role: array.name for role, array in arrays.items()}
    return CHost(c_text(op.name), f"{c_text(op.name)}: {title}", kind, fields, arrays)
