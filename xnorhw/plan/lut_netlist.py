"""Netlists of 6-input LUTs, carry chains and registers that count: data, and nothing else.

A 6-input LUT of AMD's families has two outputs, O6 of all six inputs and O5 of the first five
where the sixth is 1 (cell LUT6_2, UG953).  A place of a carry chain (CARRY4, CARRY8) gives select xor
carry, and passes on the carry where select is 1, else its data input.
``plan.compressor`` draws such netlists, ``plan.count_proof`` proves what they count.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "ONE",
    "ZERO",
    "Kind",
    "Lut",
    "Net",
    "Netlist",
    "NetlistError",
    "Place",
    "Register",
]


class NetlistError(ValueError):
    """A netlist that is no count of agreeing lanes, and why."""


class Kind(enum.Enum):
    """What a net is; the value is the letter that stands for it in a text."""

    ACTIVATION = "a"
    WEIGHT = "w"
    ADDRESS = "k"
    WIRE = "n"
    CARRY = "t"
    CONSTANT = "c"


@dataclass(frozen=True)
class Net:
    """One bit: activation or weight of lane ``index``, bit ``index`` of the leaves' address, a wire, the
    carry out of place ``index``, 0 or 1."""

    kind: Kind
    index: int

    def __str__(self) -> str:
        return f"{self.kind.value}{self.index}"


ZERO, ONE = Net(Kind.CONSTANT, 0), Net(Kind.CONSTANT, 1)


@dataclass(frozen=True)
class Lut:
    """A LUT6_2: ``table`` is its INIT, bit i the output where ``pins`` read i, pin 0 lowest.

    ``pins``: at most six; those left out read 0.  Where ``o5`` is a net, it is the table's bits
    below 32, a function of the first five pins; with five pins or fewer the sixth reads 1 then,
    so that O6 is the bits from 32 on, else 0.
    """

    table: int
    pins: tuple[Net, ...]
    o6: Net
    o5: Net | None = None

    @property
    def split(self) -> bool:
        """Whether the sixth pin is held at 1: two functions of five pins."""
        return self.o5 is not None and len(self.pins) < 6

    def six(self, pins: int) -> int:
        """O6 where the pins read ``pins``."""
        return self.table >> (pins | (32 if self.split else 0)) & 1

    def five(self, pins: int) -> int:
        """O5 where the pins read ``pins``."""
        return self.table >> (pins & 31) & 1


@dataclass(frozen=True)
class Place:
    """One place of a carry chain: ``out`` = select xor carry; the next carry is the carry where ``select``
    is 1, else ``data``.

    ``carry``: None where the place follows the one before in the netlist's list, else the net, or
    ``ZERO``, with which a chain begins.  A place's carry goes nowhere but to the next.
    """

    select: Net
    data: Net
    out: Net
    carry: Net | None = None


@dataclass(frozen=True)
class Register:
    """``held`` is ``given`` a clock later."""

    given: Net
    held: Net


@dataclass(frozen=True)
class Netlist:
    """``lanes`` in, a count out: the sum of 2^b over the ``outputs`` b that are 1.

    ``address_bits``: 0 where each lane has its weight on a net; else bits of the address of the weights
    that are inside of the LUTs (``leaf``).  With ``stages`` registers every input reaches the outputs
    that many clocks later.  ``places`` are in the order of their chains.
    """

    lanes: int
    leaf: bool
    address_bits: int
    stages: int
    luts: tuple[Lut, ...]
    places: tuple[Place, ...]
    registers: tuple[Register, ...]
    outputs: tuple[Net, ...]

    @property
    def leaves(self) -> tuple[Lut, ...]:
        """The LUTs whose tables hold weights, in order: those that read a lane without its weight."""
        return tuple(
            lut for lut in self.luts if self.leaf and any(pin.kind is Kind.ACTIVATION for pin in lut.pins)
        )

    @property
    def lut_levels(self) -> int:
        """The most LUTs one behind the other between registers; a carry chain counts as one more."""
        driver: dict[Net, tuple[int, tuple[Net, ...]]] = {}
        for lut in self.luts:
            for out, read in ((lut.o6, lut.six), (lut.o5, lut.five)):
                if out is not None:
                    driver[out] = (
                        1,
                        tuple(p for i, p in enumerate(lut.pins) if _depends(read, i, len(lut.pins))),
                    )
        for i, place in enumerate(self.places):
            below = (place.select, place.data, self.carry_into(i))
            driver[Net(Kind.CARRY, i)] = (0, below)
            driver[place.out] = (1, below)
        level: dict[Net, int] = {}

        def of(net: Net) -> int:
            if net not in level:
                own, below = driver.get(net, (0, ()))
                level[net] = own + max((of(pin) for pin in below), default=0)
            return level[net]

        return max((of(net) for net in (*self.outputs, *(r.given for r in self.registers))), default=0)

    def carry_into(self, place: int) -> Net:
        """The net that is the carry into a place."""
        given = self.places[place].carry
        return Net(Kind.CARRY, place - 1) if given is None else given


def _depends(read: Callable[[int], int], pin: int, pins: int) -> bool:
    """Whether a LUT's output changes with one of its pins."""
    return any(read(value) != read(value ^ 1 << pin) for value in range(1 << pins))
