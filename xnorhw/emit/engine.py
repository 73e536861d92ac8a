"""Integer graph -> the CPU engine: C11 that runs the network on a processor alone.

With a plan also what the host computes around the accelerator: input to packed frames, sums
to scores.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xnorhw import resources
from xnorhw.emit.engine_network import network_files
from xnorhw.emit.jinja import render
from xnorhw.emit.rtl import check_prefix
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import IntType
from xnorhw.plan.engine import element_dtype, engine_network
from xnorhw.plan.model import Plan

__all__ = ["engine_files", "files", "static_sources", "vectors"]

_HEADERS_AND_SOURCES = (".h", ".c")
_VECTOR_BYTES = 1 << 18


def files(graph: IntGraph, plan: Plan, prefix: str = "accel") -> dict[str, str]:
    """The engine of a build: path inside the build folder (``host/...``) -> text.

    ``host/<prefix>_engine.h`` is the one header that a program includes; ``make -C out/host``
    makes the library and the program ``<prefix>-engine``.
    """
    return _files(graph, plan, prefix)


def engine_files(graph: IntGraph, prefix: str = "accel") -> dict[str, str]:
    """The same for a network without an accelerator, as one that fits no chip."""
    return _files(graph, None, prefix)


def _files(graph: IntGraph, plan: Plan | None, prefix: str) -> dict[str, str]:
    check_prefix(prefix)
    network = engine_network(graph, plan)
    kind = graph.input_tensor.type
    assert kind is not None
    values = {
        "prefix": prefix,
        "P": prefix.upper(),
        "network": network,
        "plan": plan,
        "shape": graph.input_tensor.shape,
        "input_type": f"{element_dtype(kind)}_t",
        "input_bytes": math.prod(graph.input_tensor.shape) * np.dtype(element_dtype(kind)).itemsize,
        "input_comment": _input_comment(kind),
        "low": kind.min,
        "high": kind.max,
        "image": _image(graph),
    }
    if plan is not None:
        values |= {
            "frame_bytes": plan.input_frame.beats * plan.input_frame.beat_bits // 8,
            "result_bytes": plan.output_frame.beats * plan.output_frame.beat_bits // 8,
            "sums": math.prod(graph.tensor(plan.output_tensor).shape),
        }
    texts = {
        f"{prefix}_engine.h": render("host/accel_engine.h.j2", **values),
        f"engine/{prefix}_engine.c": render("host/accel_engine.c.j2", **values),
        "engine_main.c": render("host/engine_main.c.j2", **values),
        "Makefile": render("host/Makefile.j2", **values),
        "README.md": render("host/README.md.j2", **values),
        **network_files(network, prefix),
        **{f"engine/{name}": resources.read_text(f"templates/engine/{name}") for name in static_sources()},
    }
    return {f"host/{name}": text for name, text in sorted(texts.items())}


def vectors(
    graph: IntGraph, codes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]
) -> dict[str, bytes]:
    """Frames and right answers for ``make check``: input codes [N, C, H, W], golden scores [N, ...].

    As many frames as stay below a quarter of a megabyte, at least one.
    """
    kind = graph.input_tensor.type
    assert kind is not None
    count = max(1, min(len(codes), _VECTOR_BYTES // math.prod(graph.input_tensor.shape)))
    frames = codes[:count].transpose(0, 2, 3, 1).astype(np.dtype(element_dtype(kind)).newbyteorder("<"))
    return {
        "host/vectors/frames.bin": frames.tobytes(),
        "host/vectors/scores.bin": np.ascontiguousarray(scores[:count], "<f4").tobytes(),
    }


def static_sources() -> tuple[str, ...]:
    """The names of the engine's own sources, the same for every network."""
    return tuple(
        sorted(
            f"{name}{end}"
            for end in _HEADERS_AND_SOURCES
            for name in resources.list_names("templates/engine", end)
        )
    )


def _input_comment(kind: IntType) -> str:
    if kind.is_bipolar:
        return "An input element: -1 or +1."
    if (kind.min, kind.max) == (0, 255):
        return "An input element: a pixel or code, 0 to 255."
    return f"An input element: a code, {kind.min} to {kind.max}."


def _image(graph: IntGraph) -> str:
    """The kind of image that holds a frame: PGM, PPM, or none."""
    kind = graph.input_tensor.type
    assert kind is not None
    if len(graph.input.shape) != 3 or (kind.min, kind.max) != (0, 255):
        return ""
    return {1: "PGM", 3: "PPM"}.get(graph.input.shape[0], "")
