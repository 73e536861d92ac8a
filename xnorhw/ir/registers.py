"""The one register table: RTL, IP-XACT, .hwh, C header and Python driver are made from it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["ABI_MAJOR", "ABI_MINOR", "ERRORS", "IDENTITY", "REGISTERS", "Access", "ErrorBit", "Register"]

IDENTITY = 0x584E4F52
"""The value of the ID register: "XNOR" in ASCII."""

ABI_MAJOR = 1
ABI_MINOR = 0


class Access(enum.Enum):
    """Who may change a register."""

    READ_ONLY = "ro"
    READ_WRITE = "rw"
    WRITE_ONE_TO_CLEAR = "w1c"


@dataclass(frozen=True)
class Register:
    """One 32-bit register at byte ``offset``; ``bits`` are implemented from bit 0, the rest read 0."""

    name: str
    offset: int
    access: Access
    description: str
    bits: int = 32


@dataclass(frozen=True)
class ErrorBit:
    """One sticky bit of the ERRORS register."""

    name: str
    bit: int
    description: str


REGISTERS = (
    Register("ID", 0x00, Access.READ_ONLY, "identity, reads 0x584E4F52"),
    Register("ABI", 0x04, Access.READ_ONLY, "ABI version: major in bits 31:16, minor in 15:0"),
    Register("BUILD_HASH0", 0x08, Access.READ_ONLY, "build hash, bits 31:0"),
    Register("BUILD_HASH1", 0x0C, Access.READ_ONLY, "build hash, bits 63:32"),
    Register("CONTROL", 0x10, Access.READ_WRITE, "bit 0: soft reset, holds the core while 1", 1),
    Register(
        "ERRORS",
        0x14,
        Access.WRITE_ONE_TO_CLEAR,
        "sticky error bits; cleared by writing 1 or by soft reset",
        2,
    ),
    Register("FRAMES_IN", 0x18, Access.READ_ONLY, "frames taken in whole since reset"),
    Register("FRAMES_OUT", 0x1C, Access.READ_ONLY, "frames given out whole since reset"),
    Register("BUSY_CYCLES", 0x20, Access.READ_ONLY, "clocks in which at least one frame was in flight"),
    Register("INPUT_STALLS", 0x24, Access.READ_ONLY, "clocks in which an input beat waited"),
    Register("OUTPUT_STALLS", 0x28, Access.READ_ONLY, "clocks in which an output beat waited"),
    Register("IN_BEATS", 0x2C, Access.READ_ONLY, "beats of one input frame"),
    Register("OUT_BEATS", 0x30, Access.READ_ONLY, "beats of one output frame"),
)

ERRORS = (
    ErrorBit("TLAST_INSIDE_FRAME", 0, "input tlast on a beat that does not end a frame"),
    ErrorBit("PARTIAL_BEAT", 1, "an input beat with a tkeep that is not all ones"),
)
