"""Build folders made without torch: what the PYNQ side reads of a build, and the RTL that it simulates."""

from __future__ import annotations

from pathlib import Path

import hand_networks as networks
import numpy as np

from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import engine, folder, notebook, pynq, registers, rom, rtl, sim, vivado
from xnorhw.emit.build import build_hash
from xnorhw.emit.store import Samples, data_files
from xnorhw.golden.codes import random_codes
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import make_plan
from xnorhw.plan.model import Plan

__all__ = ["answers", "overlay_files", "write"]


def answers(graph: IntGraph, plan: Plan, samples: Samples) -> pynq.Answers:
    """What the golden model says to the samples."""
    tensors = golden.run(graph, samples.codes)
    return pynq.Answers(tensors[plan.output_tensor], golden.scores(graph, tensors[graph.output]))


def overlay_files(graph: IntGraph, plan: Plan, samples: Samples, board: str, number: int) -> dict[str, bytes]:
    """The parts of a build that this room makes; ``number``: the build hash."""
    known = load_board(board)
    design = vivado.block_design(plan, known)
    host = engine.files(graph, plan)
    texts = {
        **registers.files(plan, known, design),
        **host,
        **notebook.files(host, title=known.title, package=pynq.package_name()),
    }
    return {
        **{name: text.encode() for name, text in texts.items()},
        **pynq.files(graph, plan, known, samples, answers(graph, plan, samples), number),
    }


def write(name: str, target: Path, board: str = "pynq-z2", seed: int = 1, frames: int = 16) -> Path:
    """Write a build of the hand-made network ``name`` with ``frames`` random samples into ``target``."""
    graph = networks.make(name, seed)
    known = load_board(board)
    plan = make_plan(graph, known)
    number = build_hash(graph, plan)
    codes = random_codes(graph, frames, seed=1).astype(np.int32)
    found = answers(graph, plan, Samples(codes, 0, None, np.zeros(0, np.int64)))
    labels = np.argmax(found.scores.reshape(frames, -1), axis=1).astype(np.int64)
    samples = Samples(codes, frames, labels, golden.run(graph, codes)[graph.output])
    texts = {**rtl.files(plan, number), **rom.files(plan, graph), **sim.files(plan, number)}
    files = {
        **{path: text.encode() for path, text in texts.items()},
        **data_files(graph, plan, samples, vivado.block_design(plan, known)),
        **overlay_files(graph, plan, samples, board, number),
        "model.pt": b"",
    }
    info = folder.BuildInfo(
        board, number, "", frames, None, plan.clock_mhz, "planned", (("numpy", np.__version__),)
    )
    folder.write(target, files, info)
    return target
