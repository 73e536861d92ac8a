"""What the device's primitives take, by the names that yosys gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xnorhw.ir.errors import ToolError
from xnorhw.plan.model import Resources

__all__ = ["resources_of"]

_RAM_LUTS = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM256X1D": 8,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "RAM512X1S": 8,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
}
"""LUTs of a memory (UG474, tables 2-3 and 2-5; UG574, tables 2-3 and 2-5)."""

_FREE = re.compile(r"MUXF[789]|CARRY[48]|INV|GND|VCC|\$scopeinfo|BUFG(P|CTRL)?|IBUF|OBUF")


def resources_of(cells: Mapping[str, int]) -> Resources:
    """LUT, FF, block RAM and DSP of ``cells`` (type -> number of them).

    A LUT6_2 is one LUT; yosys shares none between two functions of its own, as Vivado may.
    Multiplexers and carry chains are part of a slice and inverters of what they drive, so they
    count for nothing.  Raises ToolError for a type that is not known.
    """
    lut = ff = dsp = uram = bram18 = 0
    for kind, number in cells.items():
        if kind.startswith("LUT"):
            lut += number
        elif kind in _RAM_LUTS:
            lut += number * _RAM_LUTS[kind]
        elif kind.startswith(("FD", "LD")):
            ff += number
        elif kind.startswith("RAMB36E"):
            bram18 += 2 * number
        elif kind.startswith("RAMB18E"):
            bram18 += number
        elif kind.startswith("DSP48E"):
            dsp += number
        elif kind.startswith("URAM288"):
            uram += number
        elif not _FREE.fullmatch(kind):
            raise ToolError(
                f"it mapped to {kind}, whose cost is not known",
                module="yosys",
                remedy="Take another version of yosys, or report it with the network",
            )
    return Resources(float(lut), float(ff), bram18 / 2, float(uram), float(dsp))
