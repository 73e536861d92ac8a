"""Runs the vendor's tools on a build and reads the reports that they leave."""

from __future__ import annotations

from xnorhw.synth.figures import Synthesis, VitisFigures, VivadoFigures
from xnorhw.synth.store import read_synthesis, write_synthesis
from xnorhw.synth.tools import VendorTool, find_vendor_tools, require_vitis, require_vivado
from xnorhw.synth.vitis import run_vitis
from xnorhw.synth.vivado import run_vivado

__all__ = [
    "Synthesis",
    "VendorTool",
    "VitisFigures",
    "VivadoFigures",
    "find_vendor_tools",
    "read_synthesis",
    "require_vitis",
    "require_vivado",
    "run_vitis",
    "run_vivado",
    "write_synthesis",
]
