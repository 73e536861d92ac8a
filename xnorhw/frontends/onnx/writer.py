"""The parts of an ONNX file while it is written: nodes, tensors, annotations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.onnx.graph import import_onnx
from xnorhw.frontends.onnx.inputs import INPUT_KEY
from xnorhw.ir import float_graph as fg
from xnorhw.ir.geometry import WindowGeometry

__all__ = ["Writer", "int_type", "layout", "window"]

DOMAIN = "qonnx.custom_op.general"
OPSET = 13
Array = npt.NDArray[Any]


class Writer:
    def __init__(self, graph: fg.FloatGraph) -> None:
        self.onnx = import_onnx()
        self.graph = graph
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.types: dict[str, str] = {}
        self.shapes = {node.output.name: node.output.shape for node in graph.nodes}

    def model(self) -> Any:
        """The file of what was emitted, as an onnx.ModelProto."""
        helper, graph = self.onnx.helper, self.graph
        info = helper.make_tensor_value_info
        given = info(graph.INPUT_NAME, self.onnx.TensorProto.FLOAT, [1, *graph.input.shape])
        result = info(graph.output, self.onnx.TensorProto.FLOAT, [1, *graph.node(graph.output).output.shape])
        made = helper.make_graph(self.nodes, "xnorhw", [given], [result], self.tensors)
        self._annotate(made)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 2)]
        model = helper.make_model(made, opset_imports=opsets, producer_name="xnorhw", ir_version=8)
        helper.set_model_props(model, {INPUT_KEY: said(graph.input)})
        return model

    def _annotate(self, made: Any) -> None:
        declared = self.graph.input
        kind = "BIPOLAR" if declared.encoding == "bipolar" else int_type(declared.bits, declared.signed)
        if declared.scale == 1.0:
            self.types[self.graph.INPUT_NAME] = kind
        for name, datatype in sorted(self.types.items()):
            note = made.quantization_annotation.add()
            note.tensor_name = name
            pair = note.quant_parameter_tensor_names.add()
            pair.key, pair.value = "finn_datatype", datatype

    # what the writers below are made of

    def constant(self, name: str, values: npt.ArrayLike, dtype: Any = np.float32) -> str:
        """Add a tensor; its name."""
        self.tensors.append(self.onnx.numpy_helper.from_array(np.array(values, dtype, order="C"), name))
        return name

    def emit(
        self, op: str, name: str, inputs: list[str], made: str, note: str = "", **attributes: Any
    ) -> str:
        """Add a node that makes the tensor ``made``; its name."""
        domain = DOMAIN if op in ("Quant", "BipolarQuant", "MultiThreshold") else ""
        node = self.onnx.helper.make_node(op, inputs, [made], name=name, domain=domain, **attributes)
        node.doc_string = note
        self.nodes.append(node)
        return made

    def note(self, node: fg.FloatNode, **extra: Any) -> str:
        """A doc_string: the class of the PyTorch module, and what ONNX has no place for."""
        kind = self.graph.kind(node.output.name)
        return f"{kind} {json.dumps(extra, sort_keys=True)}" if extra else kind

    def rank(self, name: str) -> int:
        """Axes of a value, the batch with them."""
        return 1 + len(self.shapes[name])

    def per_channel(self, node: fg.FloatNode, values: Array) -> Array:
        """[C] so that it stands beside a tensor; [1] stays a scalar."""
        rank = self.rank(node.output.name)
        return values.reshape(()) if values.size == 1 else values.reshape(-1, *[1] * (rank - 2))

    def chain(self, node: fg.FloatNode, steps: list[Callable[[str, str, str], str]]) -> None:
        """The node's operations one behind the other; the last one makes the node's value."""
        name, read = node.output.name, node.input
        for i, step in enumerate(steps):
            label = name if i == 0 else f"{name}_{i}"
            read = step(label, read, name if i == len(steps) - 1 else f"{name}:{i}")

    def quantiser(self, read: str, label: str, made: str, note: str, op: dict[str, Any]) -> str:
        """A QONNX Quant: ``scale``, ``zero``, ``bits`` and ``signed`` of ``op``."""
        inputs = [read, *(self.constant(f"{label}:{k}", op[k]) for k in ("scale", "zero", "bits"))]
        return self.emit(
            "Quant", label, inputs, made, note, signed=op["signed"], narrow=0, rounding_mode="ROUND"
        )


def said(declared: fg.Input) -> str:
    """An input as --input takes it."""
    shape = "x".join(map(str, declared.shape))
    if declared.encoding == "bipolar":
        return f"{shape},bipolar"
    sign = ",signed" if declared.signed else ""
    scale = f"{declared.scale:g}"
    if declared.scale < 1:
        scale = f"1/{1 / declared.scale:.0f}"
    return f"{shape},bits={declared.bits}{sign},scale={scale}"


def int_type(bits: int, signed: bool) -> str:
    """An integer type as QONNX calls it."""
    return f"{'' if signed else 'U'}INT{bits}"


def layout(w: Writer, node: fg.FloatNode) -> dict[str, str]:
    """A MultiThreshold's data_layout."""
    return {"data_layout": "NCHW" if w.rank(node.output.name) == 4 else "NC"}


def window(geometry: WindowGeometry) -> dict[str, Any]:
    """A window as ONNX's attributes."""
    pads = geometry.pads
    return {
        "kernel_shape": list(geometry.kernel),
        "strides": list(geometry.stride),
        "pads": [pads.top, pads.left, pads.bottom, pads.right],
    }
