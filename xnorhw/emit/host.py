"""Plan and block design -> the C driver in out/host: registers, numbers, static sources, device tree."""

from __future__ import annotations

from xnorhw import resources
from xnorhw.board import Board
from xnorhw.emit.jinja import render
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.vivado import LENGTH_BITS, Segment, block_design
from xnorhw.ir.registers import ABI_MAJOR, ABI_MINOR, ERRORS, IDENTITY, REGISTERS
from xnorhw.plan.model import Plan

__all__ = ["BUFFER_BYTES", "files", "registers_header"]

BUFFER_BYTES = 1 << 24
"""Size of the u-dma-buf in the device-tree overlay; the kernel takes it from its contiguous memory."""

_FOLDER = "templates/host/driver"


def registers_header() -> str:
    """The C header of the accelerator's registers, from the register table."""
    return render(
        "host/driver/xd_registers.h.j2",
        registers=REGISTERS,
        errors=ERRORS,
        identity=IDENTITY,
        abi_major=ABI_MAJOR,
        abi_minor=ABI_MINOR,
    )


def _segment(segments: tuple[Segment, ...], space: str, name: str) -> Segment:
    return next(s for s in segments if s.space == space and s.name.startswith(name))


def _cells(value: int, count: int) -> str:
    """An address or a size as ``count`` 32-bit cells of a device tree."""
    words = [value >> 32 * i & 0xFFFFFFFF for i in reversed(range(count))]
    return " ".join(f"0x{word:08x}" for word in words)


def _device_tree(values: dict[str, object], board: Board, ip: Segment, dma: Segment) -> str:
    # the root of a Zynq-7000's tree counts in one cell, that of a 64-bit processor in two
    count = 1 if board.ps.ip == "processing_system7" else 2
    nodes = [
        (name, f"{segment.offset:x}", f"{_cells(segment.offset, count)} {_cells(segment.size, count)}")
        for name, segment in ((values["prefix"], ip), (f"{values['prefix']}-dma", dma))
    ]
    return render(
        "host/accel.dtso.j2", **values, board=board, nodes=nodes, cells=count, buffer_bytes=BUFFER_BYTES
    )


def files(plan: Plan, board: Board, build_hash: int, prefix: str = "accel") -> dict[str, str]:
    """The C driver of a build: path inside the build folder (``host/...``) -> text.

    ``build_hash``: the 64-bit number that the registers show.  The sources want the CPU
    engine's files beside them (``<prefix>_engine.h`` and its library), which run what the host
    computes before and behind the accelerator.  The same arguments give the same bytes.
    """
    check_prefix(prefix)
    segments = block_design(plan, board, prefix).segments
    ip = _segment(segments, "ps/Data", "accel/")
    dma = _segment(segments, "ps/Data", "dma/")
    values: dict[str, object] = {
        "prefix": prefix,
        "P": prefix.upper(),
        "build_hash": build_hash,
        "abi": ABI_MAJOR << 16 | ABI_MINOR,
        "beat_bytes": plan.input_frame.beat_bits // 8,
        "in_beats": plan.input_frame.beats,
        "out_beats": plan.output_frame.beats,
        "ip": ip,
        "dma": dma,
        "reach": _segment(segments, "dma/Data_MM2S", "ps/"),
        "max_transfer": (1 << LENGTH_BITS) - 1,
        "clock_hz": round(plan.clock_mhz * 1e6),
        "cycles_per_frame": plan.figures.cycles_per_frame,
    }
    static = (f"{name}{suffix}" for suffix in (".c", ".h") for name in resources.list_names(_FOLDER, suffix))
    texts = {f"host/driver/{name}": resources.read_text(f"{_FOLDER}/{name}") for name in static}
    texts["host/driver/xd_registers.h"] = registers_header()
    texts[f"host/driver/{prefix}_build.h"] = render("host/accel_build.h.j2", **values)
    texts[f"host/driver/{prefix}_driver.c"] = render("host/accel_driver.c.j2", **values)
    texts[f"host/{prefix}_driver.h"] = render("host/accel_driver.h.j2", **values)
    texts["host/run_main.c"] = render("host/run_main.c.j2", **values)
    texts[f"host/{prefix}.dtso"] = _device_tree(values, board, ip, dma)
    return dict(sorted(texts.items()))
