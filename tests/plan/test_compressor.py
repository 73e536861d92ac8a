"""Counts as netlists of LUTs: proved for every width, and the proof refuses every netlist that is none."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest

from xnorhw.plan import compressor
from xnorhw.plan.compressor import count_levels, count_luts, count_netlist, leaf_netlist
from xnorhw.plan.count_proof import prove
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.lut_netlist import ZERO, Kind, Lut, Net, Netlist, NetlistError
from xnorhw.plan.matrix_cost import count_cost

WIDTHS = (*range(1, 131), 576)


def value(net: Netlist, activations: list[int], weights: list[int], address: int = 0) -> int:
    """What a netlist without registers counts, LUT by LUT and place by place."""
    known = {ZERO: 0, Net(Kind.CONSTANT, 1): 1}
    known |= {Net(Kind.ACTIVATION, i): bit for i, bit in enumerate(activations)}
    known |= {Net(Kind.WEIGHT, i): bit for i, bit in enumerate(weights)}
    known |= {Net(Kind.ADDRESS, i): address >> i & 1 for i in range(net.address_bits)}
    luts, places = list(net.luts), list(enumerate(net.places))
    while luts or places:
        before = len(known)
        for lut in list(luts):
            if all(pin in known for pin in lut.pins):
                index = sum(known[pin] << i for i, pin in enumerate(lut.pins))
                known[lut.o6] = lut.six(index)
                if lut.o5 is not None:
                    known[lut.o5] = lut.five(index)
                luts.remove(lut)
        for i, place in list(places):
            carry = net.carry_into(i)
            if all(n in known for n in (place.select, place.data, carry)):
                known[place.out] = known[place.select] ^ known[carry]
                known[Net(Kind.CARRY, i)] = known[carry] if known[place.select] else known[place.data]
                places.remove((i, place))
        assert len(known) > before, "a loop"
    return sum(known[out] << b for b, out in enumerate(net.outputs))


@pytest.mark.parametrize("lanes", WIDTHS)
def test_every_width_is_proved(lanes: int) -> None:
    net = count_netlist(lanes)
    assert prove(net) == ()
    assert len(net.luts) == count_luts(lanes)
    assert len(net.outputs) == lanes.bit_length() and not net.registers


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 17, 36, 64, 100, 130])
def test_registers_divide_a_count(lanes: int, stages: int) -> None:
    net = count_netlist(lanes, stages=stages)
    prove(net)
    assert net.stages == stages
    assert len(net.luts) == count_luts(lanes), "registers cost no LUT"
    assert net.lut_levels < count_levels(lanes) or lanes < 8


@pytest.mark.parametrize("lanes", [1, 2, 5, 9, 16, 33, 64])
def test_the_netlist_counts(lanes: int) -> None:
    """The proof rests on equations; this evaluates the netlist itself."""
    draw = random.Random(lanes)
    net = count_netlist(lanes)
    for _ in range(40):
        activations, weights = ([draw.randrange(2) for _ in range(lanes)] for _ in range(2))
        agree = sum(a == w for a, w in zip(activations, weights, strict=True))
        assert value(net, activations, weights) == agree


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7, 27, 64, 100])
def test_leaves_hold_their_weights(lanes: int, depth: int) -> None:
    draw = random.Random(lanes * 8 + depth)
    leaf = tuple(tuple(draw.randrange(2) for _ in range(lanes)) for _ in range(depth))
    for stages in (0, 1):
        net = count_netlist(lanes, leaf=leaf, stages=stages)
        assert prove(net)[:depth] == leaf
        shape = leaf_netlist(lanes, depth, stages)
        assert [lut.pins for lut in shape.luts] == [lut.pins for lut in net.luts]
        assert len(shape.leaves) == len(net.leaves) and len(net.luts) == count_luts(
            lanes, address_bits=(depth - 1).bit_length()
        )
    net = count_netlist(lanes, leaf=leaf)
    for address, weights in enumerate(leaf):
        activations = [draw.randrange(2) for _ in range(lanes)]
        agree = sum(a == w for a, w in zip(activations, weights, strict=True))
        assert value(net, activations, [], address) == agree


def test_what_is_tallied_is_what_is_drawn() -> None:
    """The planner asks for hundreds of widths and draws none of them."""
    for lanes in (*range(1, 70), 144, 288):
        for address in (None, 0, 2):
            for chain in (4, 8):
                for way in compressor._ways(lanes, address is not None, chain):
                    drawn = compressor._draw(compressor._Drawing(lanes, address), *way)
                    assert len(drawn.luts) == compressor._tally(lanes, address is not None, *way)


def test_the_law_of_cost() -> None:
    """A LUT a lane and less; what the figures of the units rest on."""
    assert [count_luts(lanes) for lanes in (32, 64, 576)] == [29, 57, 528]
    assert count_luts(576, address_bits=2) == 477


@pytest.mark.parametrize("address_bits", [None, 0, 2])
def test_what_a_search_takes_a_wide_count_to_cost(address_bits: int | None) -> None:
    """Widths of whole windows, which no search draws."""
    for lanes in (72, 144, 288, 400, 576, 1152):
        drawn = count_luts(lanes, address_bits=address_bits)
        assert count_cost(lanes, address_bits) == pytest.approx(drawn, rel=0.05, abs=3)


def _luts_changed(net: Netlist, at: int, **changes: object) -> Netlist:
    luts = list(net.luts)
    luts[at] = replace(luts[at], **changes)  # type: ignore[arg-type]
    return replace(net, luts=tuple(luts))


@pytest.mark.parametrize("leaf", [False, True])
def test_no_flipped_bit_is_a_count(leaf: bool) -> None:
    """Every bit of every table that an input can select."""
    lanes = 9
    net = count_netlist(lanes, leaf=((1, 0) * 4 + (1,),) * 2 if leaf else None)
    wanted = prove(net)
    for at, lut in enumerate(net.luts):
        pins = len(lut.pins)
        read = {i + (32 if lut.split else 0) for i in range(1 << pins)} if lut.o6 else set()
        read |= {i & 31 for i in range(1 << pins)} if lut.o5 is not None else set()
        for bit in read:
            changed = _luts_changed(net, at, table=lut.table ^ 1 << bit)
            with pytest.raises(NetlistError):
                assert prove(changed) == wanted
                pytest.fail(f"bit {bit} of LUT {at}")


@pytest.mark.parametrize("lanes", [64])
def test_planted_faults_are_found(lanes: int) -> None:
    net = count_netlist(lanes, stages=1)
    draw = random.Random(lanes)
    changed: list[Netlist] = []
    for _ in range(60):
        one, other = draw.sample(range(len(net.luts)), 2)
        a, b = net.luts[one], net.luts[other]
        if a.pins and b.pins and a.pins[-1] != b.pins[-1]:
            # two wires change places
            luts = list(net.luts)
            luts[one] = replace(a, pins=(*a.pins[:-1], b.pins[-1]))
            luts[other] = replace(b, pins=(*b.pins[:-1], a.pins[-1]))
            changed.append(replace(net, luts=tuple(luts)))
        changed.append(replace(net, luts=tuple(lut for i, lut in enumerate(net.luts) if i != one)))
        if a.o5 is not None:
            changed.append(_luts_changed(net, one, o6=a.o5, o5=a.o6))
    changed += [replace(net, registers=net.registers[:i] + net.registers[i + 1 :]) for i in range(5)]
    changed += [replace(net, places=net.places[:i] + net.places[i + 1 :]) for i in range(len(net.places))]
    changed += [replace(net, outputs=(net.outputs[1], net.outputs[0], *net.outputs[2:]))]
    changed += [replace(net, outputs=net.outputs[:-1]), replace(net, stages=2)]
    changed += [_luts_changed(net, 0, pins=(net.luts[1].pins[0], *net.luts[0].pins[1:]))]
    for i, one in enumerate(changed):
        if _same_sum(net, one):
            continue
        with pytest.raises(NetlistError):
            prove(one)
            pytest.fail(f"fault {i}")


def _with_pin(net: Netlist, old: Net, new: Net) -> Netlist:
    """``new`` wherever a LUT or a carry chain reads ``old``."""

    def of(n: Net) -> Net:
        return new if n == old else n

    luts = tuple(replace(lut, pins=tuple(map(of, lut.pins))) for lut in net.luts)
    places = tuple(
        replace(p, data=of(p.data), carry=None if p.carry is None else of(p.carry)) for p in net.places
    )
    return replace(net, luts=luts, places=places)


def test_a_net_feeds_one_cell_alone() -> None:
    net = count_netlist(64)
    wires = [pin for lut in net.luts for pin in lut.pins if pin.kind is Kind.WIRE]
    for old, new in zip(wires[1:20], wires[:19], strict=True):
        if old != new:
            with pytest.raises(NetlistError, match="is used twice"):
                prove(_with_pin(net, old, new))


def test_what_a_cell_adds_is_of_one_clock() -> None:
    net = count_netlist(64, stages=1)
    outputs = set(net.outputs)
    between = [r for r in net.registers if r.held not in outputs]
    assert len(between) > 10
    for r in between:
        short = _with_pin(net, r.held, r.given)
        with pytest.raises(NetlistError, match="are of different clocks"):
            prove(replace(short, registers=tuple(x for x in net.registers if x != r)))


def _same_sum(net: Netlist, changed: Netlist) -> bool:
    """Whether two wires that changed places have one weight and one clock, so that nothing is wrong."""
    try:
        prove(changed)
    except NetlistError:
        return False
    draw = random.Random(1)
    plain = [replace(n, registers=(), stages=0) for n in (net, changed)]
    assert all(len(n.luts) == len(net.luts) for n in plain)
    bits = [[draw.randrange(2) for _ in range(net.lanes)] for _ in range(8)]
    held = {r.held: r.given for r in changed.registers}

    def through(n: Net) -> Net:
        return through(held[n]) if n in held else n

    straight = replace(
        changed,
        stages=0,
        registers=(),
        luts=tuple(replace(lut, pins=tuple(map(through, lut.pins))) for lut in changed.luts),
        places=tuple(
            replace(p, data=through(p.data), carry=None if p.carry is None else through(p.carry))
            for p in changed.places
        ),
        outputs=tuple(map(through, changed.outputs)),
    )
    for a, w in zip(bits[::2], bits[1::2], strict=True):
        assert value(straight, a, w) == sum(x == y for x, y in zip(a, w, strict=True))
    return True


def test_a_loop_is_no_count() -> None:
    net = count_netlist(8)
    last = net.luts[-1]
    with pytest.raises(NetlistError, match="depends on itself|two sources|used twice|nothing drives"):
        prove(_luts_changed(net, 0, pins=(*net.luts[0].pins[:-1], last.o6)))


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no count of 0 lanes"):
        count_netlist(0)
    with pytest.raises(ValueError, match="one to four weights"):
        count_netlist(4, leaf=((1,) * 4,) * 5)
    with pytest.raises(ValueError, match="one to four weights"):
        count_netlist(4, leaf=((1,) * 3,))


def test_a_split_lut_reads_two_halves() -> None:
    lut = Lut(0x00000002_00000001, (Net(Kind.WIRE, 0),), Net(Kind.WIRE, 1), Net(Kind.WIRE, 2))
    assert [lut.six(0), lut.six(1), lut.five(0), lut.five(1)] == [0, 1, 1, 0]


def test_the_clock_asks_for_registers() -> None:
    """The fewest with which a count's levels fit into the clock; no LUT is known of an unknown family."""
    assert [Fabric("xc7", mhz).count_stages(64) for mhz in (50, 100, 200)] == [0, 1, 3]
    assert Fabric("xcup", 100).count_stages(64) <= Fabric("xc7", 100).count_stages(64)
    assert Fabric("", 400).count_stages(64) == 0 and not Fabric("").lut6_2
    assert [Fabric("ecp5", mhz).count_stages(64) for mhz in (60, 100, 125)] == [0, 1, 2]
    # twice the lanes are a level of adders more
    assert [Fabric("ecp5", 100).count_stages(n) for n in (1, 4, 16, 64, 128)] == [0, 0, 1, 1, 2]
    assert [Fabric("ecp5", 125).count_stages(n) for n in (1, 2, 16, 32, 64)] == [0, 0, 1, 1, 2]
    for family, mhz in product(("xc7", "ecp5"), (50, 100, 150)):
        assert [Fabric(family, mhz).count_stages(n) for n in (4, 64, 576)] == sorted(
            Fabric(family, mhz).count_stages(n) for n in (4, 64, 576)
        )
