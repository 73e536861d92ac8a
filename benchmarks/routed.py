"""The clock that units and a whole design reach after place and route, on Lattice ECP5-85F speed 6.

    python -m benchmarks.routed [CASE ...] [--mhz N] [--stages N] [--seed N] [--json] [--list]

yosys maps, nextpnr places and routes; no vendor's tool takes part.  ECP5 has 4-input LUTs: the clock is
a proxy for the logic's depth, not for what a 7-series part reaches.  A unit is read from templates/rtl
in its portable form; ``digits`` is the accelerator of the zoo's small network, packaged as it ships.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.hardware.designs import built
from benchmarks.hardware.ecp5 import Port, Routed, harness, route
from benchmarks.hardware.networks import initialised
from xnorhw import resources
from xnorhw.board import load_board
from xnorhw.sim.model import read_sources

__all__ = ["CASES", "Case", "routed"]

WANTED_MHZ = 125.0


@dataclass(frozen=True)
class Case:
    """What is routed: its harness and memories, by how many registers the count has."""

    title: str
    top: Callable[[int], str]
    memories: Callable[[], dict[str, str]] = dict


def units() -> dict[str, str]:
    """The RTL of the units, by file name."""
    names = [n for n in resources.list_names("templates/rtl", ".sv") if n not in ("xh_monitor", "xh_shell")]
    return {f"{name}.sv": resources.read_text(f"templates/rtl/{name}.sv") for name in names}


def random_rom(words: int, bits: int) -> str:
    """A memory file of seeded random words."""
    draw = random.Random(words * bits)
    return "".join(f"{draw.getrandbits(bits):x}\n" for _ in range(words))


def _stream(name: str, width: int, out: bool = False) -> tuple[Port, ...]:
    side = "m" if out else "s"
    return (
        Port(f"{side}_valid", 1, out),
        Port(f"{side}_ready", 1, not out),
        Port(f"{side}_data", width, out),
    )


def _staged(stages: int) -> str:
    return f", .COUNT_STAGES({stages})" if stages else ""


PE, SIMD, FOLDS, GROUPS, BITS = 16, 64, 9, 36, 11


def matrix_on_ports(stages: int) -> str:
    """The 16x64 unit with weights and starts on its ports."""
    ports = (
        *_stream("s", SIMD),
        *_stream("m", PE, out=True),
        *(Port(f"w_{n}", w, n == "ready") for n, w in (("valid", 1), ("ready", 1), ("data", PE * SIMD))),
        *(Port(f"t_{n}", w, n == "ready") for n, w in (("valid", 1), ("ready", 1), ("data", PE * BITS))),
    )
    return harness(_matrix(stages), ports)


def matrix_with_roms(stages: int) -> str:
    """The 16x64 unit of a 576 by 576 layer with its weights in block ROM and its starts in LUTs."""
    roms = f"""
  logic w_valid, w_ready, t_valid, t_ready;
  logic [{PE * SIMD - 1}:0] w_data;
  logic [{PE * BITS - 1}:0] t_data;
  xh_weight_rom #(
    .WIDTH({PE * SIMD}), .DEPTH({FOLDS * GROUPS}), .BLOCK_ROM(1'b1), .FILE("weights.mem")
  ) i_weights (
    .clk_i(clk), .rst_ni(rst_n), .m_valid_o(w_valid), .m_ready_i(w_ready), .m_data_o(w_data)
  );
  xh_start_rom #(.WIDTH({PE * BITS}), .GROUPS({GROUPS}), .FILE("starts.mem")) i_starts (
    .clk_i(clk), .rst_ni(rst_n), .m_valid_o(t_valid), .m_ready_i(t_ready), .m_data_o(t_data)
  );
"""
    return harness(roms + _matrix(stages), (*_stream("s", SIMD), *_stream("m", PE, out=True)))


def _matrix(stages: int) -> str:
    return f"""
  xh_mvu #(
    .PE({PE}), .SIMD({SIMD}), .FOLDS({FOLDS}), .GROUPS({GROUPS}), .START_BITS({BITS}),
    .ACC_BITS({BITS}){_staged(stages)}
  ) i_mvu (
    .clk_i(clk), .rst_ni(rst_n),
    .s_valid_i(s_valid), .s_ready_o(s_ready), .s_data_i(s_data),
    .w_valid_i(w_valid), .w_ready_o(w_ready), .w_data_i(w_data),
    .t_valid_i(t_valid), .t_ready_o(t_ready), .t_data_i(t_data),
    .m_valid_o(m_valid), .m_ready_i(m_ready), .m_data_o(m_data)
  );
"""


def window(stages: int, taps: int = 1, padding: int = 1) -> str:
    """A 3x3 window over 64 channels of 32x32, one tap or nine a word."""
    out = 30 + 2 * padding
    return harness(
        f"""
  xh_window #(
    .LANES(64), .WORDS_PER_PIXEL(1), .HEIGHT(32), .WIDTH(32), .KERNEL_Y(3), .KERNEL_X(3), .PAD_TOP({padding}),
    .PAD_LEFT({padding}), .OUT_HEIGHT({out}), .OUT_WIDTH({out}), .TAPS_PER_WORD({taps}), .DEPTH(128),
    .PAD_WORD(64'd0)
  ) i_window (
    .clk_i(clk), .rst_ni(rst_n),
    .s_valid_i(s_valid), .s_ready_o(s_ready), .s_data_i(s_data),
    .m_valid_o(m_valid), .m_ready_i(m_ready), .m_data_o(m_data)
  );
""",
        (*_stream("s", 64), *_stream("m", 64 * taps, out=True)),
    )


def converter(stages: int) -> str:
    """A width converter from beats of 64 bits to words of 24."""
    return harness(
        """
  xh_width_converter #(.IN_BITS(64), .OUT_BITS(24), .PACKET_BITS(24576)) i_converter (
    .clk_i(clk), .rst_ni(rst_n),
    .s_valid_i(s_valid), .s_ready_o(s_ready), .s_data_i(s_data),
    .m_valid_o(m_valid), .m_ready_i(m_ready), .m_data_o(m_data)
  );
""",
        (*_stream("s", 64), *_stream("m", 24, out=True)),
    )


ROMS = {"weights.mem": (FOLDS * GROUPS, PE * SIMD), "starts.mem": (GROUPS, PE * BITS)}

CASES = {
    "mvu": Case("matrix unit 16x64, weights on a port", matrix_on_ports),
    "mvu-rom": Case(
        "matrix unit 16x64 of a 576x576 layer, weights in block ROM",
        matrix_with_roms,
        lambda: {name: random_rom(*size) for name, size in ROMS.items()},
    ),
    "window": Case("window 3x3, 64 channels, 32x32, padded", window),
    "window-9": Case("window 3x3, 64 channels, 32x32, nine taps a word", lambda n: window(n, 9, 0)),
    "converter": Case("width converter 64 to 24", converter),
}
DIGITS = "digits"

AXI = (
    *(("s_axis_tvalid", 1, 0), ("s_axis_tready", 1, 1), ("s_axis_tdata", 64, 0), ("s_axis_tkeep", 8, 0)),
    *(("s_axis_tlast", 1, 0), ("m_axis_tvalid", 1, 1), ("m_axis_tready", 1, 0), ("m_axis_tdata", 64, 1)),
    *(("m_axis_tkeep", 8, 1), ("m_axis_tlast", 1, 1)),
    *(("s_axi_awaddr", 8, 0), ("s_axi_awprot", 3, 0), ("s_axi_awvalid", 1, 0), ("s_axi_awready", 1, 1)),
    *(("s_axi_wdata", 32, 0), ("s_axi_wstrb", 4, 0), ("s_axi_wvalid", 1, 0), ("s_axi_wready", 1, 1)),
    *(("s_axi_bresp", 2, 1), ("s_axi_bvalid", 1, 1), ("s_axi_bready", 1, 0)),
    *(("s_axi_araddr", 8, 0), ("s_axi_arprot", 3, 0), ("s_axi_arvalid", 1, 0), ("s_axi_arready", 1, 1)),
    *(("s_axi_rdata", 32, 1), ("s_axi_rresp", 2, 1), ("s_axi_rvalid", 1, 1), ("s_axi_rready", 1, 0)),
)
"""The packaged IP's ports: name, width, whether it is an output."""


def routed(name: str, mhz: float = WANTED_MHZ, stages: int = 0, seed: int = 1) -> Routed:
    """One case by its name; ``digits`` is planned for a part of which the planner knows its board alone."""
    if name != DIGITS:
        case = CASES[name]
        return route(units(), case.top(stages), case.memories(), mhz, seed)
    # no board with this part is known: the smallest one's ports and budget, none of its LUTs
    board = replace(load_board("pynq-z2"), family="ecp5")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        built(initialised(DIGITS, place), place / DIGITS, board, target_fps=DIGITS_FPS)
        files = read_sources(place / DIGITS)
    sources = {n: files[f"rtl/{n}"] for n in files["rtl/files.f"].split()}
    memories = {p.removeprefix("rom/"): text for p, text in files.items() if p.startswith("rom/")}
    ports = tuple(Port(name, width, bool(out)) for name, width, out in AXI)
    wires = ", ".join(f".{p.name}({p.name})" for p in ports)
    top = harness(f"  accel i_accel (.aclk(clk), .aresetn(rst_n), {wires});", ports)
    return route(sources, top, memories, mhz, seed)


DIGITS_FPS = 20_000.0


def line(name: str, title: str, stages: int, found: Routed) -> str:
    """A row of the table."""
    return (
        f"| {name} | {title} | {stages} | {found.mhz:.1f} | {found.lut4} | {found.ff} | {found.ebr} | "
        f"{found.logic_ns:.1f} + {found.routing_ns:.1f} | {found.begins} -> {found.ends} |"
    )


HEAD = (
    "| case | what | stages | MHz | LUT4 | FF | EBR | slowest path: logic + wires, ns | from -> to |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join([*CASES, DIGITS]))
    parser.add_argument("--mhz", type=float, default=WANTED_MHZ, help="the clock to route for")
    parser.add_argument("--stages", type=int, default=0, help="registers in the matrix unit's count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    titles = {name: case.title for name, case in CASES.items()}
    titles[DIGITS] = f"digits at {DIGITS_FPS:,.0f} frames/s by plan at 100 MHz, the packaged IP"
    names = options.cases or list(titles)
    if unknown := [name for name in names if name not in titles]:
        parser.error(f"there is no case {unknown[0]!r}")
    rows = []
    if not options.json:
        print(HEAD)
    for name in names:
        found = routed(name, options.mhz, options.stages, options.seed)
        rows.append({"case": name, "title": titles[name], "stages": options.stages, **asdict(found)})
        if not options.json:
            print(line(name, titles[name], options.stages, found), flush=True)
    print(
        json.dumps(rows, indent=1) if options.json else f"\n{found.tools}, on the way to {options.mhz:g} MHz"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
