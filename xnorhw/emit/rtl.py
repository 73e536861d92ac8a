"""Plan -> SystemVerilog: the units as they are, the generated core, shell, registers and top."""

from __future__ import annotations

import re

from xnorhw import resources
from xnorhw.emit import leaf, made_rom, popcount
from xnorhw.emit.jinja import render
from xnorhw.emit.wiring import netlist
from xnorhw.ir.registers import ABI_MAJOR, ABI_MINOR, ERRORS, IDENTITY, REGISTERS
from xnorhw.plan.model import Plan

__all__ = ["PORTS", "SIMULATION_ONLY", "check_prefix", "files"]

SIMULATION_ONLY = ("xh_monitor",)
"""Modules that lie beside the units but are part of no accelerator."""

PORTS = (
    "aclk",
    "aresetn",
    *(f"s_axis_{s}" for s in ("tvalid", "tready", "tdata", "tkeep", "tlast")),
    *(f"m_axis_{s}" for s in ("tvalid", "tready", "tdata", "tkeep", "tlast")),
    *(f"s_axi_aw{s}" for s in ("addr", "prot", "valid", "ready")),
    *(f"s_axi_w{s}" for s in ("data", "strb", "valid", "ready")),
    *(f"s_axi_b{s}" for s in ("resp", "valid", "ready")),
    *(f"s_axi_ar{s}" for s in ("addr", "prot", "valid", "ready")),
    *(f"s_axi_r{s}" for s in ("data", "resp", "valid", "ready")),
)
"""The ports of the packaged IP, in order."""

_CONSTANTS = {
    "ID": f"32'h{IDENTITY:08X}",
    "ABI": f"{{16'd{ABI_MAJOR}, 16'd{ABI_MINOR}}}",
    "BUILD_HASH0": "BUILD_HASH[31:0]",
    "BUILD_HASH1": "BUILD_HASH[63:32]",
}


def check_prefix(prefix: str) -> None:
    """Raise ValueError where ``prefix`` cannot begin the names of modules and files."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix) or prefix.startswith("xh_"):
        raise ValueError(f"a prefix is lower case letters, digits and underscores, not {prefix!r}")


def files(plan: Plan, build_hash: int, prefix: str = "accel") -> dict[str, str]:
    """The RTL of a plan: path inside the build folder (``rtl/...``) -> text.

    ``build_hash`` is the 64-bit number that the registers BUILD_HASH0 and 1 read.  The
    packaged top is ``<prefix>`` in ``rtl/<prefix>.v``; ``rtl/files.f`` lists the sources in
    order for Verilator (-F), yosys and Vivado.  The modules that hold weights are listed there, and
    are emitted with the weights (``emit.rom``).  The same arguments give the same bytes.

    Raises FitError for a plan the units cannot run, ValueError for one that does not hang
    together.
    """
    check_prefix(prefix)
    if plan.input_frame.beat_bits != plan.output_frame.beat_bits:
        raise ValueError("the shell has one beat width for both directions")
    beat_bits = plan.input_frame.beat_bits
    units = [n for n in resources.list_names("templates/rtl", ".sv") if n not in SIMULATION_ONLY]
    texts = {f"{name}.sv": resources.read_text(f"templates/rtl/{name}.sv") for name in units}
    texts["xh_registers.sv"] = render(
        "rtl/xh_registers.sv.j2",
        registers=REGISTERS,
        errors=ERRORS,
        constants=_CONSTANTS,
        abi_major=ABI_MAJOR,
        abi_minor=ABI_MINOR,
    )
    # netlists of LUTs in the place of the portable count, where the plan has them
    texts = dict(sorted((texts | popcount.files(plan)).items()))
    texts |= leaf.adders(plan, prefix)
    holding = [f"{u.module}.sv" for u in leaf.leaf_units(plan, prefix)]
    holding += [f"{name}.sv" for name in made_rom.modules(plan, prefix).values()]
    below = [*texts, *holding]
    texts[f"{prefix}_core.sv"] = render(
        "rtl/core.sv.j2", name=f"{prefix}_core", plan=plan, net=netlist(plan, prefix)
    )
    texts[f"{prefix}_top.sv"] = render(
        "rtl/top.sv.j2",
        name=prefix,
        beat_bits=beat_bits,
        in_beats=plan.input_frame.beats,
        out_beats=plan.output_frame.beats,
        frames_in_flight=plan.frames_in_flight,
        build_hash=build_hash,
        ports=PORTS,
    )
    texts[f"{prefix}.v"] = render("rtl/wrapper.v.j2", name=prefix, beat_bits=beat_bits, ports=PORTS)
    listing = "".join(f"{name}\n" for name in dict.fromkeys([*below, *texts]))
    return {"rtl/files.f": listing, **{f"rtl/{name}": text for name, text in texts.items()}}
