"""Plan and graph -> the PYNQ overlay package: a static driver and a generated description.

What the host computes in front of the chip and behind it is the golden model itself: the
package carries copies of its sources, so that there is one text of each operation.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import ir, resources
from xnorhw.board import Board
from xnorhw.emit.folder import json_bytes
from xnorhw.emit.jinja import one_line, render
from xnorhw.emit.registers import vlnv
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.store import Samples
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.registers import ABI_MAJOR, ABI_MINOR, ERRORS, IDENTITY, REGISTERS
from xnorhw.ir.serial import dump_npz, encode
from xnorhw.plan.engine import element_dtype
from xnorhw.plan.model import Frame, Plan

__all__ = ["FRAMES", "Answers", "files", "package_name"]

FRAMES = 16
"""At most so many frames go into the package for its self-test."""

_STATIC = ("Makefile", "wheel_backend.py")
_RENDERED = ("README.md", "pyproject.toml")

_PACKAGE = Path(ir.__file__).resolve().parent.parent
_ROOTS = ("xnorhw.golden.run", "xnorhw.ir.serial")
"""What the package carries of xnorhw, with all that these import."""


@dataclass(frozen=True)
class Answers:
    """What the golden model says to the frames of ``Samples``, in their order.

    ``sums`` [N, C, H, W]: the plan's output tensor, as it leaves the chip.  ``scores``
    float32 [N, ...]: the network's scores.
    """

    sums: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def package_name(prefix: str = "accel") -> str:
    """The name under which the board's Python imports the package."""
    return f"xnorhw_{prefix}"


def files(
    graph: IntGraph,
    plan: Plan,
    board: Board,
    samples: Samples,
    answers: Answers,
    number: int,
    prefix: str = "accel",
) -> dict[str, bytes]:
    """The folder ``pynq/`` of a build: path inside the build folder -> contents.

    ``number``: the build hash.  The same arguments give the same bytes.
    """
    check_prefix(prefix)
    package = package_name(prefix)
    description = _description(graph, plan, board, number, prefix)
    values: dict[str, object] = {
        "board": board,
        "prefix": prefix,
        "package": package,
        "build_hash": f"{number:016x}",
        "title": one_line(board.title),
        "description": description,
        "registers": REGISTERS,
        "errors": ERRORS,
        "abi_major": ABI_MAJOR,
        "abi_minor": ABI_MINOR,
    }
    texts = {name: resources.read_text(f"templates/pynq/{name}") for name in _STATIC}
    texts |= {name: render(f"pynq/{name}.j2", **values) for name in _RENDERED}
    inside = {
        f"{name}.py": resources.read_text(f"templates/pynq/package/{name}.py")
        for name in resources.list_names("templates/pynq/package", ".py")
    }
    inside["__init__.py"] = inside["__init__.py"].replace("xnorhw_accel", package)
    inside["registers.py"] = render("pynq/registers.py.j2", **values)
    inside["bitstream/__init__.py"] = f'"""Where the wheel puts {prefix}.bit and {prefix}.hwh."""\n'
    inside["notebooks/__init__.py"] = '"""What `pynq get-notebooks` delivers."""\n'
    inside |= {f"reference/{name}": text for name, text in _reference(package).items()}
    texts |= {f"{package}/{name}": text for name, text in inside.items()}
    binary = {
        f"{package}/description.json": json_bytes(description),
        f"{package}/network.npz": _network(graph, plan),
        f"{package}/samples.npz": _samples(graph, samples, answers),
    }
    found = {name: text.encode("utf-8") for name, text in texts.items()} | binary
    return {f"pynq/{name}": found[name] for name in sorted(found)}


def _description(graph: IntGraph, plan: Plan, board: Board, number: int, prefix: str) -> dict[str, Any]:
    kind = graph.input_tensor.type
    assert kind is not None
    figures = plan.figures
    return {
        "name": prefix,
        "title": board.title,
        "board": plan.board,
        "vlnv": vlnv(prefix),
        "identity": IDENTITY,
        "abi_major": ABI_MAJOR,
        "abi_minor": ABI_MINOR,
        "build_hash": f"{number:016x}",
        "beat_bytes": plan.input_frame.beat_bits // 8,
        "given": {
            "shape": list(graph.input.shape),
            "chw": list(graph.input_tensor.shape),
            "dtype": element_dtype(kind),
            "low": kind.min,
            "high": kind.max,
            "bipolar": kind.is_bipolar,
            "scale": graph.input.scale,
        },
        "input": _frame(graph, plan.input_tensor, plan.input_frame),
        "output": _frame(graph, plan.output_tensor, plan.output_frame),
        "classes": int(np.prod(graph.score_shape)),
        "planned": {
            "clock_mhz": plan.clock_mhz,
            "cycles_per_frame": figures.cycles_per_frame,
            "latency_cycles": figures.latency_cycles,
            "fps": figures.fps,
        },
    }


def _frame(graph: IntGraph, tensor: str, frame: Frame) -> dict[str, Any]:
    kind = graph.tensor(tensor).type
    return {
        "chw": list(graph.tensor(tensor).shape),
        "element_bits": frame.element_bits,
        "bipolar": kind is not None and kind.is_bipolar,
        "beats": frame.beats,
        "bytes": frame.beats * frame.beat_bits // 8,
    }


def _network(graph: IntGraph, plan: Plan) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {}
    tree = encode((graph.front(plan.input_tensor), graph.back(plan.output_tensor)), arrays)
    return dump_npz(tree, arrays)


def _samples(graph: IntGraph, samples: Samples, answers: Answers) -> bytes:
    kind = graph.input_tensor.type
    assert kind is not None
    codes = samples.codes[:FRAMES]
    frames = len(codes)
    arrays: dict[str, npt.NDArray[Any]] = {
        "inputs": codes.reshape(frames, *graph.input.shape).astype(element_dtype(kind)),
        "sums": answers.sums[:frames].astype(np.int32),
        "scores": answers.scores[:frames].reshape(frames, -1).astype(np.float32),
    }
    real = min(samples.real, frames)
    if samples.labels is not None:
        arrays["labels"] = samples.labels[:real]
    return dump_npz({"real": real}, arrays)


def _reference(package: str) -> dict[str, str]:
    """The golden model's sources, importing each other from inside of ``package``."""
    texts: dict[str, str] = {}
    waiting = list(_ROOTS)
    while waiting:
        module = waiting.pop()
        name = module.removeprefix("xnorhw.").replace(".", "/") + ".py"
        if name in texts:
            continue
        text = (_PACKAGE / name).read_text(encoding="utf-8")
        texts[name] = re.sub(r"\bxnorhw(?=\.(?:ir|golden)\b)", f"{package}.reference", text)
        waiting += _imported(text)
    folders = {name.rpartition("/")[0] for name in texts} | {""}
    note = '"""Sources of xnorhw\'s golden model, as they were at the time of the build."""\n'
    return {**{f"{folder}/__init__.py".lstrip("/"): note for folder in folders}, **texts}


def _imported(text: str) -> list[str]:
    """The modules of xnorhw that a source imports, each as ``from xnorhw.room.module import ...``."""
    return [
        node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("xnorhw.")
    ]
