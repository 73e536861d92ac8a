"""All files of a build folder, put together from the emitters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from xnorhw import pack
from xnorhw.board import Board
from xnorhw.emit import engine, hls, hls_project, host, notebook, pynq, registers, rom, rtl, sim, vivado
from xnorhw.emit.cpu_report import make_cpu_report
from xnorhw.emit.report import make_report, report_json
from xnorhw.emit.report_page import report_html
from xnorhw.emit.store import Samples, data_files, plan_bytes
from xnorhw.emit.summary import Summary
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.registers import ABI_MAJOR, ABI_MINOR
from xnorhw.ir.serial import dump_npz, encode
from xnorhw.plan import folding_of, write_folding
from xnorhw.plan.model import Plan

__all__ = ["build_files", "build_hash", "cpu_files", "cpu_hash"]

PREFIX = "accel"
"""What every generated module and memory file begins with."""

HASH_BYTES = 8
HLS_VECTORS = ("input.hex", "result.hex")
"""What the testbench of the C++ core reads."""


def build_hash(graph: IntGraph, plan: Plan) -> int:
    """The 64-bit number in the registers: the head of SHA-256 over plan, weight image and ABI.

    Why the host has a layer is no part of it, nor what was searched: asked for in another way, the same
    chip has the same number.
    """
    digest = hashlib.sha256(f"abi {ABI_MAJOR}.{ABI_MINOR}\n".encode())
    digest.update(plan_bytes(replace(plan, on_host=(), proof=None, trade=None, trimmed=())))
    digest.update(pack.weight_image(plan, graph))
    return int.from_bytes(digest.digest()[:HASH_BYTES], "big")


def cpu_hash(graph: IntGraph) -> int:
    """The 64-bit number that names a build for the CPU alone: the head of SHA-256 over its graph."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    digest = hashlib.sha256(dump_npz(encode(graph, arrays), arrays))
    return int.from_bytes(digest.digest()[:HASH_BYTES], "big")


def cpu_files(
    summary: Summary,
    graph: IntGraph,
    samples: Samples,
    scores: npt.NDArray[np.float32],
    number: int,
) -> dict[str, bytes]:
    """The files of a build for the CPU alone, as ``build_files`` gives those of an accelerator.

    ``scores``: golden's for the samples.
    """
    report = make_cpu_report(graph, summary, number)
    return {
        **{name: text.encode("utf-8") for name, text in engine.engine_files(graph, prefix=PREFIX).items()},
        **engine.vectors(graph, samples.codes.astype(np.int64), scores),
        **data_files(graph, None, samples),
        "report.json": report.json(),
        "report.html": report.html(None),
    }


def build_files(
    summary: Summary,
    graph: IntGraph,
    plan: Plan,
    board: Board,
    samples: Samples,
    tensors: Mapping[str, npt.NDArray[np.int64]],
    answers: pynq.Answers,
    number: int,
) -> dict[str, bytes]:
    """Path in the build folder -> contents, but for model.pt, build.json and the log.

    ``tensors``: the golden model's tensors of the first frames, which go with the bench in
    sim/.  ``answers``: what the golden model says to the samples, for the overlay's self-test
    and ``make -C host check``.  ``number``: the build hash.
    """
    report = make_report(graph, plan, number)
    design = vivado.block_design(plan, board, prefix=PREFIX)
    vectors = sim.vectors(plan, graph, tensors)
    cpu = engine.files(graph, plan, prefix=PREFIX)
    texts = {
        **rtl.files(plan, number, prefix=PREFIX),
        **rom.files(plan, graph, prefix=PREFIX),
        **hls.files(plan, graph, prefix=PREFIX),
        **hls_project.files(plan, prefix=PREFIX),
        **vivado.files(plan, board, prefix=PREFIX),
        **registers.files(plan, board, design, prefix=PREFIX),
        **cpu,
        **notebook.files(cpu, title=board.title, package=pynq.package_name(PREFIX), prefix=PREFIX),
        **host.files(plan, board, number, prefix=PREFIX),
        **sim.files(plan, number, prefix=PREFIX),
        **vectors,
        **{f"hls/vectors/{name}": vectors[f"sim/vectors/{name}"] for name in HLS_VECTORS},
        "folding.json": write_folding(folding_of(plan), graph),
    }
    return {
        **{name: text.encode("utf-8") for name, text in texts.items()},
        **engine.vectors(graph, samples.codes.astype(np.int64), answers.scores),
        **pynq.files(graph, plan, board, samples, answers, number, prefix=PREFIX),
        **data_files(graph, plan, samples, design),
        "report.json": report_json(report),
        "report.html": report_html(report, graph, plan, summary, design, None),
    }
