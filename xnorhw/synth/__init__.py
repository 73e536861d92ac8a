"""Runs the vendor's tools, or yosys, on a build and reads what they leave."""

from __future__ import annotations

from xnorhw.synth.figures import Synthesis, VitisFigures, VivadoFigures, YosysFigures
from xnorhw.synth.store import read_synthesis, write_synthesis
from xnorhw.synth.tools import VendorTool, find_vendor_tools, require_vitis, require_vivado
from xnorhw.synth.vitis import run_vitis
from xnorhw.synth.vivado import run_vivado
from xnorhw.synth.yosys import require_yosys, run_yosys, yosys_family

__all__ = [
    "Synthesis",
    "VendorTool",
    "VitisFigures",
    "VivadoFigures",
    "YosysFigures",
    "find_vendor_tools",
    "read_synthesis",
    "require_vitis",
    "require_vivado",
    "require_yosys",
    "run_vitis",
    "run_vivado",
    "run_yosys",
    "write_synthesis",
    "yosys_family",
]
