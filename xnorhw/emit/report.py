"""The report of a build: report.json for machines, report.html for people.

Every figure says where it comes from: ``formula`` (the plan) or ``simulated`` (the last
verdict, which report.html shows beside it).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import jinja2
from markupsafe import Markup

from xnorhw import resources
from xnorhw.emit.diagram import Arrow, Box, diagram
from xnorhw.emit.folder import json_bytes
from xnorhw.emit.pipeline_drawing import pipeline_drawing
from xnorhw.emit.summary import Summary
from xnorhw.emit.svg import Bar, bars
from xnorhw.emit.vivado import BlockDesign
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import FullProduct, HostFull, IntGraph
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Stage as HlsStage
from xnorhw.plan.layers import wire_bits
from xnorhw.plan.model import (
    LayerPlan,
    Plan,
    Resources,
    StartRom,
    WeightRom,
)

__all__ = ["LayerReport", "Report", "Weights", "make_report", "report_html", "report_json", "report_text"]

FORMAT = "1.0"
SOURCE = "formula"
CHAIN = ("golden", "rom", "c", "hls", "rtl")
"""The order in which the links are shown; verify.json has them sorted by name."""

KINDS = ("lut", "ff", "bram36", "uram", "dsp")
KIND_NAMES = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM", "dsp": "DSP"}


@dataclass(frozen=True)
class LayerReport:
    """One binary layer and its pools on the chip.

    ``shape`` of what leaves it, ``efficiency`` the share of its lanes that work in steady
    state, ``work_cycles`` its part of the bound.
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


@dataclass(frozen=True)
class Weights:
    """Weight memory: one bit a weight and term, the weights in float32, and all ROM bits in bytes.

    ``ratio`` is that of the binary weights' memory to float32's.
    """

    binary_bits: int
    float32_bytes: int
    total_bytes: int
    ratio: float


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
    """Full-precision layers, which the host runs: no figure here holds their time."""

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
            "weights": vars(self.weights),
            "layers": [_layer_json(layer) for layer in self.layers],
            "on_host": list(self.on_host),
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
    return tree


def make_report(graph: IntGraph, plan: Plan, build_hash: int) -> Report:
    """Collect a plan's figures; nothing is estimated here."""
    figures = plan.figures
    layers = tuple(_layer(graph, plan, layer) for layer in plan.layers)
    bits = sum(layer.weight_bits for layer in plan.layers)
    # of k-bit weights and of bases there are several bits a weight
    weights = sum(prod(layer.weight_shape) for layer in layers)
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
            bits, 4 * weights, ceil_div(sum(layer.rom_bits for layer in layers), 8), bits / (32 * weights)
        ),
        layers=layers,
        rounding_dependent=tuple((r.tensor, r.channel) for r in graph.rounding_dependent),
        on_host=(
            *(n.output.name for n in graph.nodes if isinstance(n.op, FullProduct)),
            *(op.name for op in graph.host if isinstance(op, HostFull)),
        ),
    )


def _layer(graph: IntGraph, plan: Plan, layer: LayerPlan) -> LayerReport:
    busy = layer.pe * layer.simd * layer.pixels * plan.figures.cycles_per_frame
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
    )


def _weight_shape(graph: IntGraph, name: str) -> tuple[int, ...]:
    op = graph.node(name).op
    terms = getattr(op, "terms", ())
    return tuple(terms[0].weight.shape) if terms else ()


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


def report_text(report: Report) -> str:
    """What ``estimate`` and ``build`` print."""
    rows = [("layer", "weights", "PE", "SIMD", "cycles", "lanes busy", "LUT", "BRAM36", "memory")]
    for x in report.layers:
        rows.append(
            (
                x.name,
                "x".join(map(str, x.weight_shape)),
                str(x.pe),
                str(x.simd),
                f"{x.cycles:,}",
                f"{100 * x.efficiency:.0f} %",
                f"{x.resources.lut:,.0f}",
                f"{x.resources.bram36:g}",
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
        f"{report.weights.float32_bytes:,} in float32; all ROMs: {report.weights.total_bytes:,} bytes",
        "All of these are formulas, not measurements.",
    ]
    if report.on_host:
        names = ", ".join(report.on_host)
        lines.append(f"On the host, and in none of these figures: {names} (full precision).")
    return "\n".join(lines)


def report_html(
    report: Report,
    graph: IntGraph,
    plan: Plan,
    summary: Summary,
    design: BlockDesign | None,
    verdict: dict[str, Any] | None,
    synthesis: dict[str, Any] | None = None,
) -> bytes:
    """report.html, self-contained.

    ``design``: the block design around the network, None where the build has none.
    ``verdict``: the tree of verify.json, None where nothing ran; ``synthesis`` the figures by tool.
    """
    unit = max((layer.cycles for layer in report.layers), default=1)
    areas = _areas(plan)
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            summary=summary,
            verdict=verdict,
            synthesised=[] if synthesis is None else [t for _, t in sorted(synthesis.items())],
            design=design,
            design_picture=None if design is None else _design_picture(design),
            stages=_hls_stages(plan),
            chain=_in_order(verdict["chain"] if verdict else ()),
            kinds=[(k, KIND_NAMES[k]) for k in KINDS if getattr(report.budget, k)],
            used=report.resources + report.shell,
            pipeline=pipeline_drawing(graph, plan),
            cycles=bars(
                [Bar(x.name, ((x.cycles, "planned"),), marker=x.work_cycles) for x in report.layers],
                limit=max(unit, report.bound_cycles),
                rule=report.bound_cycles,
            ),
            luts_between=any(kind == "edge" for _, kind, _ in areas),
            luts=bars([Bar(name, ((r.lut, kind),)) for name, kind, r in areas]),
            memory=bars(
                [
                    Bar(x.name, ((x.weight_bits / 8, "weights"), ((x.rom_bits - x.weight_bits) / 8, "rest")))
                    for x in report.layers
                ]
            ),
        )
    )
    return text.encode("utf-8")


def _design_picture(design: BlockDesign) -> Markup:
    """The cells of the block design and their AXI connections."""
    boxes = [Box(cell.name, cell.vlnv.split(":")[2], cell.ours) for cell in design.cells]
    arrows = []
    for link in design.interfaces:
        source, _, port = link.source.partition("/")
        arrows.append(Arrow(source, link.target.partition("/")[0], port))
    return diagram(boxes, arrows)


def _hls_stages(plan: Plan) -> tuple[HlsStage, ...]:
    """The stages of the C++ core; none where the folding cannot be expressed in C++."""
    try:
        return hls_design(plan).stages
    except FitError:
        return ()


def _in_order(links: Iterable[str]) -> list[str]:
    return sorted(links, key=lambda link: (CHAIN.index(link) if link in CHAIN else len(CHAIN), link))


def _areas(plan: Plan) -> list[tuple[str, str, Resources]]:
    """(name, kind, resources) of the layers, then of what belongs to no layer."""
    rows = [(layer.name, "layer", layer.resources) for layer in plan.layers]
    total = plan.figures.resources
    rest = max(total.lut - sum(r.lut for _, _, r in rows), 0.0)
    if rest >= 1:
        rows.append(("between layers", "edge", Resources(lut=rest)))
    return [*rows, ("shell", "shell", plan.figures.shell)]


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: resources.read_text(f"templates/report/{name}")),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # half a BRAM36 is a BRAM18; anything else counts in wholes
    environment.filters["count"] = lambda v: f"{v:,.1f}" if v % 1 == 0.5 and v < 10_000 else f"{v:,.0f}"
    environment.filters["number"] = lambda value: f"{value:,.0f}"
    environment.filters["shape"] = lambda shape: " × ".join(map(str, shape))
    return environment
