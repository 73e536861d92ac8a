"""xh_spread: which pixel of a word of a window is which tap of which output pixel, in both orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import join
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

WORDS = 12


@dataclass(frozen=True)
class Spread:
    """An instance; pixels of ``width`` bits in ``rows`` rows of ``row``."""

    width: int
    rows: int
    row: int
    pixels: int
    taps: int
    first: int = 0
    stride: int = 1
    dilation: int = 1
    taps_outer: bool = False

    def __str__(self) -> str:
        order = "t" if self.taps_outer else "p"
        sizes = f"w{self.width}r{self.rows}x{self.row}m{self.pixels}k{self.taps}"
        return f"{sizes}f{self.first}s{self.stride}d{self.dilation}{order}"

    @property
    def out(self) -> int:
        """Pixels of a word that leaves."""
        return self.pixels * self.rows * self.taps


SPREADS = tuple(
    Spread(*sizes, taps_outer=outer)
    for outer in (False, True)
    for sizes in (
        (1, 1, 1, 1, 1),
        (3, 3, 6, 2, 3, 1),
        (8, 3, 12, 4, 3, 3),
        (5, 2, 8, 4, 2, 0, 2),
        (2, 5, 16, 2, 5, 6, 4),
        (4, 1, 4, 1, 1, 1, 4),
        (1, 2, 15, 5, 3, 2, 1, 4),
        (7, 3, 9, 2, 2, 0, 3, 5),
    )
)


def _work(unit: Spread) -> tuple[list[int], list[int]]:
    """Random words and what they become, pixel by pixel and tap by tap."""
    drawn = np.random.default_rng(list(str(unit).encode())).integers(
        0, 1 << unit.width, (WORDS, unit.rows, unit.row)
    )
    taken = np.zeros((WORDS, unit.pixels, unit.rows, unit.taps), np.int64)
    for p in range(unit.pixels):
        for t in range(unit.taps):
            taken[:, p, :, t] = drawn[:, :, unit.first + p * unit.stride + t * unit.dilation]
    if unit.taps_outer:
        taken = np.moveaxis(taken, 1, 3)
    return tuple([join(list(word.ravel()), unit.width) for word in words] for words in (drawn, taken))


@cocotb.test()
@cocotb.parametrize(unit=named(SPREADS), stalls=named(STALLS))
async def taps(dut: Any, unit: Spread, stalls: Stalls) -> None:
    """Each word becomes the right one, whoever waits."""
    bench = Bench(dut, str(unit), stalls)
    await bench.start()
    given, wanted = _work(unit)
    bench.sources["s"].put(given)
    assert await bench.receive(WORDS, 2000) == wanted
    await bench.finish()


def _module(unit: Spread) -> str:
    """The unit, which is wires, between two streams."""
    into, out = unit.rows * unit.row * unit.width, unit.out * unit.width
    return f"""
module spread_{unit} (
  input  logic clk_i, input logic rst_ni,
  input  logic s_valid_i, output logic s_ready_o, input  logic [{into - 1}:0] s_data_i,
  output logic m_valid_o, input  logic m_ready_i, output logic [{out - 1}:0] m_data_o
);
  logic unused;
  assign unused    = &{{1'b0, clk_i, rst_ni}};
  assign m_valid_o = s_valid_i;
  assign s_ready_o = m_ready_i;
  xh_spread #(
    .WIDTH({unit.width}), .ROWS({unit.rows}), .ROW({unit.row}), .PIXELS({unit.pixels}), .TAPS({unit.taps}),
    .FIRST({unit.first}), .STRIDE({unit.stride}), .DILATION({unit.dilation}),
    .TAPS_OUTER(1'b{int(unit.taps_outer)})
  ) u_spread (.data_i(s_data_i), .data_o(m_data_o));
endmodule
"""


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [
        Case(
            str(unit),
            f"spread_{unit}",
            {},
            (Port("s", unit.rows * unit.row * unit.width, True), Port("m", unit.out * unit.width, False)),
        )
        for unit in SPREADS
    ]


def test_spread() -> None:
    modules = {f"spread_{unit}.sv": _module(unit) for unit in SPREADS}
    run_bench("spread", __name__, cases(), modules=modules)
