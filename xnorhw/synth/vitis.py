"""``--synth vitis``: C synthesis of a build's C++ core, and what came out."""

from __future__ import annotations

import re
from pathlib import Path

from xnorhw.emit.build import PREFIX
from xnorhw.emit.hls import top_name
from xnorhw.emit.wiring import identifiers
from xnorhw.ir.errors import ToolError, VerifyError, XnorhwError
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import HlsDesign
from xnorhw.plan.model import Plan, Resources
from xnorhw.synth.csynth import Csynth, Module, read_csynth
from xnorhw.synth.figures import StageFigures, VitisFigures
from xnorhw.synth.run import Progress, run_make
from xnorhw.synth.tools import require_vitis

__all__ = ["run_vitis", "vitis_figures"]

_TITLE = "Vitis HLS"
_TOLERANCE_NS = 0.01
"""The report has the period in hundredths."""


def run_vitis(folder: Path, plan: Plan, progress: Progress | None = None) -> VitisFigures:
    """Run ``make synth`` in ``folder``/hls and read its report.

    Raises ToolError where Vitis HLS is missing, too old, fails, is killed or leaves a report
    in an unknown format; VerifyError, naming the stage, where a loop's II is not 1.
    """
    folder = folder.resolve()
    hls = folder / "hls"
    require_vitis(folder)
    report = hls / "work" / top_name(PREFIX) / "solution" / "syn" / "report" / "csynth.xml"
    # an earlier run's report must not speak for this one
    report.unlink(missing_ok=True)
    try:
        run_make(hls, ["synth"], hls / "work" / "synth.log", _TITLE, progress)
    except ToolError:
        # the script fails on a loop's II, too; the report says of which stage
        if report.is_file():
            vitis_figures(read_csynth(report), plan)
        raise
    try:
        return vitis_figures(read_csynth(report), plan)
    except XnorhwError:
        # without it Vivado's scripts do not take the core
        (report.parents[2] / "synthesised").unlink(missing_ok=True)
        raise


def vitis_figures(report: Csynth, plan: Plan) -> VitisFigures:
    """The figures of ``report``, checked to be those of ``plan``; VerifyError for an II other than 1."""
    if _part_key(report.part) != _part_key(plan.part):
        raise _of_another_build("part", report.part, plan.part)
    if report.top != top_name(PREFIX):
        raise _of_another_build("top", report.top, top_name(PREFIX))
    if abs(report.period_ns - 1000 / plan.clock_mhz) > _TOLERANCE_NS:
        raise _of_another_build("clock", f"{report.period_ns:g} ns", f"{1000 / plan.clock_mhz:g} ns")
    stages = _stages(report, hls_design(plan))
    return VitisFigures(
        version=report.version,
        part=plan.part,
        clock_mhz=plan.clock_mhz,
        estimated_clock_mhz=round(1000 / report.estimated_ns, 3),
        cycles_per_frame=report.interval,
        latency_cycles=report.latency,
        resources=report.resources,
        stages=stages,
    )


def _part_key(part: str) -> str:
    """A part as it compares: Vitis HLS writes xc7z020-clg400-1 for xc7z020clg400-1."""
    return part.replace("-", "").casefold()


def _of_another_build(what: str, found: str, wanted: str) -> ToolError:
    return ToolError(
        f"its report is of the {what} {found}, and the build has {wanted}",
        module=_TITLE,
        remedy="Delete hls/work in the build and run it again",
    )


def _stages(report: Csynth, design: HlsDesign) -> tuple[StageFigures, ...]:
    """The figures of each stage that the report knows, in the design's order."""
    functions = identifiers(tuple(stage.name for stage in design.stages))
    parts: dict[str, list[Module]] = {name: [] for name in functions}
    for module in report.modules:
        stage = _stage_of(module.name, functions)
        if stage:
            parts[stage].append(module)
    found = []
    for s in design.stages:
        if parts[s.name]:
            found.append(_figures(s.name, s.layer, functions[s.name], parts[s.name]))
    # a loop of one turn is none to the tool
    if not any(figures.ii for figures in found) and any(stage.cycles > 1 for stage in design.stages):
        raise ToolError(
            "its report has no loop of any stage",
            module=_TITLE,
            remedy="The format is that of the releases 2022.2 to 2025.2; take one of them",
        )
    return tuple(found)


def _stage_of(module: str, functions: dict[str, str]) -> str:
    """The stage whose function ``module`` is, or is a part of; "" where there is none."""
    fitting = [
        (len(function), name)
        for name, function in functions.items()
        if module == function or module.startswith(f"{function}_")
    ]
    return max(fitting)[1] if fitting else ""


def _figures(name: str, layer: str, function: str, modules: list[Module]) -> StageFigures:
    whole = next((m for m in modules if m.name == function), None)
    ii = 0
    for module in modules:
        if re.search(r"\brewind\b.*\bstp\b", module.pipeline):
            raise VerifyError(
                f"the stage {name} is a pipeline that stalls ({module.pipeline}): it would keep the last "
                "words of a frame until the next one comes",
                module=layer or name,
                remedy="Build the bitstream with PE=rtl, and report it with the folder and the release",
            )
    for loop in (loop for module in modules for loop in module.loops):
        if loop.ii != 1:
            takes = "is not pipelined" if loop.ii is None else f"takes {loop.ii} clocks a turn"
            raise VerifyError(
                f"the loop {loop.name} of the stage {name} {takes}, and every loop must take one",
                module=layer or name,
                remedy="Look into hls/work of the build, and report it with the folder",
            )
        ii = 1
    # a function's figures hold those of its parts
    cost = whole.resources if whole is not None else sum((m.resources for m in modules), Resources())
    return StageFigures(name, layer, ii, None if whole is None else whole.latency, cost)
