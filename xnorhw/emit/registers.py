"""The register table for tools that read XML: IP-XACT, and the .hwh of the simulated device."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.board import Board
from xnorhw.emit.jinja import render
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.vivado import LIBRARY, REGISTER_BYTES, VENDOR, VERSION, BlockDesign
from xnorhw.ir.registers import ERRORS, REGISTERS, Access, Register
from xnorhw.plan.model import Plan

__all__ = ["files", "hwh", "ip_xact", "vlnv"]

_VERSIONS = {"axi_dma": "7.1", "processing_system7": "5.5", "zynq_ultra_ps_e": "3.4"}
"""Those of Vivado 2022.1, which PYNQ 3.0 was made with; pynq binds its DMA driver by the version."""

_DIVISOR_MAX = 63
"""Each of the two dividers behind a PLL has six bits (UG585 and UG1087, FPGA0_CLK_CTRL, PL0_REF_CTRL)."""

_CLOCKS = 4


@dataclass(frozen=True)
class _Slave:
    """An IP's registers as the processors see them."""

    instance: str
    interface: str
    block: str
    base: int
    high: int


@dataclass(frozen=True)
class _Module:
    """An IP in the .hwh."""

    name: str
    kind: str
    vlnv: str
    parameters: tuple[tuple[str, str], ...]
    ours: bool


def vlnv(prefix: str = "accel") -> str:
    """The name by which Vivado, the .hwh and pynq know the IP: vendor:library:name:version."""
    check_prefix(prefix)
    return f"{VENDOR}:{LIBRARY}:{prefix}:{VERSION}"


def _access(register: Register) -> str:
    return "read-only" if register.access is Access.READ_ONLY else "read-write"


def ip_xact(prefix: str = "accel") -> str:
    """The IP-XACT description (IEEE 1685-2009) of the IP's registers, an XML text."""
    check_prefix(prefix)
    return render(
        "pynq/registers.xml.j2",
        vendor=VENDOR,
        library=LIBRARY,
        name=prefix,
        version=VERSION,
        registers=REGISTERS,
        errors=ERRORS,
        access=_access,
        range=REGISTER_BYTES,
    )


def hwh(plan: Plan, board: Board, design: BlockDesign, prefix: str = "accel") -> str:
    """A hardware handoff that pynq reads, for the simulated device: IPs, addresses, registers, clocks.

    On a board Vivado's own is used.  Raises ValueError for a clock that two dividers of the
    PLL cannot make.
    """
    check_prefix(prefix)
    modules = []
    for cell in design.cells:
        kind = cell.vlnv.split(":")[2]
        if kind in _VERSIONS or cell.ours:
            name = vlnv(prefix) if cell.ours else f"{cell.vlnv}:{_VERSIONS[kind]}"
            extra = _clocks(plan, board) if kind == board.ps.ip else ()
            extra = (("c_micro_dma", "0"),) if kind == "axi_dma" else extra
            modules.append(_Module(cell.name, kind, name, (*cell.settings, *extra), cell.ours))
    slaves = []
    for segment in design.segments:
        if segment.space == "ps/Data":
            instance, interface, block = segment.name.split("/")
            slaves.append(
                _Slave(instance, interface, block, segment.offset, segment.offset + segment.size - 1)
            )
    return render(
        "pynq/hwh.xml.j2",
        name=prefix,
        part=plan.part,
        modules=modules,
        slaves=slaves,
        ps=board.ps,
        registers=REGISTERS,
        errors=ERRORS,
        access=_access,
    )


def _clocks(plan: Plan, board: Board) -> tuple[tuple[str, str], ...]:
    """The parameters by which pynq sets the clocks; all but the first are off."""
    zynq7 = board.ps.ip == "processing_system7"
    found: list[tuple[str, str]] = []
    for n in range(_CLOCKS):
        first, second = _divisors(plan, board) if n == 0 else (1, 1)
        if zynq7:
            found += [
                (f"PCW_FPGA_FCLK{n}_ENABLE", str(int(n == 0))),
                (f"PCW_FCLK{n}_PERIPHERAL_DIVISOR0", str(first)),
                (f"PCW_FCLK{n}_PERIPHERAL_DIVISOR1", str(second)),
            ]
        else:
            found += [
                (f"PSU__CRL_APB__PL{n}_REF_CTRL__DIVISOR0", str(first)),
                (f"PSU__CRL_APB__PL{n}_REF_CTRL__DIVISOR1", str(second)),
            ]
            if n > 0:
                found.append((f"PSU__FPGA_PL{n}_ENABLE", "0"))
    return tuple(found)


def _divisors(plan: Plan, board: Board) -> tuple[int, int]:
    divisor = round(board.ps.clock_source_mhz / plan.clock_mhz)
    for second in range(1, _DIVISOR_MAX + 1):
        if divisor % second == 0 and divisor // second <= _DIVISOR_MAX:
            return divisor // second, second
    raise ValueError(f"no two dividers of {board.ps.clock_source_mhz:g} MHz make {plan.clock_mhz:g} MHz")


def files(plan: Plan, board: Board, design: BlockDesign, prefix: str = "accel") -> dict[str, str]:
    """Path in the build folder -> text: vivado/<prefix>.registers.xml and sim/<prefix>.hwh."""
    return {
        f"sim/{prefix}.hwh": hwh(plan, board, design, prefix),
        f"vivado/{prefix}.registers.xml": ip_xact(prefix),
    }
