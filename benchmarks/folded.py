"""Small designs of any network: what is compared in simulation need not be fast, and compiles in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from xnorhw.board import Board, load_board
from xnorhw.ir.errors import FitError
from xnorhw.ir.int_graph import IntGraph, Product
from xnorhw.plan import Folding, LayerFolding, folding_of, make_plan
from xnorhw.plan.model import Plan

__all__ = ["BOARDS", "LANES", "LIMITLESS", "boards", "small_plan"]

BOARDS = ("pynq-z2", "kv260", "zcu104")
LIMITLESS = "none"
"""Stands for a board of unlimited size, where none of the real ones holds a design."""

LANES = 1024
"""Binary products a clock, about."""

LEAST_CYCLES = 2000

MANY_WEIGHTS = 1 << 22
NATIVE_BITS = 64
"""A C++ compiler takes minutes for millions of weights, many more where a word of them is no number."""


def boards() -> Iterator[tuple[str, Board]]:
    """The boards from the smallest on; behind them the largest one's ports with room for anything."""
    for name in BOARDS:
        yield name, load_board(name)
    largest = load_board(BOARDS[-1])
    budget = replace(largest.budget, lut=1e9, ff=1e9, bram36=1e7, dsp=1e7)
    yield LIMITLESS, replace(largest, budget=budget)


def small_plan(graph: IntGraph, board: Board) -> Plan:
    """A design at the pace of ``LANES`` lanes; raises ModelError and FitError as ``make_plan``."""
    rate = board.clock_mhz * 1e6 / max(LEAST_CYCLES, macs(graph) // LANES)
    try:
        plan = make_plan(graph, board, target_fps=rate)
    except FitError:
        # a pool may be what sets the pace
        plan = make_plan(graph, board, target_fps=rate / 2)
    if sum(layer.weight_bits for layer in plan.layers) < MANY_WEIGHTS:
        return plan
    folding = folding_of(plan)
    narrow = tuple(_narrow(graph, layer) for layer in folding.layers)
    return make_plan(graph, board, folding=Folding(narrow, folding.pools))


def _narrow(graph: IntGraph, layer: LayerFolding) -> LayerFolding:
    """As many lanes with words of no more than ``NATIVE_BITS`` weights."""
    op = graph.node(layer.name).op
    assert isinstance(op, Product)
    if layer.simd <= NATIVE_BITS:
        return layer
    outputs, channels = op.terms[0].weight.shape[:2]
    simd = min(channels, NATIVE_BITS)
    return replace(layer, pe=min(outputs, -(-layer.pe * layer.simd // simd)), simd=simd, memory="auto")


def macs(graph: IntGraph) -> int:
    """Binary multiply-accumulates of a frame, those of each term."""
    count = 0
    for node in graph.nodes:
        if isinstance(node.op, Product):
            _, height, width = node.output.shape
            count += sum(term.weight.size for term in node.op.terms) * height * width
    return count
