"""An ONNX file -> a list of nodes and constants of our own.  Nothing of the file is executed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError

__all__ = ["Graph", "Node", "from_proto", "import_onnx", "read_graph", "refuse"]

Array = npt.NDArray[Any]

CUSTOM_DOMAINS = (
    "qonnx.custom_op.general",
    "finn.custom_op.general",
    "onnx.brevitas",
    "qonnx.custom_op.channels_last",
)
_STANDARD = ("", "ai.onnx")
_MOST = (1 << 31) - 1
"""Protocol buffers have no longer messages."""


@dataclass(frozen=True)
class Node:
    """One operation: ``inputs`` with "" for those left out; ``note`` is its doc_string."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    note: str = ""

    def refuse(self, reason: str, remedy: str) -> NoReturn:
        """Raise the ModelError for this node, with its operation."""
        raise ModelError(f"({self.op}) {reason}", module=self.name, remedy=remedy)

    @property
    def custom(self) -> bool:
        """True for QONNX's own operations, in any of their domains."""
        return self.domain not in _STANDARD


@dataclass(frozen=True)
class Graph:
    """A graph with one input and one result; shapes with the batch, None where a size is open."""

    nodes: tuple[Node, ...]
    constants: dict[str, Array]
    input: str
    shape: tuple[int | None, ...]
    output: str
    types: dict[str, str]
    opset: int
    producer: str
    properties: dict[str, str]


def refuse(where: str, reason: str, remedy: str) -> NoReturn:
    """ModelError for the part of the file called ``where``."""
    raise ModelError(reason, module=where, remedy=remedy)


def import_onnx() -> Any:
    """The package onnx.  ModelError where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise ModelError(
            "the Python package onnx is not installed",
            module="ONNX",
            remedy='Install it: pip install "xnorhw[onnx]"',
        ) from None
    return onnx


def read_graph(path: Path) -> Graph:
    """The graph in a file.

    ModelError: a damaged file, one without its external data, several inputs or outputs,
    operations of packages that nobody knows, functions and training parts.
    """
    onnx = import_onnx()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        if path.stat().st_size > _MOST:
            refuse(
                str(path),
                "has more than the 2 GiB that an ONNX file can have",
                "Export it with its weights in a file of their own; what reads it takes both",
            )
        proto = onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, ValueError, TypeError, RuntimeError):
        refuse(
            str(path), "is no ONNX file, or it is cut off", "Copy or export it again, and compare its size"
        )
    except (OSError, MemoryError) as error:
        refuse(str(path), f"cannot be read: {error}", "Give the path of an .onnx file")
    return from_proto(proto, path.parent, str(path))


def from_proto(proto: Any, folder: Path, where: str) -> Graph:
    """The same of a message that was read; external data lies under ``folder``."""
    graph = proto.graph
    if not graph.node:
        refuse(
            where, "is no ONNX file with a network in it: it has no nodes", "Copy or export the file again"
        )
    if len(proto.functions):
        refuse(
            where,
            f"defines functions of its own ({proto.functions[0].name})",
            "Export it without functions: they are inlined by onnx.inliner.inline_local_functions",
        )
    if graph.sparse_initializer:
        refuse(where, "holds sparse tensors", "Export it with dense ones")
    constants = {t.name: _tensor(t, folder, where) for t in graph.initializer}
    nodes = tuple(_node(n, i, folder, where) for i, n in enumerate(graph.node))
    # exporters list the parameters among the inputs too
    inputs = [v for v in graph.input if v.name not in constants]
    read = {name for node in nodes for name in node.inputs}
    used = [v for v in inputs if v.name in read] or inputs
    if len(used) != 1:
        names = ", ".join(v.name for v in used) or "none"
        refuse(
            where,
            f"has {len(used)} inputs: {names}; a network here has one",
            "Export the network with one input",
        )
    made = {name for node in nodes for name in node.outputs}
    outputs = [v.name for v in graph.output]
    if len(outputs) != 1:
        refuse(
            where,
            f"has {len(outputs)} results: {', '.join(outputs)}; a network here has one",
            "Export the network with the scores as its one result",
        )
    if outputs[0] not in made:
        refuse(
            where, f"has a result, {outputs[0]}, that no node of it makes", "Copy or export the file again"
        )
    return Graph(
        nodes,
        constants,
        used[0].name,
        _shape(used[0], where),
        outputs[0],
        _types(graph),
        next((o.version for o in proto.opset_import if o.domain in _STANDARD), 1),
        proto.producer_name,
        {p.key: p.value for p in proto.metadata_props},
    )


def _shape(value: Any, where: str) -> tuple[int | None, ...]:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        refuse(
            where,
            f"does not say what shape its input {value.name} has",
            "Export it with the shape of one frame, as torch.onnx.export does with an example input",
        )
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim)


def _types(graph: Any) -> dict[str, str]:
    """What FINN's annotations say of a tensor's integers, by the tensor's name."""
    return {
        note.tensor_name: pair.value
        for note in graph.quantization_annotation
        for pair in note.quant_parameter_tensor_names
        if pair.key == "finn_datatype"
    }


def _node(node: Any, index: int, folder: Path, where: str) -> Node:
    onnx = import_onnx()
    name = node.name or (node.output[0] if node.output else "") or f"{node.op_type}_{index}"
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError:
            refuse(name, f"has an attribute {attribute.name} that cannot be read", "Export the file again")
        if isinstance(value, onnx.TensorProto):
            value = _tensor(value, folder, where)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    known = node.domain in _STANDARD or node.domain in CUSTOM_DOMAINS
    if not known:
        raise ModelError(
            f"({node.op_type}) belongs to the domain {node.domain!r}, of which nothing is known here",
            module=name,
            remedy="Export the network as QONNX, whose operations are those of qonnx.custom_op.general",
        )
    return Node(
        name, node.op_type, node.domain, tuple(node.input), tuple(node.output), found, node.doc_string
    )


def _tensor(tensor: Any, folder: Path, where: str) -> Array:
    onnx = import_onnx()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, folder, where)
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor, base_dir=str(folder)))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, onnx.checker.ValidationError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        refuse(where, f"holds a tensor {tensor.name!r} that cannot be read: {text}", "Export the file again")


def _check_external(tensor: Any, folder: Path, where: str) -> None:
    """Refuse data outside of the file's folder, data that is missing, and data that is too short."""
    said = {e.key: e.value for e in tensor.external_data}
    location = said.get("location", "")
    parts = PurePosixPath(location.replace("\\", "/"))
    if not location or parts.is_absolute() or ".." in parts.parts or ":" in location:
        refuse(
            where,
            f"takes the tensor {tensor.name!r} from {location!r}, outside of its folder",
            "Export the file again, with its data beside it",
        )
    data = folder / parts
    if data.is_symlink() and not data.resolve().is_relative_to(folder.resolve()):
        refuse(
            where, f"takes its tensors from {location!r}, a link out of its folder", "Copy the data itself"
        )
    if not data.is_file():
        refuse(
            where,
            f"keeps its weights in a file of their own, {location!r}, which is not beside it",
            f"Copy {location} into the folder {folder}, from where the network was exported",
        )
    size, numbers = data.stat().st_size, [said.get(k, "0") or "0" for k in ("offset", "length")]
    if not all(n.isdigit() for n in numbers):
        refuse(where, f"places the tensor {tensor.name!r} at no offset that is one", "Export the file again")
    offset, length = (int(n) for n in numbers)
    if offset + length > size:
        refuse(
            where,
            f"takes {length} bytes at {offset} of {location!r} for the tensor {tensor.name!r}, and the file "
            f"has {size}",
            "It is cut off, or belongs to another export: copy both files again",
        )
