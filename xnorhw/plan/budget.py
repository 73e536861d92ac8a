"""What a board gives a design: the clock, the memory's pace, the room beside the shell."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from xnorhw.board import Board
from xnorhw.ir.errors import FitError
from xnorhw.plan.assemble import input_frame, output_frame
from xnorhw.plan.design import Prices
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.model import Resources
from xnorhw.plan.network import Network

__all__ = ["Limits", "clock_of", "ddr_cycles", "fabric_of", "limits_of"]


@dataclass(frozen=True)
class Limits:
    """What a design may take."""

    lut: float
    ff: float
    bram36: float
    dsp: float

    def hold(self, cost: Resources) -> bool:
        """True where ``cost`` fits."""
        fabric = cost.lut <= self.lut and cost.ff <= self.ff
        return fabric and cost.bram36 <= self.bram36 and cost.dsp <= self.dsp

    def prices(self) -> Prices:
        """A share of each kind is worth the same, of flip-flops a quarter."""
        bram36, dsp = max(self.bram36, 0.5), max(self.dsp, 1.0)
        return Prices(1 / self.lut, 0.25 / self.ff, 1 / bram36, 1 / dsp)

    @property
    def kinds(self) -> tuple[float, float, float, float]:
        """LUT, FF, BRAM36 and DSP."""
        return self.lut, self.ff, self.bram36, self.dsp


def clock_of(board: Board, clock_mhz: float | None) -> float:
    """The clock in MHz that the board makes of what is wanted, its own by default; FitError out of range."""
    clock = board.clock_mhz if clock_mhz is None else float(clock_mhz)
    if not 1.0 <= clock <= board.clock_max_mhz:
        raise FitError(
            f"a clock of {clock:g} MHz is out of range: the clock network of {board.part} takes at most "
            f"{board.clock_max_mhz:g} MHz",
            module=board.name,
            remedy=f"Use 1 to {board.clock_max_mhz:g} MHz; this board's usual clock is {board.clock_mhz:g}, "
            "and what a design closes is known after place and route alone",
        )
    return board.clock_below(clock)


def ddr_cycles(network: Network, board: Board, clock: float) -> int:
    """Clocks a frame that the DDR needs to give its input and take its result."""
    beats = input_frame(network.source, board.stream_bits).beats
    beats += output_frame(network.result, board.stream_bits).beats
    bytes_a_clock = board.ddr_gbytes_per_s * 1e9 / (clock * 1e6)
    return max(1, ceil(beats * board.stream_bits / 8 / bytes_a_clock))


def fabric_of(board: Board, clock: float) -> Fabric:
    """The board's logic at ``clock`` MHz; a search may use as many DSPs as the share that it fills."""
    return Fabric(board.family, clock, max(0, int(limits_of(board, board.fill).dsp)))


def limits_of(board: Board, fill: float) -> Limits:
    """The share ``fill`` of what the shell leaves of the board."""
    return Limits(
        (board.budget.lut - board.shell.lut) * fill,
        (board.budget.ff - board.shell.ff) * fill,
        (board.budget.bram36 - board.shell.bram36) * fill,
        (board.budget.dsp - board.shell.dsp) * fill,
    )
