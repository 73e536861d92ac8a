"""report.html: a build's report for people, with the last verdict and what a vendor's tool said."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import jinja2
from markupsafe import Markup

from xnorhw import resources
from xnorhw.emit.diagram import Arrow, Box, diagram
from xnorhw.emit.pipeline_drawing import pipeline_drawing
from xnorhw.emit.report import KIND_NAMES, KINDS, Report, proof_text
from xnorhw.emit.summary import Summary
from xnorhw.emit.svg import Bar, bars
from xnorhw.emit.trade import trade_picture
from xnorhw.emit.trimmed import trimmed_text
from xnorhw.emit.vivado import BlockDesign
from xnorhw.ir.errors import FitError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Stage as HlsStage
from xnorhw.plan.model import Plan, Resources

__all__ = ["report_html"]

CHAIN = ("golden", "rom", "c", "hls", "rtl")
"""The order in which the links are shown; verify.json has them sorted by name."""


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
            proof=None if report.proof is None else proof_text(report.proof, report.cycles_per_frame),
            trimmed=trimmed_text(report.trimmed) if report.trimmed else None,
            trade=trade_picture(plan),
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
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["number"] = lambda value: f"{value:,.0f}"
    environment.filters["shape"] = lambda shape: " × ".join(map(str, shape))
    return environment
