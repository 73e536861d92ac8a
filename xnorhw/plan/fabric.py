"""What counts binary products on a device, and how many registers its clock asks for in a count."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from xnorhw.plan.compressor import count_levels

__all__ = ["Fabric"]

# Nanoseconds a LUT level takes with its wire, and what a clock needs beside levels (clock to output, the
# window's last multiplexer, setup, skew): assumptions, half as much again as the LUT and a short wire
# take by DS187 (7 series, -1) and DS925 (UltraScale+, -1).
_NANOSECONDS = {"xc7": (0.85, 2.5), "xcup": (0.6, 2.0)}
_MOST_STAGES = 3
# The portable count on LUTs of four inputs: the nanoseconds that 64 lanes take with no register in it, the
# reading of their weights from LUTs included, and with one, and those that twice the lanes take more, a
# level of adders with its wires (routed by nextpnr on ECP5 speed grade 6; benchmarks/routed.py).
_PORTABLE_LANES = 64
_PORTABLE_NANOSECONDS = {"ecp5": ((15.9, 9.1), 1.7)}

# Four DSPs of a column add in one clock: 5.4 ns by yosys' timing of DSP48E1, half of that again for safety.
_COLUMN_MHZ = 120.0


@dataclass(frozen=True)
class Fabric:
    """A device's logic: its ``family`` ("" where nothing is known of it), the clock wanted, in MHz.

    ``dsps``: how many DSPs a search may use.
    """

    family: str = ""
    clock_mhz: float = 100.0
    dsps: int = 0

    @staticmethod
    def column_mhz() -> float:
        """The highest clock for which columns of DSPs are built."""
        return _COLUMN_MHZ

    @property
    def columns(self) -> bool:
        """True where codes are added in columns of DSPs: DSP48E1 of 7 series, four quick enough in a row."""
        return self.family == "xc7" and self.clock_mhz <= _COLUMN_MHZ

    @property
    def lut6_2(self) -> bool:
        """True where counts are netlists of 6-input LUTs with two outputs."""
        return self.family in _NANOSECONDS

    def count_stages(self, lanes: int) -> int:
        """Registers inside of a count of ``lanes`` lanes: the fewest with which its LUTs keep the clock."""
        if not self.lut6_2:
            registers, doubling = _PORTABLE_NANOSECONDS.get(self.family, ((), 0.0))
            more = doubling * log2(lanes / _PORTABLE_LANES)
            return sum(1000 / self.clock_mhz < ns + more for ns in registers)
        level, beside = _NANOSECONDS[self.family]
        levels = max(1, int((1000 / self.clock_mhz - beside) / level))
        return min(_MOST_STAGES, -(-count_levels(lanes) // levels) - 1)
