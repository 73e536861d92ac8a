"""ONNX: QONNX of Brevitas and QKeras, FINN's older dialect, and QuantizeLinear with DequantizeLinear."""

from __future__ import annotations

from pathlib import Path

from xnorhw.frontends.foreign.base import Imported, Kind, Options

__all__ = ["KINDS", "detect", "is_brevitas", "read"]

_MARKS = (b"qonnx.custom_op.general", b"finn.custom_op.general", b"onnx.brevitas", b"QuantizeLinear")


def detect(path: Path, head: bytes) -> str | None:
    """ONNX files begin with the field ir_version, a small number, and then say who wrote them."""
    if len(head) < 4 or head[0] != 0x08 or not 1 <= head[1] <= 0x20 or head[2] not in _SECOND:
        return None
    mark = next((m.decode() for m in _MARKS if m in head), None)
    return f"it begins as ONNX does (ir_version {head[1]})" + (f" and names {mark}" if mark else "")


_SECOND = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)
"""The keys of producer_name, producer_version, domain, model_version, doc_string, graph, opset_import,
metadata_props."""


def read(path: Path, options: Options) -> Imported:
    """The network in the file; see ``xnorhw.frontends.onnx.network``."""
    from xnorhw.frontends.onnx.network import read_file

    return read_file(path, options)


def is_brevitas(net: object) -> bool:
    """True where ``net``, or a module in it, is one of Brevitas."""
    modules = getattr(net, "modules", None)
    return callable(modules) and any(type(m).__module__.partition(".")[0] == "brevitas" for m in modules())


KINDS = (
    Kind(
        "onnx",
        "QONNX of Brevitas or QKeras, FINN's older ONNX, ONNX with QuantizeLinear",
        (".onnx", ".qonnx"),
        ("input",),
        detect,
        read,
    ),
)
