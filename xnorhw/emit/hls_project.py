"""The project around the C++ core: the script for Vitis HLS, a Makefile, a README."""

from __future__ import annotations

from xnorhw.emit.hls import top_name
from xnorhw.emit.jinja import render
from xnorhw.emit.rtl import check_prefix
from xnorhw.plan.hls import hls_design
from xnorhw.plan.model import Plan

__all__ = ["files"]


def files(plan: Plan, prefix: str = "accel") -> dict[str, str]:
    """What lies beside the sources of ``emit.hls.files``: path inside the build folder -> text.

    The same arguments give the same bytes.
    """
    check_prefix(prefix)
    values = {"prefix": prefix, "top": top_name(prefix), "plan": plan, "stages": hls_design(plan).stages}
    names = ("Makefile", "README.md", "synth.tcl")
    return {f"hls/{name}": render(f"hls/{name}.j2", **values) for name in names}
