"""The report of a build: its figures, report.json for machines, the table for a terminal.

Every figure says where it comes from: ``formula`` (the plan), or in report.html, which shows the last
verdict beside it (``report_page``), ``simulated``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.emit.folder import json_bytes
from xnorhw.emit.trimmed import trimmed_json, trimmed_text
from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import FullProduct, HostFull, IntGraph, Product
from xnorhw.ir.types import type_for_range
from xnorhw.plan.layers import wire_bits
from xnorhw.plan.model import (
    LayerPlan,
    MatrixUnit,
    Plan,
    Proof,
    Resources,
    StartRom,
    TrimmedBuffer,
    WeightRom,
)

__all__ = [
    "FullLayer",
    "LayerReport",
    "Report",
    "Weights",
    "make_report",
    "proof_text",
    "report_json",
    "report_text",
]

FORMAT = "1.0"
SOURCE = "formula"
KINDS = ("lut", "ff", "bram36", "uram", "dsp")
CROWDED = 0.9
"""A share of the LUTs or flip-flops from which on routing is in doubt."""
KIND_NAMES = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM", "dsp": "DSP"}


@dataclass(frozen=True)
class LayerReport:
    """One layer and its pools on the chip.

    ``shape`` of what leaves it, ``efficiency`` the share of its lanes that work in steady
    state, ``work_cycles`` its part of the bound, ``weight_bits`` those of all its weights; ``pixels`` of
    its map a clock.
    """

    name: str
    shape: tuple[int, int, int]
    weight_shape: tuple[int, ...]
    pe: int
    simd: int
    input_bits: int
    cycles: int
    work_cycles: int
    macs: int
    efficiency: float
    weight_bits: int
    rom_bits: int
    memory: str
    resources: Resources
    pixels: int

    @property
    def bits_a_weight(self) -> int:
        """Bits of one weight: of an integer, or the number of its binary terms."""
        return self.weight_bits // prod(self.weight_shape)


@dataclass(frozen=True)
class FullLayer:
    """A layer in full precision: ``where`` it runs, "chip" or "host", and there ``reason``, if one is known.

    ``weight_bits``: of its widest weight as an integer; ``macs`` a frame.
    """

    name: str
    where: str
    weight_bits: int
    macs: int
    reason: str


@dataclass(frozen=True)
class Weights:
    """The chip's weight memory, the same weights in float32, and all ROM bits in bytes.

    ``binary_bits``: one bit a weight and term; ``integer_bits``: the bits of the integer weights of
    layers in full precision.  ``ratio`` is that of both to float32's.
    """

    binary_bits: int
    float32_bytes: int
    total_bytes: int
    ratio: float
    integer_bits: int = 0


@dataclass(frozen=True)
class Report:
    """What a build costs and reaches, by formula."""

    board: str
    part: str
    build_hash: int
    clock_mhz: float
    cycles_per_frame: int
    bound_cycles: int
    latency_cycles: int
    fps: float
    lanes: int
    resources: Resources
    shell: Resources
    budget: Resources
    weights: Weights
    layers: tuple[LayerReport, ...]
    rounding_dependent: tuple[tuple[str, int], ...]
    on_host: tuple[str, ...] = ()
    """Full-precision layers that the host runs: no figure here holds their time."""
    full_layers: tuple[FullLayer, ...] = ()
    """Every full-precision layer."""
    proof: Proof | None = None
    """How good the folding is; None where it was given."""
    trimmed: tuple[TrimmedBuffer, ...] = ()
    """The buffers whose depths a simulation told."""

    def to_json(self) -> dict[str, Any]:
        """The tree of report.json."""
        figures = {
            "cycles_per_frame": self.cycles_per_frame,
            "bound_cycles": self.bound_cycles,
            "latency_cycles": self.latency_cycles,
            "fps": self.fps,
            "lanes": self.lanes,
            "resources": _resources(self.resources),
        }
        # nothing is said of what a network has not
        weights = {key: value for key, value in vars(self.weights).items() if key != "integer_bits" or value}
        full = {"full_layers": [vars(layer) for layer in self.full_layers]} if self.full_layers else {}
        return {
            "format": "xnorhw-report",
            "version": FORMAT,
            "board": self.board,
            "part": self.part,
            "build_hash": f"{self.build_hash:016x}",
            "clock_mhz": self.clock_mhz,
            **figures,
            "shell": _resources(self.shell),
            "budget": _resources(self.budget),
            "weights": weights,
            "layers": [_layer_json(layer) for layer in self.layers],
            "on_host": list(self.on_host),
            **full,
            **({} if self.proof is None else {"proof": vars(self.proof)}),
            **({"trimmed": trimmed_json(self.trimmed)} if self.trimmed else {}),
            "rounding_dependent": [{"tensor": t, "channel": c} for t, c in self.rounding_dependent],
            "sources": dict.fromkeys((*figures, "shell", "weights", "layers"), SOURCE),
        }


def _resources(r: Resources) -> dict[str, float]:
    return {kind: getattr(r, kind) for kind in KINDS}


def _layer_json(layer: LayerReport) -> dict[str, Any]:
    tree = dict(vars(layer))
    tree.update(
        shape=list(layer.shape),
        weight_shape=list(layer.weight_shape),
        resources=_resources(layer.resources),
    )
    if layer.pixels == 1:
        # said where it is used: other reports read as they did
        del tree["pixels"]
    return tree


def make_report(graph: IntGraph, plan: Plan, build_hash: int) -> Report:
    """Collect a plan's figures; nothing is estimated here."""
    figures = plan.figures
    layers = tuple(_layer(graph, plan, layer) for layer in plan.layers)
    bits = sum(layer.weight_bits for layer in layers)
    integer = sum(x.weight_bits for x in layers if isinstance(graph.node(x.name).op, FullProduct))
    # of k-bit weights and of bases there are several bits a weight
    weights = sum(prod(layer.weight_shape) for layer in layers)
    full = _full_layers(graph, plan)
    return Report(
        board=plan.board,
        part=plan.part,
        build_hash=build_hash,
        clock_mhz=plan.clock_mhz,
        cycles_per_frame=figures.cycles_per_frame,
        bound_cycles=figures.bound_cycles,
        latency_cycles=figures.latency_cycles,
        fps=figures.fps,
        lanes=figures.lanes,
        resources=figures.resources,
        shell=figures.shell,
        budget=figures.budget,
        weights=Weights(
            bits - integer,
            4 * weights,
            ceil_div(sum(layer.rom_bits for layer in layers), 8),
            bits / (32 * weights),
            integer,
        ),
        layers=layers,
        rounding_dependent=tuple((r.tensor, r.channel) for r in graph.rounding_dependent),
        on_host=tuple(layer.name for layer in full if layer.where == "host"),
        full_layers=full,
        proof=plan.proof,
        trimmed=plan.trimmed,
    )


def _full_layers(graph: IntGraph, plan: Plan) -> tuple[FullLayer, ...]:
    """The graph's layers in full precision, in its order; those on real values come last."""
    on_chip = {layer.name: plan.unit(layer.matrix) for layer in plan.layers}
    reasons = dict(plan.on_host)
    found = []
    for node in graph.nodes:
        if not isinstance(node.op, FullProduct):
            continue
        name, weight = node.output.name, node.op.weight
        unit = on_chip.get(name)
        bits = unit.weight_bits if isinstance(unit, MatrixUnit) else _widest(weight)
        where = "host" if unit is None else "chip"
        macs = int(weight[0].size) * prod(node.output.shape)
        found.append(FullLayer(name, where, bits, macs, reasons.get(name, "")))
    for op in graph.host:
        if isinstance(op, HostFull):
            reason = reasons.get(op.name, "")
            found.append(FullLayer(op.name, "host", _widest(op.weight), int(op.weight.size), reason))
    return tuple(found)


def _widest(weight: npt.NDArray[np.int32]) -> int:
    return type_for_range(int(weight.min(initial=0)), int(weight.max(initial=0))).bits


def _layer(graph: IntGraph, plan: Plan, layer: LayerPlan) -> LayerReport:
    unit = plan.unit(layer.matrix)
    assert isinstance(unit, MatrixUnit)
    busy = unit.rows * unit.simd * plan.figures.cycles_per_frame
    return LayerReport(
        name=layer.name,
        shape=graph.tensor(layer.output).shape,
        weight_shape=_weight_shape(graph, layer.name),
        pe=layer.pe,
        simd=layer.simd,
        input_bits=_input_bits(graph, layer.name),
        cycles=layer.cycles,
        work_cycles=layer.work_cycles,
        macs=layer.macs,
        efficiency=layer.macs / busy,
        weight_bits=layer.weight_bits,
        rom_bits=_rom_bits(plan, layer.name),
        memory=layer.memory.value,
        resources=layer.resources,
        pixels=layer.pixels,
    )


def _weight_shape(graph: IntGraph, name: str) -> tuple[int, ...]:
    op = graph.node(name).op
    if isinstance(op, FullProduct):
        return tuple(op.weight.shape)
    assert isinstance(op, Product)
    return tuple(op.terms[0].weight.shape)


def _input_bits(graph: IntGraph, name: str) -> int:
    kind = graph.tensor(graph.node(name).input).type
    assert kind is not None
    return wire_bits(kind)


def _rom_bits(plan: Plan, layer: str) -> int:
    """Bits of the weights, the starts, and the tables that make codes of the layer's and its pools' sums."""
    owner = {job.unit: job.layer for job in plan.jobs}
    bits = 0
    for unit in plan.units:
        if owner[unit.name] != layer:
            continue
        if isinstance(unit, WeightRom):
            bits += unit.width * unit.depth
        elif isinstance(unit, StartRom):
            bits += unit.width * unit.groups * unit.classes
    return bits


def report_json(report: Report) -> bytes:
    """The bytes of report.json."""
    return json_bytes(report.to_json())


def proof_text(proof: Proof, cycles: int) -> str:
    """How good a folding of ``cycles`` clocks a frame is, in words."""
    said = []
    if proof.least_cycles:
        gap = cycles / proof.least_cycles - 1
        least = f"no folding that fits takes fewer than {proof.least_cycles:,} cycles"
        # rounded up: it is a bound
        said = ["frame rate: proven best" if gap == 0 else f"frame rate: {_bound(gap)} ({least})"]
    if proof.area_gap is not None:
        said.append("area: proven least" if proof.area_gap == 0 else f"area: {_bound(proof.area_gap)}")
    else:
        said.append("what was left of the board then bought latency, without a bound")
    return "; ".join(said)


def _bound(gap: float) -> str:
    return f"within {ceil(1000 * gap) / 10:.1f} % of the bound"


def _crowded(used: Resources, budget: Resources) -> list[str]:
    """A line where so much of the board's logic is taken that placing and routing it may fail."""
    kinds = [kind for kind in ("lut", "ff") if getattr(used, kind) > CROWDED * getattr(budget, kind)]
    if not kinds:
        return []
    taken = " and ".join(f"{getattr(used, k) / getattr(budget, k):.0%} of the {KIND_NAMES[k]}" for k in kinds)
    return [f"{taken}: above {CROWDED:.0%} a design may not route, and formulas are up to 10 % off."]


def report_text(report: Report) -> str:
    """What ``estimate`` and ``build`` print."""
    bits, dsps = report.weights.integer_bits > 0, any(x.resources.dsp for x in report.layers)
    several = any(x.pixels > 1 for x in report.layers)
    head = ["layer", "weights", *(["bits"] if bits else []), "PE", "SIMD", *(["pixels"] if several else [])]
    head += ["cycles", "lanes busy", "LUT", "BRAM36", *(["DSP"] if dsps else []), "memory"]
    rows = [tuple(head)]
    for x in report.layers:
        rows.append(
            (
                x.name,
                "x".join(map(str, x.weight_shape)),
                *([str(x.bits_a_weight)] if bits else []),
                str(x.pe),
                str(x.simd),
                *([str(x.pixels)] if several else []),
                f"{x.cycles:,}",
                f"{100 * x.efficiency:.0f} %",
                f"{x.resources.lut:,.0f}",
                f"{x.resources.bram36:g}",
                *([f"{x.resources.dsp:,.0f}"] if dsps else []),
                x.memory,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    used = report.resources + report.shell
    shares = [
        f"{getattr(used, kind):,.0f} of {getattr(report.budget, kind):,.0f} {KIND_NAMES[kind]}"
        for kind in KINDS
        if getattr(report.budget, kind)
    ]
    lines += [
        "",
        f"{report.board} at {report.clock_mhz:g} MHz: {report.fps:,.0f} frames/s, "
        f"{report.cycles_per_frame:,} cycles a frame (no design with these lanes needs fewer than "
        f"{report.bound_cycles:,}), first result after {report.latency_cycles:,}",
        f"with the shell: {', '.join(shares)}",
        f"binary weights: {report.weights.binary_bits / 8:,.0f} bytes, "
        + (f"integer weights: {report.weights.integer_bits / 8:,.0f} bytes, " if bits else "")
        + f"{report.weights.float32_bytes:,} in float32; all ROMs: {report.weights.total_bytes:,} bytes",
        *([] if report.proof is None else [proof_text(report.proof, report.cycles_per_frame)]),
        *([trimmed_text(report.trimmed)] if report.trimmed else []),
        *_crowded(used, report.budget),
        "All of these are formulas, not measurements.",
    ]
    on_chip = [f"{x.name} ({x.weight_bits} bits)" for x in report.full_layers if x.where == "chip"]
    if on_chip:
        lines.append(f"In full precision on the chip: {', '.join(on_chip)}.")
    if report.on_host:
        names = ", ".join(report.on_host)
        lines.append(f"On the host, and in none of these figures: {names} (full precision).")
    lines += [f"  {x.name}: {x.reason}" for x in report.full_layers if x.reason]
    return "\n".join(lines)
