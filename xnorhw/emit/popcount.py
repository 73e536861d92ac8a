"""Counts as netlists of LUTs -> SystemVerilog.

A build has one module for each width and number of registers, and ``xh_popcount``, which chooses.  Where
the macro XH_COUNTONES is set, as in simulations of whole networks, a model counts instead; what is
synthesised, and what unit benches simulate, is the netlist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from xnorhw.emit.jinja import render
from xnorhw.plan.compressor import count_netlist
from xnorhw.plan.lut_netlist import ONE, ZERO, Kind, Net, Netlist
from xnorhw.plan.model import MatrixUnit, Plan

__all__ = ["CHOOSER", "counts_of", "files", "module_name", "module_text", "texts"]

CHOOSER = "xh_popcount"
"""The module that every matrix unit instantiates."""

_CARRY = {4: "CARRY4", 8: "CARRY8"}


def counts_of(*plans: Plan) -> tuple[tuple[int, int], ...]:
    """(lanes, stages) of every count that the plans' matrix units build of LUTs, sorted."""
    units = (unit for plan in plans for unit in plan.units if isinstance(unit, MatrixUnit))
    return tuple(sorted({(unit.simd, unit.count_stages) for unit in units if unit.lut6_2 and not unit.leaf}))


def module_name(lanes: int, stages: int) -> str:
    """The module that counts ``lanes`` lanes with ``stages`` registers."""
    return f"{CHOOSER}_{lanes}_{stages}"


def files(*plans: Plan) -> dict[str, str]:
    """The counts of plans for one family: bare file name -> text; empty where the portable unit counts."""
    counts = counts_of(*plans)
    return texts(counts, carry8=plans[0].family == "xcup") if counts else {}


def texts(counts: Iterable[tuple[int, int]], carry8: bool = False) -> dict[str, str]:
    """The modules for the given (lanes, stages), and what chooses among them: bare file name -> text.

    ``carry8``: carry chains are made of CARRY8 (UltraScale+), not of CARRY4 (7 series).
    """
    known = tuple(counts)
    result = {
        f"{CHOOSER}.sv": render("rtl/popcount.sv.j2", counts=known, names=[module_name(*c) for c in known])
    }
    for lanes, stages in known:
        name = module_name(lanes, stages)
        result[f"{name}.sv"] = module_text(count_netlist(lanes, stages=stages), name, carry8)
    return result


def module_text(netlist: Netlist, name: str, carry8: bool = False) -> str:
    """A netlist as the module ``name``.

    Ports: clk_i, en_i (the registers' enable), activation_i, weight_i, count_o.  Leaves have the port
    word_i, the address of their weights, instead of weight_i, and the parameter LEAVES: 64 bits for each
    of ``netlist.leaves``, the first lowest.  ``check.count_modules`` reads the text back.
    """
    luts, chains = _luts(netlist), _chains(netlist, 8 if carry8 else 4)
    spare = [f"u{i}" for i in range(sum(lut.o5.startswith("u") for lut in luts))]
    spare += [net for block in chains for net in (*block.outs, *block.carries) if net.startswith("u")]
    wires = [str(net) for net in _wires(netlist)]
    carries = [net for block in chains for net in block.carries if net.startswith("t")]
    unread = list(dict.fromkeys(spare))
    unread += [] if netlist.registers else ["clk_i", "en_i"]
    unread += ["word_i"] if netlist.leaf and not netlist.address_bits else []
    return render(
        "rtl/count.sv.j2",
        name=name,
        net=netlist,
        bits=len(netlist.outputs),
        word_bits=max(1, netlist.address_bits),
        leaves=len(netlist.leaves),
        declared=[*wires, *carries, *dict.fromkeys(spare)],
        luts=luts,
        chains=chains,
        primitive="CARRY8" if carry8 else "CARRY4",
        registers=[(str(r.held), _text(r.given)) for r in netlist.registers],
        outputs=[_text(net) for net in reversed(netlist.outputs)],
        unread=unread,
    )


@dataclass(frozen=True)
class _Lut:
    """A LUT6_2 as text: the INIT, the outputs and the six inputs."""

    init: str
    o6: str
    o5: str
    pins: tuple[str, ...]


@dataclass(frozen=True)
class _Chain:
    """A carry primitive as text, its vectors from the highest place to the lowest."""

    first: str
    following: str
    selects: tuple[str, ...]
    datas: tuple[str, ...]
    outs: tuple[str, ...]
    carries: tuple[str, ...]


def _luts(netlist: Netlist) -> list[_Lut]:
    result: list[_Lut] = []
    leaves = spare = 0
    for lut in netlist.luts:
        init = f"64'h{lut.table:016X}"
        if netlist.leaf and any(pin.kind is Kind.ACTIVATION for pin in lut.pins):
            init, leaves = f"LEAVES[{64 * leaves}+:64]", leaves + 1
        o5 = str(lut.o5) if lut.o5 is not None else f"u{spare}"
        spare += lut.o5 is None
        pins = [_text(pin) for pin in lut.pins]
        pins += ["1'b0"] * (6 - len(pins))
        if lut.split:
            pins[5] = "1'b1"
        result.append(_Lut(init, str(lut.o6), o5, tuple(pins)))
    return result


def _chains(netlist: Netlist, width: int) -> list[_Chain]:
    spare = sum(lut.o5 is None for lut in netlist.luts)
    starts = [i for i, place in enumerate(netlist.places) if place.carry is not None]
    result = []
    for begin, end in pairwise([*starts, len(netlist.places)]):
        for at in range(begin, end, width):
            here = netlist.places[at : min(at + width, end)]
            empty = width - len(here)
            goes_on = at + width < end
            none = [f"u{spare + i}" for i in range(2 * width)]
            spare += 2 * width
            carries = [*none[width : 2 * width - 1], f"t{at + width - 1}" if goes_on else none[-1]]
            result.append(
                _Chain(
                    first=_text(here[0].carry or ZERO),
                    following=f"t{at - 1}" if at > begin else "1'b0",
                    selects=tuple(reversed([*(_text(p.select) for p in here), *["1'b0"] * empty])),
                    datas=tuple(reversed([*(_text(p.data) for p in here), *["1'b0"] * empty])),
                    outs=tuple(reversed([*(_text(p.out) for p in here), *none[:empty]])),
                    carries=tuple(reversed(carries)),
                )
            )
    return result


def _wires(netlist: Netlist) -> Iterator[Net]:
    for lut in netlist.luts:
        yield from (out for out in (lut.o6, lut.o5) if out is not None)
    yield from (place.out for place in netlist.places)
    yield from (register.held for register in netlist.registers)


_PORTS = {Kind.ACTIVATION: "activation_i", Kind.WEIGHT: "weight_i", Kind.ADDRESS: "word_i"}


def _text(net: Net) -> str:
    if net in (ZERO, ONE):
        return f"1'b{net.index}"
    return f"{_PORTS[net.kind]}[{net.index}]" if net.kind in _PORTS else str(net)
