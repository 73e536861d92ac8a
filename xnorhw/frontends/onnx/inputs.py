"""What a network of a file is fed: said by the file's annotations or by the user, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.foreign.base import Decision, InputSpec, ask_input, parse_input, refuse
from xnorhw.frontends.onnx.graph import Graph
from xnorhw.ir.float_graph import Input

__all__ = ["INPUT_KEY", "Fed", "fed_by"]

Float32 = npt.NDArray[np.float32]
INPUT_KEY = "xnorhw.input"
"""The property of a file that xnorhw wrote: its input, as --input takes it."""
_ELEMENTWISE = ("Mul", "Div", "Add", "Sub", "Identity", "Cast", "Dropout", "Relu")


@dataclass(frozen=True)
class Fed:
    """The declared input; where it is made of raw pixels, what the file's input is for each.

    ``pixels`` float32 [C or 1, 256] or None.  ``last``: the file has the channels last.
    """

    input: Input
    pixels: Float32 | None
    last: bool
    decisions: tuple[Decision, ...]


def fed_by(graph: Graph, said: str | None, where: str) -> Fed:
    """What the user said, else what the file says.  ModelError where neither does, or they differ."""
    last = _channels_last(graph)
    spec, why = _spec(graph, said, where, last)
    shape = _shape(graph, spec, where, last)
    decisions = []
    if last:
        decisions.append(
            Decision("layout", "channels first", "the file has them last; the built network takes (C, H, W)")
        )
    if spec.is_pixels and spec.bits is not None:
        refuse(
            "--input",
            "rounds the pixels to codes, and an ONNX file says by its own nodes what is rounded",
            "Leave bits out; a network without a quantiser in front of its first layer takes codes: "
            "--input SHAPE,bits=8",
        )
    if spec.is_pixels:
        assert spec.mean is not None and spec.std is not None
        pixels = (np.arange(256, dtype=np.float32) / np.float32(255))[None]
        mean, std = (np.array(v, np.float32)[:, None] for v in (spec.mean, spec.std))
        decisions.append(Decision("input", "pixels 0..255, divided by 255 and normalised", why))
        return Fed(Input(shape), (pixels - mean) / std, last, tuple(decisions))
    declared = InputSpec(shape, codes=spec.codes, bipolar=spec.bipolar).declared()
    what = "-1 and +1" if spec.bipolar else f"codes, {declared.bits} bits, scale {declared.scale:g}"
    decisions.append(Decision("input", what, why))
    raw = declared == Input(shape)
    return Fed(declared, np.arange(256, dtype=np.float32)[None] if raw else None, last, tuple(decisions))


def _spec(graph: Graph, said: str | None, where: str, last: bool) -> tuple[InputSpec, str]:
    shape: tuple[int, ...] = ()
    if said is not None:
        spec = parse_input(said)
        if spec.is_pixels or spec.codes is not None or spec.bipolar:
            return spec, "as --input says"
        shape = spec.shape
    own = graph.properties.get(INPUT_KEY)
    if own is not None:
        return replace(parse_input(own), shape=shape), "as the file says, which xnorhw wrote"
    kind = graph.types.get(graph.input, "")
    found = _of_type(kind)
    if found is not None:
        return replace(found, shape=shape), f"the file annotates it as {kind}"
    known: Sequence[int | None] = graph.shape[1:]
    if shape:
        known = shape
    elif last and len(known) == 3:
        known = (known[2], known[0], known[1])
    ask_input(where, "x".join(map(str, known)) if known and all(known) else None)


def _of_type(kind: str) -> InputSpec | None:
    if kind in ("BIPOLAR", "BINARY"):
        return InputSpec((), bipolar=True) if kind == "BIPOLAR" else InputSpec((), codes=(1, False, 1.0))
    match = re.fullmatch(r"(U?)INT([1-8])", kind)
    if match is None:
        return None
    return InputSpec((), codes=(int(match[2]), not match[1], 1.0))


def _shape(graph: Graph, spec: InputSpec, where: str, last: bool) -> tuple[int, ...]:
    """The shape (C, H, W) or (features,) of a frame."""
    sizes = graph.shape[1:]
    if len(graph.shape) not in (2, 4):
        refuse(
            where,
            f"takes tensors of the shape {_words(graph.shape)}, and a network here takes frames "
            "(N, C, H, W) or (N, features)",
            "Export it with such an input",
        )
    if graph.shape[0] not in (None, 1):
        refuse(
            where,
            f"takes batches of {graph.shape[0]} frames",
            "Export it with one frame, or with the batch as a dynamic axis",
        )
    if last:
        sizes = (sizes[2], sizes[0], sizes[1])
    told = spec.shape
    if None not in sizes:
        found = tuple(int(s) for s in sizes if s is not None)
        if told and told != found:
            refuse(
                "--input",
                f"says {'x'.join(map(str, told))}, and the file takes {'x'.join(map(str, found))}",
                "Give the file's own shape",
            )
        return found
    if len(told) != len(sizes) or any(a is not None and a != b for a, b in zip(sizes, told, strict=True)):
        refuse(
            where,
            f"leaves the size of its input open: {_words(graph.shape)}",
            "Say it: --input 3x32x32,... (channels, height, width), or export it with fixed sizes",
        )
    return told


def _words(shape: Sequence[int | None]) -> str:
    return f"({', '.join('?' if s is None else str(s) for s in shape)})"


def _channels_last(graph: Graph) -> bool:
    """True where the first thing that moves the input's axes makes channels first of channels last."""
    if len(graph.shape) != 4:
        return False
    names = {graph.input}
    for node in graph.nodes:
        if not node.inputs or not names & set(node.inputs):
            continue
        if node.op == "Transpose":
            perm = node.attributes.get("perm")
            return isinstance(perm, list | tuple) and list(perm) == [0, 3, 1, 2]
        if (
            node.op in _ELEMENTWISE
            or node.custom
            or node.op in ("QuantizeLinear", "DequantizeLinear", "Clip")
        ):
            names.update(node.outputs)
    return False
