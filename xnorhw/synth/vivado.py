"""``--synth vivado``: the bitstream of a build, and what it takes on the device."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.plan.model import Plan, Resources
from xnorhw.synth.figures import KINDS, VivadoFigures
from xnorhw.synth.run import Progress, run_make
from xnorhw.synth.tools import require_vivado

__all__ = ["read_vivado", "run_vivado"]

_TITLE = "Vivado"
TIMING = "timing.json"
UTILISATION = "utilisation.json"


def run_vivado(
    folder: Path, plan: Plan, core: Literal["rtl", "hls"] = "rtl", progress: Progress | None = None
) -> VivadoFigures:
    """Run ``make bitstream`` in ``folder``/vivado and read what it left in ``folder``/pynq.

    Raises ToolError where Vivado is missing, too old, fails, is killed or leaves figures in an
    unknown format; VerifyError for negative slack.
    """
    folder = folder.resolve()
    tool = require_vivado(folder)
    log = folder / "vivado" / "work" / "synth.log"
    run_make(folder / "vivado", ["bitstream", f"PE={core}"], log, _TITLE, progress)
    return read_vivado(folder / "pynq", plan, core, tool.version)


def read_vivado(pynq: Path, plan: Plan, core: str, version: str) -> VivadoFigures:
    """The figures in ``pynq``; VerifyError for negative slack, ToolError for an unknown format."""
    timing = _numbers(pynq / TIMING, ("wns_ns", "whs_ns", "clock_mhz"), plan, core)
    counts = _numbers(pynq / UTILISATION, KINDS, plan, core)
    for key, what in (("wns_ns", "setup"), ("whs_ns", "hold")):
        if timing[key] < 0:
            raise VerifyError(
                f"the {what} slack is {timing[key]:g} ns at {timing['clock_mhz']:g} MHz",
                module=_TITLE,
                remedy=_slower(timing) if key == "wns_ns" else "Look into vivado/work of the build",
            )
    return VivadoFigures(
        version=version,
        part=plan.part,
        core=core,
        clock_mhz=timing["clock_mhz"],
        wns_ns=timing["wns_ns"],
        whs_ns=timing["whs_ns"],
        resources=Resources(**counts),
    )


def _slower(timing: dict[str, float]) -> str:
    reached = 1000 / (1000 / timing["clock_mhz"] - timing["wns_ns"])
    return f"Build with --clock {math.floor(reached)} or less"


def _numbers(path: Path, keys: tuple[str, ...], plan: Plan, core: str) -> dict[str, float]:
    """The numbers of one of the two files, which says what design they are of."""
    try:
        tree: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise _unknown(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError):
        raise _unknown(path, "is no JSON") from None
    if not isinstance(tree, dict):
        raise _unknown(path, "holds no table")
    for key, wanted in (("part", plan.part), ("pe", core)):
        if tree.get(key) != wanted:
            raise _unknown(path, f"is of the {key} {tree.get(key)!r}, not of {wanted}")
    for key in keys:
        value = tree.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _unknown(path, f"has {value!r} for {key}, where a number was expected")
    if "clock_mhz" in keys and not tree["clock_mhz"] > 0:
        raise _unknown(path, f"has a clock of {tree['clock_mhz']} MHz")
    return {key: float(tree[key]) for key in keys}


def _unknown(path: Path, problem: str) -> ToolError:
    return ToolError(
        f"{path} {problem}",
        module=_TITLE,
        remedy="Run make bitstream in the build's vivado folder again, with its own scripts",
    )
