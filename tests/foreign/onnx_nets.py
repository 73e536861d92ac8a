"""Small networks written as the exporters of the field write them, with seeded random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

QONNX = "qonnx.custom_op.general"
FINN = "finn.custom_op.general"
CUSTOM = ("Quant", "BipolarQuant", "MultiThreshold", "Trunc", "FloatQuant")


class Maker:
    """Collects the nodes of a graph; a call of it adds one and gives the name of what it makes."""

    def __init__(self, seed: int = 0, domain: str = QONNX, style: str = "/{module}/{op}") -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.domain, self.style = domain, style

    def const(self, name: str, values: npt.ArrayLike, dtype: Any = np.float32) -> str:
        if name not in [t.name for t in self.tensors]:
            self.tensors.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def __call__(self, op: str, inputs: Sequence[str], module: str = "", **attributes: Any) -> str:
        count = len(self.nodes)
        name = self.style.format(module=module or f"m{count}", op=op, count=count)
        made = f"t{count}"
        domain = self.domain if op in CUSTOM else ""
        self.nodes.append(helper.make_node(op, list(inputs), [made], name=name, domain=domain, **attributes))
        return made

    def latent(self, *shape: int) -> np.ndarray:
        """Trained weights look like this; a few are exactly 0."""
        values = self.rng.normal(0, 0.5, shape).astype(np.float32)
        values.reshape(-1)[:: max(7, values.size // 5)] = 0.0
        return values

    def norm(self, x: str, channels: int, module: str, spread: float = 3.0) -> str:
        """A batch norm of which half of the gammas are negative."""
        parts = {
            "weight": self.rng.normal(0, 1, channels),
            "bias": self.rng.normal(0, 0.5, channels),
            "running_mean": self.rng.normal(0, spread, channels),
            "running_var": self.rng.uniform(0.5, 20, channels),
        }
        inputs = [x, *(self.const(f"{module}.{n}", v) for n, v in parts.items())]
        return self("BatchNormalization", inputs, module, epsilon=1e-5)

    def bipolar(self, x: str, module: str, scale: npt.ArrayLike = 1.0) -> str:
        return self("BipolarQuant", [x, self.const(f"{module}.scale", scale)], module)

    def quant(self, x: str, module: str, scale: npt.ArrayLike, bits: int, signed: int = 1,
              narrow: int = 0, zero: float = 0.0, rounding: str = "ROUND") -> str:  # fmt: skip
        inputs = [
            x,
            self.const(f"{module}.scale", scale),
            self.const(f"{module}.zero", zero),
            self.const(f"{module}.bits", bits),
        ]
        return self("Quant", inputs, module, signed=signed, narrow=narrow, rounding_mode=rounding)

    def model(self, shape: Sequence[Any], output: str, outputs: Sequence[int], opset: int = 17,
              inputs: bool = False, types: dict[str, str] | None = None) -> onnx.ModelProto:  # fmt: skip
        info = helper.make_tensor_value_info
        given = [info("x", TensorProto.FLOAT, list(shape))]
        if inputs:  # as Brevitas does: all parameters too
            given += [info(t.name, t.data_type, list(t.dims)) for t in self.tensors]
        graph = helper.make_graph(
            self.nodes, "net", given, [info(output, TensorProto.FLOAT, list(outputs))], self.tensors
        )
        for name, kind in (types or {}).items():
            note = graph.quantization_annotation.add()
            note.tensor_name = name
            pair = note.quant_parameter_tensor_names.add()
            pair.key, pair.value = "finn_datatype", kind
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(self.domain, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="tests")


def brevitas_torchscript(seed: int = 0) -> onnx.ModelProto:
    """As Brevitas' TFC by the TorchScript exporter: Transposes, shared scales, parameters as inputs."""
    m = Maker(seed)
    x = m("Reshape", ["x", m.const("shape", [1, -1], np.int64)])
    x = m("Mul", [x, m.const("two", 2.0)])
    x = m("Sub", [x, m.const("one", [1.0])])
    x = m.bipolar(x, "features.0")
    for i, (inner, outer) in enumerate(((48, 24), (24, 20), (20, 6))):
        weight = m.bipolar(m.const(f"features.{4 * i + 2}.weight", m.latent(outer, inner)), f"w{i}")
        turned = m("Transpose", [weight], f"features.{4 * i + 2}", perm=[1, 0])
        x = m("MatMul", [x, turned], f"features.{4 * i + 2}")
        if i < 2:
            x = m.bipolar(m.norm(x, outer, f"features.{4 * i + 3}"), f"features.{4 * i + 4}")
    x = m("Sub", [x, m.const("mean", [0.4])])
    x = m("Div", [x, m.const("deviation", [2.7])])
    x = m("Mul", [x, m.const("gamma", [1.3])])
    x = m("Add", [x, m.const("beta", [0.1])])
    return m.model((1, 3, 4, 4), x, (1, 6), inputs=True)


def brevitas_dynamo(seed: int = 0) -> onnx.ModelProto:
    """As Brevitas' CNV_2W2A by the dynamo exporter: ternary, Gemm, names without modules."""
    m = Maker(seed, style="node_{op}_{count}")
    x = m("Mul", ["x", m.const("val_4", 2.0)])
    x = m("Sub", [x, m.const("lifted_tensor_1", 1.0)])
    x = m.quant(x, "q0", 2.0**-7, 8)
    for i, (inner, outer) in enumerate(((3, 8), (8, 10))):
        weight = m.quant(m.const(f"slice_{i}", m.latent(outer, inner, 3, 3)), f"w{i}", 0.5, 2, narrow=1)
        x = m("Conv", [x, weight], group=1, pads=[0, 0, 0, 0], strides=[1, 1], kernel_shape=[3, 3])
        x = m.quant(m.norm(x, outer, f"lifted_{i}"), f"a{i}", 0.7, 2, narrow=1)
        if i == 0:
            x = m("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], ceil_mode=0)
    x = m("Reshape", [x, m.const("val_9", [1, -1], np.int64)], allowzero=1)
    weight = m.quant(m.const("slice_9", m.latent(5, 10)), "w9", 0.5, 2, narrow=1)
    x = m("Gemm", [x, weight, m.const("bias", m.rng.normal(0, 1, 5))], transB=1, alpha=1.0, beta=1.0)
    return m.model((1, 3, 8, 8), x, (1, 5), inputs=True)


def finn(seed: int = 0) -> onnx.ModelProto:
    """FINN's older dialect: weights -1 and +1 as they are, MultiThreshold, a TopK at the end."""
    m = Maker(seed, FINN, "{op}_{count}")
    x = m("Div", ["x", m.const("d", 255.0)])
    x = m("Reshape", [x, m.const("shape", [1, -1], np.int64)])
    x = m("Mul", [x, m.const("m", 2.0)])
    x = m("Sub", [x, m.const("s", [1.0])])
    sign = {"out_dtype": "BIPOLAR", "out_scale": 2.0, "out_bias": -1.0}
    x = m("MultiThreshold", [x, m.const("t", [[0.0]])], **sign)
    for i, (inner, outer) in enumerate(((25, 16), (16, 7))):
        weight = np.where(m.latent(inner, outer) >= 0, 1, -1)
        x = m("MatMul", [x, m.const(f"w{i}", weight)])
        x = m("Mul", [x, m.const(f"a{i}", 1.0 if i else 0.25)])
        if i == 0:
            x = m("Unsqueeze", [x], axes=[2])
            x = m("Squeeze", [m.norm(x, outer, f"bn{i}", 0.5)], axes=[2])
            x = m("MultiThreshold", [x, m.const("t", [[0.0]])], **sign)
    x = m("Add", [x, m.const("b", [-1.25])])
    top = m("TopK", [x, m.const("k", [1], np.int64)], axis=-1, largest=1, sorted=1)
    m.nodes[-1].output.append("places")
    del top
    return m.model((1, 1, 5, 5), "places", (1, 1), opset=12, types={"x": "UINT8"})


def qkeras(seed: int = 0) -> onnx.ModelProto:
    """As QKeras' converter writes it: channels last outside, ternary weights, ReLU of 3 bits, alphas."""
    m = Maker(seed, style="model/{op}_{count}")
    x = m("Transpose", [m("Relu", ["x"])], perm=[0, 3, 1, 2])
    x = m.quant(x, "q_in", 2.0**-6, 7, signed=0)
    for i, (inner, outer) in enumerate(((2, 6), (6, 4))):
        weight = m.quant(m.const(f"k{i}", m.latent(outer, inner, 3, 3)), f"w{i}", [[[[0.5]]]], 2, narrow=1)
        weight = m("Mul", [weight, m.const(f"alpha{i}", m.rng.uniform(0.2, 1.5, (outer, 1, 1, 1)))])
        bias = m.const(f"bias{i}", m.rng.normal(0, 0.5, outer))
        x = m("Conv", [x, weight, bias], auto_pad="SAME_UPPER", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
        del m.nodes[-1].attribute[
            next(k for k, a in enumerate(m.nodes[-1].attribute) if a.name == "auto_pad")
        ]
        x = m.quant(m("Relu", [x]), f"a{i}", 0.375, 3, signed=0)
    x = m("Transpose", [x], perm=[0, 2, 3, 1])
    x = m("Reshape", [x, m.const("flat", [-1, 100], np.int64)])
    weight = m.bipolar(m.const("k9", m.latent(100, 5)), "w9")
    x = m("MatMul", [x, weight])
    x = m("Add", [x, m.const("b9", m.rng.normal(0, 1, 5))])
    return m.model((1, 5, 5, 2), m("Identity", [x]), (1, 5))


def truncated(
    seed: int = 0,
    rounding: str = "ROUND",
    bits: int = 4,
    window: int = 4,
    scale: float = 0.2160856,
    apart: float = 1.0,
) -> onnx.ModelProto:
    """As Brevitas exports a TruncAvgPool2d: an average of codes, of whose sum a Trunc cuts low bits off.

    ``scale`` of the codes; the scale of the result is ``apart`` times a power of two of theirs.
    """
    m = Maker(seed)
    x = m.quant("x", "q", 2.0**-7, 8)
    weight = m.quant(m.const("w.weight", m.latent(6, 3, 3, 3)), "w", 0.5, 2, narrow=1)
    x = m.norm(m("Conv", [x, weight], group=1, pads=[0] * 4, strides=[1, 1], kernel_shape=[3, 3]), 6, "n")
    step = np.float32(scale)
    x = m.quant(m("Relu", [x]), "a", step, 4, signed=0)
    side = {"kernel_shape": [window] * 2, "strides": [window] * 2, "pads": [0] * 4}
    x = m("AveragePool", [x], "pool", count_include_pad=1, ceil_mode=0, **side)
    unit = step / np.float32(window**2)
    width = (15 * window**2).bit_length()
    wanted = np.float32(float(unit) * 2.0 ** (width - bits) * apart)
    parts = {"scale": unit, "zero": 0.0, "in": width, "wanted": wanted, "bits": bits}
    inputs = [x, *(m.const(f"pool.{name}", value) for name, value in parts.items())]
    x = m("Trunc", inputs, "pool", signed=0, narrow=0, rounding_mode=rounding)
    x = m("Flatten", [x], axis=1)
    features = 6 * (8 // window) ** 2
    x = m("MatMul", [x, m.bipolar(m.const("fc", m.latent(features, 5)), "fcq")])
    x = m("Add", [x, m.const("fcb", m.rng.normal(0, 1, 5))])  # no two scores are equal
    return m.model((1, 3, 10, 10), x, (1, 5))


def qcdq(seed: int = 0, input_scale: float = 2.0**-8, step: float = 0.25, unit: float = 1) -> onnx.ModelProto:
    """QuantizeLinear, Clip, DequantizeLinear: 4-bit weights with a scale each, 3- and 8-bit activations.

    With powers of two as scales (``input_scale``, the activations' ``step``, the weights' ``unit``)
    the file's own float32 sums are exact.
    """
    m = Maker(seed)

    def pair(x: str, name: str, scale: float, zero: int, kind: Any, clip: tuple[int, int] | None) -> str:
        s, z = m.const(f"{name}.s", np.float32(scale)), m.const(f"{name}.z", zero, kind)
        q = m("QuantizeLinear", [x, s, z], name)
        if clip:
            ends = [m.const(f"{name}.{n}", v, kind) for n, v in zip(("low", "high"), clip, strict=True)]
            q = m("Clip", [q, *ends], name)
        return m("DequantizeLinear", [q, s, z], name)

    x = pair("x", "q0", input_scale, 3, np.uint8, None)
    for i, (inner, outer) in enumerate(((3, 7), (7, 5))):
        scales = m.const(f"w{i}.s", unit * 2.0 ** m.rng.integers(-6, -2, outer))
        zero = m.const(f"w{i}.z", np.zeros(outer), np.int8)
        stored = m.const(f"w{i}.q", m.rng.integers(-8, 8, (outer, inner, 3, 3)), np.int8)
        weight = m("DequantizeLinear", [stored, scales, zero], f"w{i}", axis=0)
        x = m("Conv", [x, weight], f"conv{i}", kernel_shape=[3, 3], pads=[1, 1, 0, 0])
        x = pair(m.norm(x, outer, f"bn{i}"), f"a{i}", step, 0, np.uint8, (0, 7))
    x = m("Flatten", [x], axis=1)
    weight = m.bipolar(m.const("fc.weight", m.latent(4, 20)), "w9", np.full((4, 1), 0.3))
    x = m("Gemm", [x, weight], "fc", transB=1)
    return m.model((1, 3, 4, 4), x, (1, 4))


NETS = {
    "brevitas-torchscript": (brevitas_torchscript, "3x4x4,mean=0,std=1"),
    "brevitas-dynamo": (brevitas_dynamo, "3x8x8,mean=0,std=1"),
    "finn": (finn, None),
    "qkeras": (qkeras, "2x5x5,mean=0,std=1"),
    "brevitas-trunc": (truncated, "3x10x10,mean=0,std=1"),
    "qcdq": (qcdq, "3x4x4,mean=0,std=1"),
}
"""The networks and the --input that says what they are fed; FINN's file says it itself."""
