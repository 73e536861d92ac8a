"""Plan and board -> the Vivado project: Tcl that packages the IP, makes the block design, builds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xnorhw import resources
from xnorhw.board import Board
from xnorhw.emit.hls import named_stages
from xnorhw.emit.jinja import one_line, render
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.wiring import netlist
from xnorhw.ir.registers import REGISTERS
from xnorhw.plan.hls import hls_design
from xnorhw.plan.model import Plan

__all__ = ["BlockDesign", "Cell", "Link", "Segment", "block_design", "files"]

VENDOR = "xnorhw"
LIBRARY = "xnorhw"
VERSION = "1.0"

LENGTH_BITS = 26
"""The widest length register the DMA has (PG021): one transfer moves up to 64 MB."""

REGISTER_BYTES = 256
"""What the shell's eight address bits reach."""

WINDOW = 0x10000
"""Address range of each set of registers, as PYNQ's own designs give them."""

STATIC = ("Makefile", "build.tcl", "check.tcl", "lib.tcl", "rom_error.tcl")
RENDERED = ("README.md", "design.tcl", "package.tcl", "settings.tcl")


@dataclass(frozen=True)
class Cell:
    """An IP in place; ``vlnv`` is without a version but for ours, ``settings`` are (name, value)."""

    name: str
    vlnv: str
    what: str
    settings: tuple[tuple[str, str], ...]
    ours: bool = False


@dataclass(frozen=True)
class Link:
    """A connection between two pins or two interfaces, each ``<cell>/<pin>``."""

    source: str
    target: str


@dataclass(frozen=True)
class Segment:
    """``name`` seen from the address space ``space`` at byte ``offset``, ``size`` bytes."""

    space: str
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class BlockDesign:
    """The block design around the network's IP, as design.tcl makes it.

    ``interfaces`` are AXI and AXI-Stream connections (master first), ``nets`` clocks and
    resets (driver first), ``checks`` settings (cell, name, value) that Vivado may adjust
    and that must have stayed.
    """

    title: str
    part: str
    cells: tuple[Cell, ...]
    interfaces: tuple[Link, ...]
    nets: tuple[Link, ...]
    segments: tuple[Segment, ...]
    checks: tuple[tuple[str, str, str], ...]


def _mhz(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _vlnv(prefix: str) -> str:
    return f"{VENDOR}:{LIBRARY}:{prefix}:{VERSION}"


def _cells(plan: Plan, board: Board, prefix: str) -> tuple[Cell, ...]:
    width = str(plan.input_frame.beat_bits)
    widths = tuple(
        (name, width)
        for name in (
            "c_m_axi_mm2s_data_width",
            "c_m_axis_mm2s_tdata_width",
            "c_m_axi_s2mm_data_width",
            "c_s_axis_s2mm_tdata_width",
        )
    )
    dma = (
        ("c_include_sg", "0"),
        ("c_sg_length_width", str(LENGTH_BITS)),
        ("c_include_mm2s", "1"),
        ("c_include_s2mm", "1"),
        ("c_include_mm2s_dre", "0"),
        ("c_include_s2mm_dre", "0"),
        *widths,
    )
    ps = (*board.ps.settings, (board.ps.clock_setting, _mhz(plan.clock_mhz)))
    xilinx = "xilinx.com:ip"
    return (
        Cell("ps", f"{xilinx}:{board.ps.ip}", "The processors, their memory and the clock.", ps),
        Cell("ps_reset", f"{xilinx}:proc_sys_reset", "The reset, in step with the clock.", ()),
        Cell(
            "dma",
            f"{xilinx}:axi_dma",
            "Memory to stream and back, one buffer a transfer (no scatter-gather).",
            dma,
        ),
        Cell("accel", _vlnv(prefix), "The network.", (), ours=True),
        Cell(
            "axi_control",
            f"{xilinx}:smartconnect",
            "From the processors to the registers.",
            (("NUM_SI", "1"), ("NUM_MI", "2")),
        ),
        Cell(
            "axi_memory",
            f"{xilinx}:smartconnect",
            "From the DMA to memory.",
            (("NUM_SI", "2"), ("NUM_MI", "1")),
        ),
    )


def block_design(plan: Plan, board: Board, prefix: str = "accel") -> BlockDesign:
    """The block design of a plan on a board, as data: what design.tcl makes and the report shows."""
    check_prefix(prefix)
    ps = board.ps
    cells = _cells(plan, board, prefix)
    interfaces = (
        Link(f"ps/{ps.control}", "axi_control/S00_AXI"),
        Link("axi_control/M00_AXI", "dma/S_AXI_LITE"),
        Link("axi_control/M01_AXI", "accel/s_axi"),
        Link("dma/M_AXI_MM2S", "axi_memory/S00_AXI"),
        Link("dma/M_AXI_S2MM", "axi_memory/S01_AXI"),
        Link("axi_memory/M00_AXI", f"ps/{ps.data}"),
        Link("dma/M_AXIS_MM2S", "accel/s_axis"),
        Link("accel/m_axis", "dma/S_AXIS_S2MM"),
    )
    clocked = (
        f"ps/{ps.control_clock}",
        f"ps/{ps.data_clock}",
        "ps_reset/slowest_sync_clk",
        "dma/s_axi_lite_aclk",
        "dma/m_axi_mm2s_aclk",
        "dma/m_axi_s2mm_aclk",
        "accel/aclk",
        "axi_control/aclk",
        "axi_memory/aclk",
    )
    reset = ("dma/axi_resetn", "accel/aresetn", "axi_control/aresetn", "axi_memory/aresetn")
    nets = (
        *(Link(f"ps/{ps.clock}", pin) for pin in clocked),
        Link(f"ps/{ps.reset}", "ps_reset/ext_reset_in"),
        *(Link("ps_reset/peripheral_aresetn", pin) for pin in reset),
    )
    segments = (
        Segment("ps/Data", "accel/s_axi/registers", ps.control_base, WINDOW),
        Segment("ps/Data", "dma/S_AXI_LITE/Reg", ps.control_base + WINDOW, WINDOW),
        Segment("dma/Data_MM2S", f"ps/{ps.memory}", 0, ps.memory_bytes),
        Segment("dma/Data_S2MM", f"ps/{ps.memory}", 0, ps.memory_bytes),
    )
    width = str(plan.input_frame.beat_bits)
    checks = tuple(("dma", f"c_m_axi_{way}_data_width", width) for way in ("mm2s", "s2mm"))
    title = f"{board.title}, the network between the two halves of a DMA"
    return BlockDesign(title, plan.part, cells, interfaces, nets, segments, checks)


def _shell_sources(prefix: str) -> tuple[str, ...]:
    """The files of rtl/ that the shell needs beside the core, found by what instantiates what."""
    texts = {name: resources.read_text(f"templates/rtl/{name}.sv") for name in _units()}
    texts["xh_registers"] = resources.read_text("templates/rtl/xh_registers.sv.j2")
    needed = {"xh_shell"}
    waiting = ["xh_shell"]
    while waiting:
        found = set(re.findall(r"^\s*(xh_\w+)\b", texts[waiting.pop()], re.MULTILINE)) & texts.keys()
        waiting += sorted(found - needed)
        needed |= found
    return (*(f"{name}.sv" for name in sorted(needed)), f"{prefix}_top.sv", f"{prefix}.v")


def _units() -> list[str]:
    return resources.list_names("templates/rtl", ".sv")


def files(plan: Plan, board: Board, prefix: str = "accel") -> dict[str, str]:
    """The Vivado project of a plan: path inside the build folder -> text.

    ``vivado/`` holds the Tcl, a Makefile and a README; a bitstream goes to ``pynq/``.  The
    scripts take their sources from the build's own ``rtl``, ``rom`` and ``hls``.  The same
    arguments give the same bytes.
    """
    check_prefix(prefix)
    bd = block_design(plan, board, prefix)
    port, _, name = board.ps.memory.partition("/")
    stages = {i.name: i.layer for i in netlist(plan, prefix).instances}
    stages |= {n.function: one_line(stage.layer) for stage, n in named_stages(hls_design(plan))}
    values: dict[str, object] = {
        "prefix": prefix,
        "board": board,
        "bd": bd,
        "clock_mhz": _mhz(plan.clock_mhz),
        "vlnv": _vlnv(prefix),
        "vendor": VENDOR,
        "library": LIBRARY,
        "registers": REGISTERS,
        "register_bytes": REGISTER_BYTES,
        "memory_port": port,
        "memory_name": name,
        "stages": tuple(stages.items()),
        "shell_sources": _shell_sources(prefix),
    }
    texts = {f"vivado/{name}": resources.read_text(f"templates/vivado/{name}") for name in STATIC}
    texts |= {f"vivado/{name}": render(f"vivado/{name}.j2", **values) for name in RENDERED}
    return dict(sorted(texts.items()))
